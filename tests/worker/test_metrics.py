from admin_core.race_spec import RaceSpec
from admin_core.spec import DiagnosisSpec
from tests.app.test_races import TINY
from tests.service import SMALL
from worker import jobs, metrics, races
from worker.celery import LONG_QUEUE, SHORT_QUEUE
from worker.store import Store

SPEC = DiagnosisSpec.model_validate(SMALL)


def worked_on(store: Store, outcome: str) -> None:
    job_id, _ = jobs.submit(store, SPEC)
    held = jobs.claim(store, job_id, worker="w", lease_seconds=60)
    assert held is not None
    jobs.succeed(store, held, {"verdict": {"outcome": outcome}})


class TestFigures:
    def test_count_what_waits_and_for_how_long(self, store: Store) -> None:
        assert [q.waiting for q in metrics.figures(store).queues] == [0, 0]
        jobs.submit(store, SPEC)
        race = races.submit(store, RaceSpec.model_validate(TINY))
        queues = {queue.queue: queue for queue in metrics.figures(store).queues}
        assert queues[SHORT_QUEUE].waiting == 1
        # The race itself waits for its runs, and not in a queue.
        assert queues[LONG_QUEUE].waiting == len(race.run_ids)
        assert all(0 <= queue.oldest_seconds < 60 for queue in queues.values())

    def test_say_how_long_jobs_waited_and_took_by_kind_and_outcome(self, store: Store) -> None:
        for outcome in ("stable", "unstable", "unstable"):
            worked_on(store, outcome)
        told = metrics.figures(store)
        assert told.jobs == {("diagnosis", "succeeded"): 3}
        assert [(waits.labels, waits.number) for waits in told.waits] == [
            ({"kind": "diagnosis"}, 3)
        ]
        durations = {times.labels["outcome"]: times for times in told.durations}
        assert {outcome: times.number for outcome, times in durations.items()} == {
            "stable": 1,
            "unstable": 2,
        }
        for times in (*told.waits, *told.durations):
            assert times.buckets == sorted(times.buckets)
            assert times.buckets[-1] == times.number
            assert times.total_seconds >= 0

    def test_count_attempts_by_their_ending(self, store: Store) -> None:
        job_id, _ = jobs.submit(store, SPEC)
        for _ in range(2):
            jobs.claim(store, job_id, worker="w", lease_seconds=-1)
            jobs.reap(store)
        worked_on(store, "stable")
        assert metrics.figures(store).attempts == {"lost": 2, "succeeded": 1}

    def test_have_each_workers_memory(self, store: Store) -> None:
        jobs.worker_is_alive(store, "w", memory_bytes=5)
        jobs.worker_is_alive(store, "w", memory_bytes=2**40)
        (worker,) = metrics.figures(store).workers
        assert (worker.name, worker.memory_bytes) == ("w", 2**40)
        assert 0 <= worker.silent_seconds < 60
