import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from admin_core.spec import DiagnosisSpec
from tests.service import SMALL
from worker import jobs
from worker.jobs import Claim, Ending, IdempotencyKeyReusedError, Job, JobName, Reuse, State
from worker.problem import UNEXPECTED
from worker.requester import Requester
from worker.store import Store

SPEC = DiagnosisSpec.model_validate(SMALL)
OTHER_SPEC = SPEC.model_copy(update={"seed": 1})
REPORT: dict[str, Any] = {"verdict": {"outcome": "stable"}}


def submitted(store: Store) -> str:
    return jobs.submit(store, SPEC)[0]


def claimed(store: Store, job_id: str, worker: str = "w1", lease_seconds: float = 60) -> Claim:
    claim = jobs.claim(store, job_id, worker=worker, lease_seconds=lease_seconds)
    assert claim is not None
    return claim


def found(store: Store, job_id: str) -> Job:
    job = jobs.get(store, job_id)
    assert job is not None
    return job


def endings(store: Store, job_id: str) -> list[str | None]:
    return [attempt.ending for attempt in found(store, job_id).attempts]


class TestSubmit:
    def test_keeps_the_spec_with_its_defaults(self, store: Store) -> None:
        job = found(store, submitted(store))
        assert job.state == State.QUEUED
        assert DiagnosisSpec.model_validate(job.spec) == SPEC
        assert job.spec["training"]["warmup_steps"] == 4_000

    @pytest.mark.parametrize("announced", [False, True])
    def test_a_new_job_is_told_as_reading_it_shows_it(self, store: Store, announced: bool) -> None:
        requester = Requester(key_id="somebody", request_id="r")
        job_id, made = jobs.submit(store, SPEC, requester=requester, announced=announced)
        assert made == found(store, job_id)
        again = jobs.submit(store, SPEC, requester=requester, reuse=Reuse.ANY)
        assert again == (job_id, None)

    def test_the_same_key_and_spec_give_the_same_job(self, store: Store) -> None:
        first = jobs.submit(store, SPEC, idempotency_key="k")
        again = jobs.submit(store, SPEC, idempotency_key="k")
        assert first[1] is not None
        assert again == (first[0], None)

    def test_the_same_key_with_another_spec_is_refused(self, store: Store) -> None:
        jobs.submit(store, SPEC, idempotency_key="k")
        with pytest.raises(IdempotencyKeyReusedError):
            jobs.submit(store, OTHER_SPEC, idempotency_key="k")

    def test_of_several_that_come_at_once_with_one_key_and_other_specs_one_is_taken(
        self, store: Store
    ) -> None:
        together = threading.Barrier(6)

        def ask(seed: int) -> bool:
            spec = SPEC.model_copy(update={"seed": seed})
            together.wait()
            try:
                return jobs.submit(store, spec, idempotency_key="k")[1] is not None
            except IdempotencyKeyReusedError:
                return False

        with ThreadPoolExecutor(6) as threads:
            assert sum(threads.map(ask, range(6))) == 1

    def test_a_key_stands_for_its_body_whatever_device_there_is_now(self, store: Store) -> None:
        first, _ = jobs.submit(store, SPEC, idempotency_key="k", device_kind="cpu")
        again = jobs.submit(store, SPEC, idempotency_key="k", device_kind="cuda")
        assert again == (first, None)


