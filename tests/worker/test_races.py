from pathlib import Path

import pytest
from sqlalchemy import text

from admin_core.race_spec import RaceSpec, RunSpec
from tests.service import SMALL
from worker import jobs, races
from worker.artifacts import Artifacts
from worker.jobs import Claim, IdempotencyKeyReusedError, Job, JobName, Reuse, State
from worker.problem import UNEXPECTED
from worker.settings import Settings
from worker.store import Store

SPEC = RaceSpec.model_validate(SMALL | {"arms": ["post_ln", "admin"], "seeds": [4, 5]})


@pytest.fixture
def race(store: Store) -> races.Submitted:
    return races.submit(store, SPEC)


def claimed(store: Store, job_id: str, worker: str = "w1") -> Claim:
    claim = jobs.claim(store, job_id, worker=worker, lease_seconds=60)
    assert claim is not None
    return claim


def found(store: Store, job_id: str) -> Job:
    job = jobs.get(store, job_id)
    assert job is not None
    return job


def states(store: Store, race: races.Submitted) -> list[str]:
    return [run.state for run in races.runs_of(store, race.race_id)]


def beat(store: Store, held: Claim, share: float, *steps: int) -> jobs.Beat:
    points = [{"step": step, "loss": 3.0} for step in steps]
    return jobs.beat(store, held, lease_seconds=60, stage="training", share=share, points=points)


class TestSubmit:
    def test_makes_one_run_for_each_arm_and_seed_seed_by_seed(
        self, store: Store, race: races.Submitted
    ) -> None:
        runs = races.runs_of(store, race.race_id)
        assert [(run.arm, run.seed) for run in runs] == [
            *[("post_ln", 4), ("admin", 4)],
            *[("post_ln", 5), ("admin", 5)],
        ]
        assert [run.id for run in runs] == race.run_ids

    def test_gives_each_run_all_that_it_needs(self, store: Store, race: races.Submitted) -> None:
        spec = claimed(store, race.run_ids[3]).spec
        assert RunSpec.model_validate(spec["run"]) == SPEC.run(1)
        assert spec["seed"] == 5

    def test_the_same_key_gives_the_same_race_and_no_further_runs(self, store: Store) -> None:
        first = races.submit(store, SPEC, idempotency_key="k")
        assert races.submit(store, SPEC, idempotency_key="k") == (first.race_id, [])
        other = SPEC.model_copy(update={"seeds": (4,)})
        with pytest.raises(IdempotencyKeyReusedError):
            races.submit(store, other, idempotency_key="k")

    def test_of_the_same_spec_can_be_answered_by_the_race_that_is_there(
        self, store: Store, race: races.Submitted
    ) -> None:
        assert races.submit(store, SPEC, reuse=Reuse.ANY) == (race.race_id, [])
        other = SPEC.model_copy(update={"seeds": (4,)})
        assert races.submit(store, other, reuse=Reuse.ANY).run_ids
        jobs.cancel(store, race.race_id)
        assert len(races.submit(store, SPEC, reuse=Reuse.ANY).run_ids) == 4

    def test_lists_a_race_as_one_job(self, store: Store, race: races.Submitted) -> None:
        assert [job.id for job in jobs.newest(store, limit=9)] == [race.race_id]


class TestARace:
    def test_cannot_be_claimed_or_sent_before_its_runs_are_done(
        self, store: Store, race: races.Submitted
    ) -> None:
        assert jobs.claim(store, race.race_id, worker="w1", lease_seconds=60) is None
        assert jobs.unpublished(store, [JobName.RACE], older_than_seconds=0) == []

    def test_runs_as_soon_as_one_of_its_runs_does(
        self, store: Store, race: races.Submitted
    ) -> None:
        claimed(store, race.run_ids[0])
        job = found(store, race.race_id)
        assert (job.state, job.stage) == (State.RUNNING, "training")
        assert job.started_at is not None

    def test_is_as_far_as_its_runs_are_on_average(
        self, store: Store, race: races.Submitted
    ) -> None:
        jobs.succeed(store, claimed(store, race.run_ids[0]), {"outcome": "converged"})
        beat(store, claimed(store, race.run_ids[1]), 0.5)
        assert found(store, race.race_id).share == pytest.approx(1.5 / 4)

    def test_can_be_claimed_once_its_last_run_has_succeeded(
        self, store: Store, race: races.Submitted
    ) -> None:
        for seed, run_id in enumerate(race.run_ids):
            jobs.succeed(store, claimed(store, run_id), {"outcome": "stalled", "seed": seed})
        waiting = jobs.unpublished(store, list(JobName), older_than_seconds=0)
        assert waiting == [(race.race_id, JobName.RACE)]
        assert len(races.results_of(store, race.race_id)) == 4
        held = claimed(store, race.race_id)
        assert found(store, race.race_id).share == 1
        assert jobs.succeed(store, held, {"conclusion": "."})
        assert found(store, race.race_id).state == State.SUCCEEDED

    def test_fails_with_the_run_that_fails_and_stops_the_others(
        self, store: Store, race: races.Submitted
    ) -> None:
        running = claimed(store, race.run_ids[0])
        jobs.fail(store, claimed(store, race.run_ids[1]), UNEXPECTED.problem("No luck."))
        assert states(store, race) == ["running", "failed", "cancelled", "cancelled"]
        assert beat(store, running, 0.1).cancel_requested
        assert found(store, race.race_id).state == State.RUNNING
        jobs.stop(store, running)
        job = found(store, race.race_id)
        assert job.state == State.FAILED
        assert job.problem is not None
        assert job.problem["detail"] == "Arm admin, seed 4: No luck."

    def test_fails_when_a_run_was_lost_too_often(self, store: Store, race: races.Submitted) -> None:
        for _ in range(3):
            claimed(store, race.run_ids[0])
            jobs.lose_worker(store, "w1", why="it died")
        assert found(store, race.race_id).state == State.FAILED

    def test_goes_on_when_a_run_is_lost_once(self, store: Store, race: races.Submitted) -> None:
        claimed(store, race.run_ids[0])
        assert jobs.lose_worker(store, "w1", why="it died") == [race.run_ids[0]]
        assert found(store, race.race_id).state == State.RUNNING
        assert claimed(store, race.run_ids[0]).number == 2


