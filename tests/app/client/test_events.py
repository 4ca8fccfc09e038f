from typing import Any

import pytest

from app.client.errors import RefusedError
from app.client.events import Event, EventReader
from app.client.flow import Answer, Patience, Service
from app.client.job import Job

STREAM = (
    b": ping\n\n"
    b'event: points\ndata: {"arm":"a\xe2\x80\xa8b"}\nid: 7\n\n'
    b'event: progress\r\ndata: {"share":\r\ndata: 0.5}\r\n\r\n'
    b'event: race\ndata: {"state":"succeeded"}\n\n'
)


def reader() -> EventReader:
    job = Job({"links": {"self": "/v1/races/x", "events": "/v1/races/x/events"}})
    return EventReader(job, Patience(Service(url="http://a", retry_seconds=1)))


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_bytes_become_events_however_they_are_cut(size: int) -> None:
    reading = reader()
    found: list[Event] = []
    for start in range(0, len(STREAM), size):
        found += reading.feed(STREAM[start : start + size])
    # The arm's name holds a line separator of Unicode, which ends no line of a stream.
    assert [(event.name, event.id, event.data) for event in found] == [
        ("points", "7", {"arm": "a\u2028b"}),
        ("progress", None, {"share": 0.5}),
        ("race", None, {"state": "succeeded"}),
    ]
    assert reading.finished
    assert found[-1].job == Job({"state": "succeeded"})


def test_the_next_connection_goes_on_after_the_last_event_with_an_id() -> None:
    reading = reader()
    assert reading.request().headers == {}
    reading.feed(STREAM[:-20])
    assert reading.request().headers == {"Last-Event-ID": "7"}
    # Nothing of the half event before is left.
    assert reading.feed(b'event: progress\ndata: {"share": 0.75}\n\n')[0].data == {"share": 0.75}


def test_a_stream_that_is_refused_says_so() -> None:
    body = b'{"type": "urn:trimtab:problem:not-found", "title": "There is no such thing"}'
    answer = Answer(url="http://a", status=404, headers={}, body=body)
    with pytest.raises(RefusedError) as refused:
        reader().opened(answer)
    problem: dict[str, Any] = refused.value.problem
    assert problem["type"].endswith("not-found")
