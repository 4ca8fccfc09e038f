"""A real training loop of a caller's own, watched on a real service while it runs."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from admin_core.training.monitor import Monitor
from app import push
from app.push import push_to
from tests.app.test_races import events
from tests.service import Service, until

NOBODY = "http://127.0.0.1:9"
"""An address at which no service listens."""


class Loop:
    """Anybody's training: a small network that learns to double a number."""

    def __init__(self, **options: Any) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.monitor = Monitor(self.model, self.optimizer, **options)
        self.losses: list[float] = []

    def step(self) -> None:
        x = torch.randn(16, 1)
        loss = (self.model(x) - 2 * x).square().mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.monitor.step(loss)
        self.losses.append(loss.item())


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def said() -> Iterator[list[logging.LogRecord]]:
    """What the pusher warns of."""
    heard = Heard()
    push.log.addHandler(heard)
    yield heard.records
    push.log.removeHandler(heard)


def test_a_loop_is_seen_while_it_runs_and_ends_as_it_does(
    service: Service, said: list[logging.LogRecord]
) -> None:
    loop = Loop(every=4)
    seen: list[Any] = []

    def watch(run: str) -> None:
        seen.extend(events(service, {"links": {"events": f"{run}/events"}}))

    with loop.monitor, push_to(service.url, loop.monitor, name="doubling", steps=40) as pushing:
        for _ in range(20):
            loop.step()
        until(lambda: pushing.run is not None)
        run = str(pushing.run)
        watching = threading.Thread(target=watch, args=(run,))
        watching.start()
        until(lambda: bool(service.http.get(run).json()["report"]["num_points"] == 20))
        for _ in range(20):
            loop.step()
    watching.join(30)

    points = [point for name, _, data in seen if name == "points" for point in data["points"]]
    assert [point["loss"] for point in points] == loop.losses
    assert [point["step"] for point in points] == list(range(1, 41))
    assert {point["learning_rate"] for point in points} == {0.01}
    looks = [point for point in points if point["watch"] is not None]
    assert [point["step"] for point in looks] == [1, *range(4, 41, 4)]
    assert looks[0]["watch"]["gradient_norm"]
    assert seen[-1][0] == "run"
    assert seen[-1][2]["state"] == "succeeded"
    assert seen[-1][2]["progress"]["share"] == 1.0
    assert said == []


def test_a_loop_that_breaks_is_a_failed_run_and_breaks_as_before(service: Service) -> None:
    loop = Loop(every=0)
    pushing = push_to(service.url, loop.monitor, name="breaking")

    def train() -> None:
        with loop.monitor, pushing:
            loop.step()
            loop.monitor.step(float("nan"))
            raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        train()
    run = service.http.get(str(pushing.run)).json()
    assert run["state"] == "failed"
    assert run["problem"]["detail"] == "ZeroDivisionError: on purpose"
    assert run["report"]["last_loss"] is None
    assert [finding["rule"] for finding in run["report"]["findings"]] == ["non_finite"]


def test_every_tenth_step_can_be_told_and_every_look_is(service: Service) -> None:
    loop = Loop(every=7)
    with loop.monitor, push_to(service.url, loop.monitor, name="thin", every=10) as pushing:
        for _ in range(20):
            loop.step()
    curve = service.http.get(f"{pushing.run}/curves.json").json()["points"]
    assert [point["step"] for point in curve] == [1, 7, 10, 14, 20]


def test_a_loop_that_is_cancelled_on_the_service_trains_on(
    service: Service, said: list[logging.LogRecord]
) -> None:
    loop = Loop(every=0)
    with loop.monitor, push_to(service.url, loop.monitor, name="cancelled") as pushing:
        loop.step()
        until(lambda: pushing.run is not None)
        service.http.delete(str(pushing.run))
        loop.step()
        until(lambda: bool(said))
        for _ in range(5):
            loop.step()
    assert len(loop.losses) == 7
    assert len(said) == 1
    assert "was cancelled" in said[0].getMessage()


def test_without_a_service_the_loop_is_as_fast_and_hears_of_it_once(
    monkeypatch: pytest.MonkeyPatch, said: list[logging.LogRecord]
) -> None:
    monkeypatch.setattr(push, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(push, "FIRST_PERIOD_SECONDS", 0.05)
    loop = Loop(every=0)
    with loop.monitor, push_to(NOBODY, loop.monitor, name="alone"):
        loop.step()
        until(lambda: bool(said))
        assert loop.monitor.on_point is None
        start = time.monotonic()
        loop.step()
    # Nothing is waited for at the end either.
    assert time.monotonic() - start < 1
    assert len(said) == 1
    assert "'alone' is no longer watched" in said[0].getMessage()


def test_an_address_of_something_else_is_heard_of_once(
    service: Service, said: list[logging.LogRecord]
) -> None:
    loop = Loop(every=0)
    for url in (f"{service.url}/docs", "no address", "http://[::1"):
        said.clear()
        with loop.monitor, push_to(url, loop.monitor, name="lost"):
            loop.step()
        assert len(said) == 1, url


def test_of_too_many_points_the_oldest_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    monkeypatch.setattr(push, "QUEUE_POINTS", 10)
    monkeypatch.setattr(push, "FIRST_PERIOD_SECONDS", 60.0)
    loop = Loop(every=0)
    with loop.monitor, push_to(service.url, loop.monitor, name="fast") as pushing:
        for _ in range(25):
            loop.step()
    run = service.http.get(str(pushing.run)).json()
    assert run["report"]["dropped_points"] == 15
    curve = service.http.get(f"{pushing.run}/curves.json").json()["points"]
    assert [point["step"] for point in curve] == list(range(16, 26))


def test_a_service_that_comes_back_hears_what_it_missed(
    home: Path, said: list[logging.LogRecord]
) -> None:
    service = Service(home)
    port = int(service.url.rpartition(":")[2])
    loop = Loop(every=0)
    with loop.monitor, push_to(service.url, loop.monitor, name="patient") as pushing:
        loop.step()
        until(lambda: pushing.run is not None and not pushing._waiting)
        service.stop()
        for _ in range(5):
            loop.step()
        time.sleep(1)
        service = Service(home, port=port)
        until(lambda: not pushing._waiting)
    curve = service.http.get(f"{pushing.run}/curves.json").json()["points"]
    assert [point["step"] for point in curve] == list(range(1, 7))
    assert said == []
    service.stop()


def test_a_name_that_cannot_be_is_refused_before_the_loop_begins() -> None:
    with pytest.raises(ValueError, match="name"):
        push_to(NOBODY, Loop().monitor, name="")
    with pytest.raises(ValueError, match="every is 0"):
        push_to(NOBODY, Loop().monitor, name="x", every=0)
