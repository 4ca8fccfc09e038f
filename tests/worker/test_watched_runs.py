from typing import Any

import pytest

from admin_core.watched_run import RunEnd, StepPoint, WatchedRunReport, WatchedRunSpec
from worker import jobs, races, watched_runs
from worker.jobs import Job, State
from worker.store import Store
from worker.watched_runs import RunFullError, RunOverError


def begun(store: Store, *, silence_seconds: float = 60, **spec: Any) -> str:
    run_id, new = watched_runs.begin(
        store, WatchedRunSpec(name="mine", **spec), silence_seconds=silence_seconds
    )
    assert new
    return run_id


def point(step: int, loss: float | None = 1.0) -> StepPoint:
    return StepPoint(step=step, loss=loss)


def push(store: Store, run_id: str, *points: StepPoint, most: int = 100) -> tuple[int, int]:
    return watched_runs.push(store, run_id, points, silence_seconds=60, most_points=most)


def found(store: Store, run_id: str) -> Job:
    job = jobs.get(store, run_id)
    assert job is not None
    return job


def report(store: Store, run_id: str) -> WatchedRunReport:
    return WatchedRunReport.model_validate(found(store, run_id).report)


class TestARun:
    def test_is_running_from_its_beginning(self, store: Store) -> None:
        job = found(store, begun(store))
        assert (job.kind, job.state, job.share) == ("run", "running", 0.0)
        assert job.started_at is not None
        assert jobs.claim(store, job.id, worker="w", lease_seconds=9) is None

    def test_is_the_same_for_the_same_key(self, store: Store) -> None:
        spec = WatchedRunSpec(name="mine")
        first, again = (
            watched_runs.begin(store, spec, silence_seconds=60, idempotency_key="k")
            for _ in range(2)
        )
        assert (first[0], True) == first
        assert again == (first[0], False)

    def test_keeps_each_step_once(self, store: Store) -> None:
        run_id = begun(store)
        assert push(store, run_id, point(1), point(2)) == (2, 2)
        assert push(store, run_id, point(1), point(2), point(3)) == (1, 3)
        assert push(store, run_id, point(2)) == (0, 3)
        assert [p["step"] for p in races.points_of_run(store, run_id)] == [1, 2, 3]

    def test_knows_where_it_is(self, store: Store) -> None:
        run_id = begun(store, steps=8)
        push(store, run_id, point(1, 3.0), point(2, 2.0), point(4, None))
        assert report(store, run_id) == WatchedRunReport(
            last_step=4, num_points=3, last_loss=None, lowest_loss=2.0
        )
        assert found(store, run_id).share == 0.5
        push(store, run_id, point(9, 2.5))
        assert report(store, run_id).lowest_loss == 2.0
        assert found(store, run_id).share == 1.0

    def test_takes_no_more_points_than_it_may_have(self, store: Store) -> None:
        run_id = begun(store)
        push(store, run_id, point(1), point(2), most=3)
        with pytest.raises(RunFullError):
            push(store, run_id, point(3), point(4), most=3)
        assert report(store, run_id).num_points == 2


class TestItsEnd:
    @pytest.mark.parametrize("state", ["succeeded", "failed"])
    def test_is_what_its_loop_says(self, store: Store, state: Any) -> None:
        run_id = begun(store)
        watched_runs.finish(store, run_id, RunEnd(state=state, detail="why", dropped_points=7))
        job = found(store, run_id)
        assert job.state == state
        assert report(store, run_id).dropped_points == 7
        assert (job.problem or {}).get("detail") == ("why" if state == "failed" else None)
        assert job.finished_at is not None

    def test_said_again_changes_nothing_and_otherwise_is_refused(self, store: Store) -> None:
        run_id = begun(store)
        watched_runs.finish(store, run_id, RunEnd(state="succeeded"))
        before = found(store, run_id)
        watched_runs.finish(store, run_id, RunEnd(state="succeeded", dropped_points=1))
        assert found(store, run_id) == before
        with pytest.raises(RunOverError, match="succeeded"):
            watched_runs.finish(store, run_id, RunEnd(state="failed"))

    def test_comes_by_cancelling_and_then_no_point_is_taken(self, store: Store) -> None:
        run_id = begun(store)
        watched_runs.cancel(store, run_id)
        watched_runs.cancel(store, run_id)
        assert found(store, run_id).state == State.CANCELLED
        with pytest.raises(RunOverError):
            push(store, run_id, point(1))
        assert list(races.points_of_run(store, run_id)) == []

    def test_comes_by_silence_and_it_is_not_tried_again(self, store: Store) -> None:
        silent = begun(store, silence_seconds=-1)
        heard = begun(store, silence_seconds=-1)
        push(store, heard, point(1))
        assert jobs.reap(store) == []
        assert watched_runs.close_silent(store) == [silent]
        job = found(store, silent)
        assert job.state == State.FAILED
        assert job.problem is not None
        assert job.problem["type"] == "urn:trimtab:problem:run-abandoned"
        assert found(store, heard).state == State.RUNNING
        assert watched_runs.close_silent(store) == []