class TestReuse:
    def reused(self, store: Store, spec: DiagnosisSpec = SPEC, reuse: Reuse = Reuse.ANY) -> str:
        job_id, new = jobs.submit(store, spec, reuse=reuse)
        assert not new
        return job_id

    def is_asked_anew(self, store: Store, **how: Any) -> bool:
        return jobs.submit(store, SPEC, **{"reuse": Reuse.ANY, **how})[1] is not None

    def test_a_succeeded_job_answers_the_same_spec(self, store: Store) -> None:
        job_id = submitted(store)
        jobs.succeed(store, claimed(store, job_id), REPORT)
        assert self.reused(store) == job_id

    def test_a_default_that_is_written_out_is_the_same_spec(self, store: Store) -> None:
        job_id = submitted(store)
        written_out = DiagnosisSpec.model_validate(SPEC.model_dump(mode="json"))
        assert self.reused(store, written_out) == job_id

    @pytest.mark.parametrize("reuse", [Reuse.ANY, Reuse.UNFINISHED])
    def test_a_job_that_is_queued_or_running_is_joined(self, store: Store, reuse: Reuse) -> None:
        job_id = submitted(store)
        assert self.reused(store, reuse=reuse) == job_id
        claimed(store, job_id)
        assert self.reused(store, reuse=reuse) == job_id

    def test_a_finished_job_comes_before_one_that_has_only_begun(self, store: Store) -> None:
        job_id = submitted(store)
        jobs.succeed(store, claimed(store, job_id), REPORT)
        submitted(store)
        assert self.reused(store) == job_id

    def test_the_newest_of_several_results_answers(self, store: Store) -> None:
        for _ in range(2):
            newest = submitted(store)
            jobs.succeed(store, claimed(store, newest), REPORT)
        assert self.reused(store) == newest

    def test_a_finished_job_is_not_joined_where_only_unfinished_ones_will_do(
        self, store: Store
    ) -> None:
        jobs.succeed(store, claimed(store, submitted(store)), REPORT)
        assert self.is_asked_anew(store, reuse=Reuse.UNFINISHED)

    def test_another_seed_is_another_question(self, store: Store) -> None:
        submitted(store)
        assert jobs.submit(store, OTHER_SPEC, reuse=Reuse.ANY)[1]

    def test_another_device_is_another_question(self, store: Store) -> None:
        submitted(store)
        assert self.is_asked_anew(store, device_kind="cuda")

    def test_another_version_is_another_question(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submitted(store)
        monkeypatch.setattr(jobs.submitting, "VERSION", "99")
        assert self.is_asked_anew(store)

    def test_a_job_that_failed_answers_nothing(self, store: Store) -> None:
        jobs.fail(store, claimed(store, submitted(store)), UNEXPECTED.problem())
        assert self.is_asked_anew(store)

    def test_a_job_that_is_being_cancelled_or_was_answers_nothing(self, store: Store) -> None:
        job_id = submitted(store)
        claim = claimed(store, job_id)
        jobs.cancel(store, job_id)
        assert self.is_asked_anew(store, reuse=Reuse.UNFINISHED)
        jobs.cancel(store, self.reused(store))
        jobs.stop(store, claim)
        assert self.is_asked_anew(store)

    def test_a_succeeded_job_that_was_deleted_answers_nothing(self, store: Store) -> None:
        job_id = submitted(store)
        jobs.succeed(store, claimed(store, job_id), REPORT)
        jobs.cancel(store, job_id)
        assert found(store, job_id).state == State.SUCCEEDED
        assert self.is_asked_anew(store)

    def test_a_new_key_is_a_new_job(self, store: Store) -> None:
        submitted(store)
        assert self.is_asked_anew(store, idempotency_key="k")

    def test_processes_that_ask_the_same_together_share_one_job(
        self, store: Store, database_url: str
    ) -> None:
        with multiprocessing.get_context("spawn").Pool(3) as pool:
            answers = pool.map(_ask, [database_url] * 12, chunksize=1)
        assert len({job_id for job_id, _ in answers}) == 1
        assert sum(new for _, new in answers) == 1


def _ask(database_url: str) -> tuple[str, bool]:
    store = Store(database_url)
    job_id, made = jobs.submit(store, SPEC, reuse=Reuse.ANY)
    store.close()
    return job_id, made is not None


class TestNewest:
    def test_pages_through_all_jobs_newest_first(self, store: Store) -> None:
        ids = sorted((submitted(store) for _ in range(5)), reverse=True)
        first = [job.id for job in jobs.newest(store, limit=3)]
        rest = [job.id for job in jobs.newest(store, limit=3, before=first[-1])]
        assert first + rest == ids

    def test_filters_by_state_and_outcome(self, store: Store) -> None:
        done, _ = submitted(store), submitted(store)
        jobs.succeed(store, claimed(store, done), REPORT)
        assert [job.id for job in jobs.newest(store, limit=9, state="succeeded")] == [done]
        assert [job.id for job in jobs.newest(store, limit=9, outcome="stable")] == [done]
        assert jobs.newest(store, limit=9, outcome="unstable") == []


class TestClaim:
    def test_a_job_is_claimed_once(self, store: Store) -> None:
        job_id = submitted(store)
        assert claimed(store, job_id).number == 1
        assert jobs.claim(store, job_id, worker="w2", lease_seconds=60) is None

    def test_an_unknown_job_cannot_be_claimed(self, store: Store) -> None:
        assert jobs.claim(store, "no-such-job", worker="w1", lease_seconds=60) is None

    def test_of_many_processes_that_race_for_a_job_exactly_one_gets_it(
        self, store: Store, database_url: str
    ) -> None:
        ids = [submitted(store) for _ in range(25)]
        context = multiprocessing.get_context("spawn")
        with context.Pool(4) as pool:
            won = pool.starmap(_claim_all, [(database_url, ids, f"w{n}") for n in range(4)])
        assert sorted(job_id for claims in won for job_id in claims) == sorted(ids)


def _claim_all(database_url: str, ids: list[str], worker: str) -> list[str]:
    store = Store(database_url)
    won = [i for i in ids if jobs.claim(store, i, worker=worker, lease_seconds=60) is not None]
    store.close()
    return won


class TestAnAttempt:
    def test_that_succeeds_leaves_report_and_outcome(self, store: Store) -> None:
        job_id = submitted(store)
        assert jobs.succeed(store, claimed(store, job_id), REPORT)
        job = found(store, job_id)
        assert (job.state, job.report, job.outcome) == (State.SUCCEEDED, REPORT, "stable")
        assert job.finished_at is not None
        assert endings(store, job_id) == [Ending.SUCCEEDED]

    def test_that_was_superseded_writes_nothing(self, store: Store) -> None:
        job_id = submitted(store)
        zombie = claimed(store, job_id)
        jobs.lose_worker(store, "w1", why="it was taken for dead")
        heir = claimed(store, job_id, worker="w2")

        assert not jobs.succeed(store, zombie, {"verdict": {"outcome": "unstable"}})
        assert not jobs.fail(store, zombie, UNEXPECTED.problem())
        assert not jobs.stop(store, zombie)
        assert not jobs.release(store, zombie)
        beat = jobs.beat(store, zombie, lease_seconds=60, stage="omega", share=0.9)
        assert not beat.current
        assert (found(store, job_id).state, found(store, job_id).share) == (State.RUNNING, 0)

        assert jobs.succeed(store, heir, REPORT)
        assert found(store, job_id).outcome == "stable"
        assert endings(store, job_id) == [Ending.LOST, Ending.SUCCEEDED]

    def test_that_beats_keeps_its_job(self, store: Store) -> None:
        job_id = submitted(store)
        claim = claimed(store, job_id, lease_seconds=-1)
        assert jobs.beat(store, claim, lease_seconds=60, stage="omega", share=0.5).current
        assert jobs.reap(store) == []
        job = found(store, job_id)
        assert (job.stage, job.share) == ("omega", 0.5)

    def test_runs_since_it_began_and_not_since_the_one_before(self, store: Store) -> None:
        job_id = submitted(store)
        assert found(store, job_id).running_seconds is None
        claimed(store, job_id, lease_seconds=-1)
        with store.writing() as connection:
            connection.execute(text("UPDATE attempts SET started_at = started_at - 100"))
        assert 100 <= (found(store, job_id).running_seconds or 0) < 160
        jobs.reap(store)
        assert found(store, job_id).running_seconds is None
        heir = claimed(store, job_id)
        [listed] = jobs.newest(store, limit=1)
        assert 0 <= (listed.running_seconds or 0) < 60
        jobs.succeed(store, heir, REPORT)
        assert found(store, job_id).running_seconds is None

    def test_whose_lease_ran_out_gives_the_job_to_the_next(self, store: Store) -> None:
        job_id = submitted(store)
        claimed(store, job_id, lease_seconds=-1)
        assert jobs.reap(store) == [job_id]
        assert found(store, job_id).state == State.QUEUED
        assert claimed(store, job_id).number == 2

    def test_hears_that_it_must_stop(self, store: Store) -> None:
        job_id = submitted(store)
        claim = claimed(store, job_id)
        jobs.drain(store, "w1")
        jobs.cancel(store, job_id)
        beat = jobs.beat(store, claim, lease_seconds=60, stage="", share=0)
        assert beat.current
        assert beat.cancel_requested
        assert beat.drain_requested

    def test_a_report_with_nan_is_refused(self, store: Store) -> None:
        claim = claimed(store, submitted(store))
        with pytest.raises(Exception, match="not JSON compliant"):
            jobs.succeed(store, claim, {"verdict": None, "x": float("nan")})


class TestGivingUp:
    def test_after_three_lost_attempts_the_job_fails_and_says_why(self, store: Store) -> None:
        job_id = submitted(store)
        for number in (1, 2, 3):
            claimed(store, job_id, worker=f"w{number}")
            jobs.lose_worker(store, f"w{number}", why=f"it died of cause {number}")
        job = found(store, job_id)
        assert job.state == State.FAILED
        assert job.problem is not None
        for cause in ("cause 1", "cause 2", "cause 3"):
            assert cause in job.problem["detail"]
        assert len(job.problem["attempts"]) == 3

    def test_a_worker_that_shuts_down_does_not_count(self, store: Store) -> None:
        job_id = submitted(store)
        for _ in range(5):
            assert jobs.release(store, claimed(store, job_id))
        assert found(store, job_id).state == State.QUEUED


class TestCancel:
    def test_ends_a_queued_job_at_once(self, store: Store) -> None:
        job_id = submitted(store)
        jobs.cancel(store, job_id)
        job = found(store, job_id)
        assert job.state == State.CANCELLED
        assert job.finished_at is not None
        assert jobs.claim(store, job_id, worker="w1", lease_seconds=60) is None

    def test_of_a_running_job_stays_in_force_when_the_attempt_is_lost(self, store: Store) -> None:
        job_id = submitted(store)
        claimed(store, job_id, lease_seconds=-1)
        jobs.cancel(store, job_id)
        assert found(store, job_id).state == State.RUNNING
        jobs.reap(store)
        assert found(store, job_id).state == State.CANCELLED

    def test_leaves_a_finished_job_as_it_is(self, store: Store) -> None:
        job_id = submitted(store)
        jobs.succeed(store, claimed(store, job_id), REPORT)
        jobs.cancel(store, job_id)
        assert found(store, job_id).state == State.SUCCEEDED


class TestUnpublished:
    def test_names_queued_jobs_whose_message_was_never_sent_or_is_old(self, store: Store) -> None:
        never, old, new, taken = (submitted(store) for _ in range(4))
        for job_id in (old, new):
            jobs.mark_published(store, job_id)
        with store.writing() as connection:
            connection.execute(
                text("UPDATE jobs SET published_at = published_at - 60 WHERE id = :id"), {"id": old}
            )
        claimed(store, taken)
        waiting = [
            job_id for job_id, _ in jobs.unpublished(store, list(JobName), older_than_seconds=30)
        ]
        assert sorted(waiting) == sorted([never, old])


class TestMoving:
    def test_what_waits_for_a_kind_of_device_that_is_gone_is_sent_to_the_one_that_is_here(
        self, store: Store
    ) -> None:
        waiting, begun, over = (submitted(store) for _ in range(3))
        claimed(store, begun, "a-worker-of-before")
        jobs.cancel(store, over)
        jobs.mark_published(store, waiting)
        assert jobs.move_to(store, "cpu") == []
        assert jobs.move_to(store, "cuda") == [waiting, begun]
        unpublished = jobs.unpublished(store, list(JobName), older_than_seconds=60)
        assert unpublished == []
        sent = jobs.unpublished(store, list(JobName), older_than_seconds=60, device_kind="cuda")
        assert [job_id for job_id, _ in sent] == [waiting]
        # It answers the question as it is asked there, and no more the one that it was.
        same, _ = jobs.submit(store, SPEC, reuse=Reuse.UNFINISHED, device_kind="cuda")
        assert same in (waiting, begun)
        _, new = jobs.submit(store, SPEC, reuse=Reuse.UNFINISHED)
        assert new


class TestWorkers:
    def test_count_as_live_while_they_beat(self, store: Store) -> None:
        jobs.worker_is_alive(store, "w1")
        jobs.worker_is_alive(store, "w1")
        assert jobs.live_workers(store, within_seconds=60) == ["w1"]
        assert jobs.live_workers(store, within_seconds=-60) == []
        jobs.forget_worker(store, "w1")
        assert jobs.live_workers(store, within_seconds=60) == []
