from admin_core.race_spec import RaceSpec
from admin_core.spec import DiagnosisSpec
from tests.service import SMALL
from worker import jobs, races
from worker.problem import UNEXPECTED
from worker.store import Store


def finished(store: Store) -> str:
    job_id, _ = jobs.submit(store, DiagnosisSpec.model_validate(SMALL))
    held = jobs.claim(store, job_id, worker="w", lease_seconds=60)
    assert held is not None
    jobs.fail(store, held, UNEXPECTED.problem())
    return job_id


def test_finished_jobs_are_forgotten_after_their_time(store: Store) -> None:
    job_id = finished(store)
    assert jobs.remove_old(store, older_than_seconds=60) == 0
    assert jobs.get(store, job_id) is not None
    assert jobs.remove_old(store, older_than_seconds=0) == 1
    assert jobs.get(store, job_id) is None


def test_more_than_one_transaction_takes_are_forgotten_too(store: Store) -> None:
    for _ in range(jobs.retention.AT_A_TIME + 1):
        finished(store)
    assert jobs.remove_old(store, older_than_seconds=0) == jobs.retention.AT_A_TIME + 1
    assert jobs.newest(store, limit=1) == []


def test_jobs_that_are_not_finished_stay_however_old_they_are(store: Store) -> None:
    job_id, _ = jobs.submit(store, DiagnosisSpec.model_validate(SMALL))
    assert jobs.remove_old(store, older_than_seconds=0) == 0
    assert jobs.get(store, job_id) is not None


def test_a_race_goes_with_its_runs_and_not_before_them(store: Store) -> None:
    race = races.submit(store, RaceSpec.model_validate(SMALL | {"arms": ["admin"], "seeds": 2}))
    assert jobs.remove_old(store, older_than_seconds=0) == 0
    jobs.cancel(store, race.race_id)
    assert jobs.remove_old(store, older_than_seconds=0) == 1
    assert races.runs_of(store, race.race_id) == []
