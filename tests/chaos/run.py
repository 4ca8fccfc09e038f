"""A seeded run: jobs are submitted while faults come, and then each is looked at."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import torch
from pydantic import BaseModel
from sqlalchemy import func, select

from admin_core.diagnosis import diagnose_spec
from admin_core.race import race
from admin_core.race_spec import RaceSpec
from admin_core.spec import DiagnosisSpec
from tests.chaos.engine import Engine
from tests.chaos.faults import FAULTS
from worker import jobs, races
from worker import store as tables
from worker.jobs import FINISHED, Ending, Job, JobName, State

KINDS_OF_DIAGNOSIS = 6
KINDS_OF_RACE = 2
RACE_SHARE = 0.15
STEPS = 12


@dataclass(kw_only=True)
class Outcome:
    """What became of a run."""

    submitted: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """Refused or broken requests on the way, by kind; each was sent again."""
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    exhausted: int = 0
    """Jobs that failed because three attempts were lost."""
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run_chaos(
    folder: Path,
    *,
    count: int,
    faults: int,
    seed: int,
    database: str,
    between_seconds: float,
    layers: int,
) -> Outcome:
    """Submit `count` jobs while `faults` faults come, at most one every `between_seconds` on
    average; wait until all are over; and check them all.

    Args:
        layers: of each model; more of them keep a worker busy for longer.
    """
    outcome = Outcome()
    chance = Random(seed)
    kinds = _kinds(layers)
    bodies = list(_bodies(kinds, count, chance))
    expected = {name: _undisturbed(path, body) for name, path, body in kinds}
    engine = Engine(folder, database=database)
    started = time.monotonic()
    accepted: dict[str, str] = {}
    all_submitted = threading.Event()

    def submit_all() -> None:
        pause = faults * between_seconds / max(1, count)
        for number, (name, path, body) in enumerate(bodies):
            job_id = _submit(engine, path, body, key=f"{seed}-{number}", outcome=outcome)
            accepted[job_id] = name
            time.sleep(Random(seed + number).uniform(0, pause))
        all_submitted.set()

    client = threading.Thread(target=submit_all, daemon=True)
    client.start()
    names = list(FAULTS)
    # Each kind comes, and then they come as chance has it.
    order = chance.sample(names, len(names))
    order += chance.choices(names, [FAULTS[name][1] for name in names], k=max(0, faults))
    for name in order[:faults]:
        time.sleep(chance.uniform(0.2, 2 * between_seconds))
        FAULTS[name][0](engine, chance, _kinds_of(dict(accepted)))
        outcome.faults[name] += 1
    client.join(600)
    try:
        if not all_submitted.is_set():
            outcome.violations.append("submitting did not come to its end")
        _wait_until_over(engine, list(accepted), outcome)
        outcome.submitted = len(accepted)
        _check(engine, accepted, expected, count, outcome)
        if outcome.violations and engine.unexpected():
            outcome.violations.append(engine.unexpected())
    finally:
        outcome.seconds = time.monotonic() - started
        engine.stop()
    return outcome


Kind = tuple[str, str, dict[str, Any]]
"""Name, path and body of a request."""


def _kinds(layers: int) -> list[Kind]:
    """Every request that there is: first diagnoses, then races."""
    model = {
        "kind": "transformer",
        "architecture": "encoder_only",
        "encoder_layers": layers,
        "d_model": 16,
        "num_heads": 2,
    }
    training = {"batch_size": 2, "sequence_length": 8, "steps": STEPS}
    spec = {"model": model, "training": training, "data": {"kind": "synthetic", "name": "uniform"}}
    diagnoses = [
        (f"diagnosis {seed}", "/v1/diagnoses", spec | {"seed": seed})
        for seed in range(KINDS_OF_DIAGNOSIS)
    ]
    raced = [
        (f"race {seed}", "/v1/races", spec | {"arms": ["post_ln", "admin"], "seeds": [seed]})
        for seed in range(KINDS_OF_RACE)
    ]
    return diagnoses + raced


def _kinds_of(accepted: dict[str, str]) -> dict[str, JobName]:
    return {job_id: JobName(name.partition(" ")[0]) for job_id, name in accepted.items()}


def _bodies(kinds: list[Kind], count: int, chance: Random) -> Iterator[Kind]:
    for _ in range(count):
        is_race = chance.random() < RACE_SHARE
        yield chance.choice(kinds[KINDS_OF_DIAGNOSIS:] if is_race else kinds[:KINDS_OF_DIAGNOSIS])


def _undisturbed(path: str, body: dict[str, Any]) -> Any:
    """The result where nothing goes wrong, made in this process, with a worker's one thread: sums
    over more of them differ in their last digits."""
    torch.set_num_threads(1)
    if path == "/v1/diagnoses":
        report: BaseModel = diagnose_spec(DiagnosisSpec.model_validate(body), device="cpu")
    else:
        report = race(RaceSpec.model_validate(body), device="cpu")
    return _timeless(report.model_dump(mode="json"))


def _timeless(report: Any) -> Any:
    """Without what a clock says, which no two runs have in common."""
    if isinstance(report, dict):
        return {
            name: _timeless(value)
            for name, value in report.items()
            if "second" not in name and name != "environment"
        }
    return [_timeless(value) for value in report] if isinstance(report, list) else report


def _submit(engine: Engine, path: str, body: dict[str, Any], *, key: str, outcome: Outcome) -> str:
    """The id of the job; asks again, as any client would, until it is accepted."""
    while True:
        try:
            answer = engine.http.post(path, json=body, headers={"Idempotency-Key": key})
        except httpx.HTTPError as error:
            outcome.answers[type(error).__name__] += 1
        else:
            if answer.status_code in (200, 202):
                return str(answer.json()["id"])
            outcome.answers[str(answer.status_code)] += 1
            if answer.status_code != 503:
                outcome.violations.append(f"{path} answered {answer.status_code}: {answer.text}")
        time.sleep(0.2)


def _wait_until_over(engine: Engine, ids: list[str], outcome: Outcome) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        if len(jobs.finished_among(engine.store, ids)) == len(ids):
            return
        time.sleep(0.5)
    outcome.violations.append("some jobs are not over ten minutes after the last fault")


def _check(
    engine: Engine, accepted: dict[str, str], expected: dict[str, Any], count: int, outcome: Outcome
) -> None:
    columns = tables.jobs.c
    with engine.store.reading() as connection:
        top = connection.execute(
            select(func.count()).where(columns.parent_id.is_(None))
        ).scalar_one()
        runs = connection.execute(
            select(columns.id).where(columns.parent_id.is_not(None))
        ).scalars()
        run_ids = list(runs)
    if len(accepted) != count or top != count:
        outcome.violations.append(
            f"{count} requests, {len(accepted)} jobs accepted, {top} jobs in the database"
        )
    for job_id in (*accepted, *run_ids):
        job = jobs.get(engine.store, job_id)
        assert job is not None
        outcome.states[f"{job.kind} {job.state}"] += 1
        _check_job(engine, job, expected.get(accepted.get(job_id, "")), outcome)


def _check_job(engine: Engine, job: Job, expected: Any, outcome: Outcome) -> None:
    def violated(what: str) -> None:
        outcome.violations.append(f"{job.kind} {job.id}: {what}")

    outcome.endings.update(attempt.ending or "none" for attempt in job.attempts)
    endings = [attempt.ending for attempt in job.attempts]
    if job.state not in FINISHED:
        violated(f"is {job.state}")
    if [attempt.number for attempt in job.attempts] != list(range(1, len(endings) + 1)):
        violated("has attempts that are not numbered in turn")
    if None in endings:
        violated("has an attempt without an end")
    if endings.count(Ending.LOST) > jobs.MAX_ATTEMPTS:
        violated(f"was lost {endings.count(Ending.LOST)} times")
    if job.state == State.SUCCEEDED:
        if endings.count(Ending.SUCCEEDED) != 1 or endings[-1] != Ending.SUCCEEDED:
            violated(f"succeeded by attempts that ended {endings}")
        if expected is not None and _timeless(job.report) != expected:
            violated("has another result than the undisturbed run")
    elif job.state == State.FAILED:
        kind = (job.problem or {}).get("type", "")
        if not kind.endswith("attempts-exhausted"):
            violated(f"failed: {job.problem}")
        outcome.exhausted += job.kind != JobName.RACE_RUN
    elif job.kind != JobName.RACE_RUN:
        violated(f"is {job.state}, and nobody cancelled it")
    if job.kind == JobName.RACE_RUN and job.state == State.SUCCEEDED:
        steps = [point["step"] for point in races.points_of_run(engine.store, job.id)]
        if steps != list(range(1, STEPS + 1)):
            violated(f"told of the steps {steps}")
