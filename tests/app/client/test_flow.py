from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.client.errors import RefusedError, UnreachableError
from app.client.flow import (
    Answer,
    Flow,
    LostError,
    Patience,
    Pause,
    Request,
    Service,
    accepted,
    answered,
    retry_after,
)

ASKED = Request(method="GET", path="/v1/jobs")


def answer(status: int, retry: str | None = None, body: bytes = b"{}") -> Answer:
    headers = {} if retry is None else {"retry-after": retry}
    return Answer(url="http://a/v1/jobs", status=status, headers=headers, body=body)


def patience(seconds: float = 60, *, met: bool = True) -> Patience:
    return Patience(Service(url="http://a", retry_seconds=seconds, met=met))


def play(flow: Flow[Answer], answers: Sequence[Answer | None]) -> tuple[Answer, list[float]]:
    """What the flow returns, and the pauses that it makes; None is a connection that breaks."""
    left, pauses = list(answers), []
    step = next(flow)
    try:
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                step = flow.send(None)
                continue
            assert step is ASKED
            given = left.pop(0)
            step = flow.send(given) if given is not None else flow.throw(LostError("broken"))
    except StopIteration as end:
        found: Answer = end.value
        return found, pauses


def test_a_busy_service_is_asked_again_when_it_says() -> None:
    found, pauses = play(
        answered(ASKED, patience()), [answer(503, "3"), answer(429, "0"), answer(200)]
    )
    assert found.status == 200
    assert pauses == [3.0, 0.0]


def test_without_a_word_pauses_grow() -> None:
    _, pauses = play(answered(ASKED, patience()), [None, None, answer(502), answer(200)])
    assert len(pauses) == 3
    assert all(0.75 * 2**n <= 4 * pause <= 1.25 * 2**n for n, pause in enumerate(pauses))


def test_a_job_that_is_not_finished_is_no_trouble() -> None:
    unfinished = answer(503, "1", b'{"type": "urn:trimtab:problem:unfinished"}')
    assert play(answered(ASKED, patience()), [unfinished]) == (unfinished, [])


def test_what_asks_for_more_than_all_patience_is_answered_at_once() -> None:
    found, pauses = play(answered(ASKED, patience(5)), [answer(503, "3600")])
    assert (found.status, pauses) == (503, [])


def test_a_service_that_was_never_met_is_not_waited_for() -> None:
    with pytest.raises(UnreachableError, match="trimtab serve"):
        play(answered(ASKED, patience(met=False)), [None])


def test_a_service_that_stays_away_is_given_up() -> None:
    with pytest.raises(UnreachableError, match="broken"):
        play(answered(ASKED, patience(0)), [None])


def test_a_refusal_carries_the_problem_document() -> None:
    body = (
        b'{"type": "urn:trimtab:problem:invalid-request", "title": "No", "detail": "seed: wrong",'
        b' "errors": [{"field": "seed", "message": "wrong"}]}'
    )
    with pytest.raises(RefusedError) as refused:
        play(accepted(ASKED, patience()), [answer(422, body=body)])
    error = refused.value
    assert (error.status, error.type) == (422, "urn:trimtab:problem:invalid-request")
    assert error.fields == {"seed": "wrong"}
    assert str(error) == "seed: wrong"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_what_is_not_trimtab_is_told(body: bytes) -> None:
    with pytest.raises(UnreachableError, match="Is this the address"):
        play(accepted(ASKED, patience()), [answer(404, body=body)])


def test_retry_after_is_a_number_or_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 20 < (retry_after(answer(503, soon)) or 0) <= 30
    assert retry_after(answer(503, "2.5")) == 2.5
    assert retry_after(answer(503, "-1")) == 0
    assert retry_after(answer(503, "soon")) is None
    assert retry_after(answer(503)) is None
