import time
from functools import partial
from pathlib import Path

import pytest

from admin_core.errors import AnalysisCancelledError, AnalysisReleasedError
from admin_core.progress import Progress
from admin_core.spec import DiagnosisSpec
from tests.service import SMALL
from worker import jobs
from worker.attempt import RunningAttempt
from worker.jobs import Claim, JobName, State
from worker.settings import Settings
from worker.store import Store


@pytest.fixture
def held(store: Store) -> Claim:
    job_id, _ = jobs.submit(store, DiagnosisSpec.model_validate(SMALL))
    claim = jobs.claim(store, job_id, worker="w1", lease_seconds=60)
    assert claim is not None
    return claim


def settings(tmp_path: Path, **values: float) -> Settings:
    return Settings(home=tmp_path, **values)  # type: ignore[arg-type]


def work_until_stopped(attempt: RunningAttempt) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        attempt.on_progress(Progress("omega", 0.25))
        time.sleep(0.01)


def state(store: Store, held: Claim) -> str:
    job = jobs.get(store, held.job_id)
    assert job is not None
    return job.state


class TestARunningAttempt:
    def test_tells_its_progress_and_renews_its_lease(
        self, store: Store, held: Claim, tmp_path: Path
    ) -> None:
        with RunningAttempt(store, held, settings(tmp_path, lease_seconds=60)) as attempt:
            attempt.on_progress(Progress("omega", 0.25))
            time.sleep(0.8)
        job = jobs.get(store, held.job_id)
        assert job is not None
        assert (job.stage, job.share) == ("omega", 0.25)

    def test_stops_when_its_job_is_cancelled(
        self, store: Store, held: Claim, tmp_path: Path
    ) -> None:
        attempt = RunningAttempt(store, held, settings(tmp_path))
        jobs.cancel(store, held.job_id)
        with pytest.raises(AnalysisCancelledError), attempt:
            work_until_stopped(attempt)
        attempt.conclude_stopped()
        assert state(store, held) == State.CANCELLED

    def test_gives_its_job_back_when_its_worker_shuts_down(
        self, store: Store, held: Claim, tmp_path: Path
    ) -> None:
        attempt = RunningAttempt(store, held, settings(tmp_path))
        jobs.drain(store, "w1")
        with pytest.raises(AnalysisReleasedError), attempt:
            work_until_stopped(attempt)
        attempt.conclude_stopped()
        assert state(store, held) == State.QUEUED

    def test_fails_its_job_at_the_time_limit(
        self, store: Store, held: Claim, tmp_path: Path
    ) -> None:
        attempt = RunningAttempt(store, held, settings(tmp_path, job_time_limit_seconds=0.1))
        with pytest.raises(AnalysisCancelledError), attempt:
            work_until_stopped(attempt)
        attempt.conclude_stopped()
        job = jobs.get(store, held.job_id)
        assert job is not None
        assert job.problem is not None
        assert job.problem["type"].endswith("time-limit")
        assert "TRIMTAB_JOB_TIME_LIMIT_SECONDS" in job.problem["detail"]

    def test_stops_without_a_word_when_another_has_its_job(
        self, store: Store, held: Claim, tmp_path: Path
    ) -> None:
        attempt = RunningAttempt(store, held, settings(tmp_path))
        jobs.lose_worker(store, "w1", why="it was taken for dead")
        with pytest.raises(AnalysisCancelledError), attempt:
            work_until_stopped(attempt)
        attempt.conclude_stopped()
        assert state(store, held) == State.QUEUED

    def test_gives_a_job_of_a_later_version_back_for_workers_that_know_its_words(
        self, store: Store, held: Claim, tmp_path: Path
    ) -> None:
        attempt = RunningAttempt(store, held, settings(tmp_path))
        later = held.spec | {"of_the_future": 1}
        with pytest.raises(AnalysisCancelledError), attempt:
            attempt.understand(DiagnosisSpec, later)
        attempt.conclude_stopped()
        assert state(store, held) == State.QUEUED
        job = jobs.get(store, held.job_id)
        assert job is not None
        assert [attempt.ending for attempt in job.attempts] == ["released"]
        # It comes again, but not at once.
        again = partial(jobs.unpublished, store, list(JobName))
        assert again(older_than_seconds=60) == []
        assert again(older_than_seconds=-1) == [(held.job_id, JobName.DIAGNOSIS)]
        assert jobs.claim(store, held.job_id, worker="newer", lease_seconds=60) is not None