class TestCancel:
    def test_ends_a_race_that_has_not_begun_at_once(
        self, store: Store, race: races.Submitted
    ) -> None:
        jobs.cancel(store, race.race_id)
        assert found(store, race.race_id).state == State.CANCELLED
        assert states(store, race) == ["cancelled"] * 4

    def test_of_a_running_race_waits_for_the_run_that_was_told_to_stop(
        self, store: Store, race: races.Submitted
    ) -> None:
        held = claimed(store, race.run_ids[0])
        jobs.cancel(store, race.race_id)
        assert found(store, race.race_id).state == State.RUNNING
        assert states(store, race) == ["running", *["cancelled"] * 3]
        assert beat(store, held, 0.1).cancel_requested
        jobs.stop(store, held)
        job = found(store, race.race_id)
        assert job.state == State.CANCELLED
        assert job.finished_at is not None

    def test_between_two_runs_ends_the_race(self, store: Store, race: races.Submitted) -> None:
        jobs.succeed(store, claimed(store, race.run_ids[0]), {"outcome": "converged"})
        jobs.cancel(store, race.race_id)
        assert found(store, race.race_id).state == State.CANCELLED

    def test_leaves_other_races_alone(self, store: Store, race: races.Submitted) -> None:
        other = races.submit(store, SPEC)
        jobs.cancel(store, race.race_id)
        assert states(store, other) == ["queued"] * 4


class TestPoints:
    def test_are_kept_in_order_and_told_from_any_place_on(
        self, store: Store, race: races.Submitted
    ) -> None:
        one, other = (claimed(store, run_id) for run_id in race.run_ids[:2])
        beat(store, one, 0.1, 1, 2)
        beat(store, other, 0.1, 1)
        beat(store, one, 0.2)
        beat(store, one, 0.3, 3)
        told = races.points_of_race(store, race.race_id, after=0, limit=9)
        assert [(row.run_id, len(row.points)) for row in told] == [
            (one.job_id, 2),
            (other.job_id, 1),
            (one.job_id, 1),
        ]
        assert races.points_of_race(store, race.race_id, after=told[1].id, limit=9) == told[2:]
        assert [point["step"] for point in races.points_of_run(store, one.job_id)] == [1, 2, 3]
        assert races.last_step(store, one.job_id) == 3
        assert races.last_step(store, race.run_ids[3]) == 0

    def test_of_an_attempt_that_was_superseded_are_refused(
        self, store: Store, race: races.Submitted
    ) -> None:
        zombie = claimed(store, race.run_ids[0])
        jobs.lose_worker(store, "w1", why="it was taken for dead")
        assert not beat(store, zombie, 0.5, 1).current
        assert races.last_step(store, zombie.job_id) == 0

    def test_go_with_their_race(self, store: Store, race: races.Submitted) -> None:
        beat(store, claimed(store, race.run_ids[0]), 0.1, 1)
        with store.writing() as connection:
            connection.execute(text("DELETE FROM jobs WHERE id = :id"), {"id": race.race_id})
        with store.reading() as connection:
            for table in ("jobs", "points", "attempts"):
                assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0


def test_files_are_removed_once_their_job_is_finished(
    store: Store, race: races.Submitted, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    artifacts = Artifacts(settings)
    ids = race.run_ids
    for run_id in ids:
        (artifacts.bring(run_id) / "run.safetensors").touch()
    jobs.succeed(store, claimed(store, ids[0]), {"outcome": "converged"})
    claimed(store, ids[1])
    artifacts.remove_those_of_finished(store)
    assert sorted(folder.name for folder in settings.artifacts.iterdir()) == ids[1:]
    jobs.cancel(store, race.race_id)
    artifacts.remove_those_of_finished(store)
    assert [folder.name for folder in settings.artifacts.iterdir()] == [ids[1]]
