"""The life of a job, as functions on the store.

    submit ─▶ queued ─▶ running ─▶ succeeded | failed | cancelled
                 ▲          │
                 └──────────┘  the attempt was lost, or its worker is shutting down

An attempt holds a lease and a fencing number, its `number`. Whatever it writes, it writes on the
condition that the job still runs under this number; once it does not, nothing that the attempt
does can be seen any more. So a message that comes twice, a worker that was taken for dead, and a
dead worker are all harmless.

A race is a job whose runs, one per arm and seed, are jobs too. The transaction that ends its last
run ends the race if a run failed or was cancelled; otherwise the race can be claimed from then on,
to be concluded. Whoever writes to a run holds the race's row first, so that no two wait for each
other.
"""

import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    case,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from admin_core.errors import InvalidSpecError
from admin_core.spec import DataSpec, DiagnosisSpec, UploadData
from worker import store as tables
from worker.problem import ATTEMPTS_EXHAUSTED, Problem
from worker.settings import DeviceKind
from worker.store import Store, db_now

MAX_ATTEMPTS = 3
"""Lost attempts after which a job is given up."""


class JobName(StrEnum):
    """What can be asked for; also the name of the task that does it."""

    DIAGNOSIS = "diagnosis"
    RACE = "race"
    """To conclude it; the work is in its runs."""
    RACE_RUN = "race_run"
    """One arm of a race with one seed."""
    RUN = "run"
    """A training loop of the caller's own, which tells where it is; there is no task."""
    REPORT = "report"
    """A diagnosis that was made elsewhere, and pushed; there is no task."""


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
UNFINISHED = (State.QUEUED, State.RUNNING)


class Ending(StrEnum):
    """What became of an attempt."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its worker died or stopped beating."""
    RELEASED = "released"
    """Its worker was told to shut down and gave the job back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a job. Times are seconds since 1970."""

    job_id: str
    number: int
    worker: str
    started_at: float
    ended_at: float | None
    ending: str | None
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """A job without its spec and report. Times are seconds since 1970."""

    id: str
    kind: str
    state: str
    outcome: str | None
    stage: str | None
    share: float
    cancel_requested: bool
    created_at: float
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(JobSummary):
    """Everything known of a job."""

    spec: dict[str, Any]
    report: dict[str, Any] | None
    problem: dict[str, Any] | None
    attempts: list[Attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on a job, until another attempt supersedes it."""

    job_id: str
    race_id: str | None
    """Of the race that the job is a run of."""
    number: int
    worker: str
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What an attempt learns when it says that it is alive."""

    current: bool
    """Whether the attempt still holds the job; if not, it must stop and write nothing."""
    cancel_requested: bool = False
    drain_requested: bool = False


class IdempotencyKeyReusedError(Exception):
    """An idempotency key came a second time, with another body."""


class Reuse(StrEnum):
    """Which earlier jobs may answer a request that asks the same."""

    NONE = "none"
    UNFINISHED = "unfinished"
    """One that is still under way."""
    ANY = "any"
    """Also one that has succeeded. One that failed or was cancelled never."""


# Submitting


def submit(
    store: Store,
    spec: DiagnosisSpec,
    *,
    idempotency_key: str | None = None,
    reuse: Reuse = Reuse.NONE,
    device_kind: DeviceKind = "cpu",
) -> tuple[str, bool]:
    """The id of the job for `spec`, and whether this call made it.

    Args:
        idempotency_key: the caller's name for this request; the same key again gives the same job,
            and a new key a new one.
        reuse: which earlier job of the same spec, version and device will do, where no key is
            given.

    Raises:
        IdempotencyKeyReusedError: the key stands for another spec.
    """
    body = spec.model_dump(mode="json")
    digest = spec_sha256(JobName.DIAGNOSIS, body, device_kind)
    with store.writing() as connection:
        hold_question(connection, digest)
        known = earlier_job(connection, idempotency_key, JobName.DIAGNOSIS, body, digest, reuse)
        if known is not None:
            return known, False
        hold_dataset(connection, spec.data)
        job_id = new_id()
        connection.execute(
            insert(tables.jobs).values(
                id=job_id,
                kind=JobName.DIAGNOSIS,
                state=State.QUEUED,
                spec=body,
                spec_sha256=digest,
                created_at=db_now(),
                idempotency_key=idempotency_key,
            )
        )
    return job_id, True


def keep_report(
    store: Store,
    spec: dict[str, Any],
    report: dict[str, Any],
    *,
    idempotency_key: str | None = None,
) -> tuple[str, bool]:
    """The id of a finished job that holds a report which was made elsewhere, and whether this call
    made it.

    Raises:
        IdempotencyKeyReusedError: the key stands for another report.
    """
    said = {"spec": spec, "report": report}
    digest = spec_sha256(JobName.REPORT, said, None)
    with store.writing() as connection:
        hold_question(connection, digest)
        if idempotency_key is not None:
            known = _known_by_key(connection, idempotency_key, JobName.REPORT, **said)
            if known is not None:
                return known, False
        job_id = new_id()
        now = connection.execute(select(db_now())).scalar_one()
        connection.execute(
            insert(tables.jobs).values(
                id=job_id,
                kind=JobName.REPORT,
                state=State.SUCCEEDED,
                outcome=_outcome(report),
                spec=spec,
                spec_sha256=digest,
                report=report,
                share=1.0,
                created_at=now,
                finished_at=now,
                idempotency_key=idempotency_key,
            )
        )
    return job_id, True


def spec_sha256(kind: JobName, body: dict[str, Any], device_kind: DeviceKind | None) -> str:
    """What tells one question from another; `body` has every default written out.

    Args:
        device_kind: of the workers; none where no worker has a part in the job.
    """
    # The id of an upload follows from its content, so that the same id is the same data.
    # A later version or another kind of device may answer the same spec otherwise.
    canonical = json.dumps([version("trimtab"), device_kind, kind, body], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def hold_question(connection: Connection, digest: str) -> None:
    """Keep others from asking the same until the transaction ends, so that two who come together
    share one job."""
    # SQLite has one writer anyway.
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(int(digest[:15], 16))))


def earlier_job(
    connection: Connection,
    idempotency_key: str | None,
    kind: JobName,
    body: dict[str, Any],
    digest: str,
    reuse: Reuse,
) -> str | None:
    """The job that answers a request already, if there is one: that of its key, or without a key
    the one that `reuse` allows.

    Raises:
        IdempotencyKeyReusedError: the key stands for another request.
    """
    if idempotency_key is not None:
        return _known_by_key(connection, idempotency_key, kind, spec=body)
    columns = tables.jobs.c
    succeeded = columns.state == State.SUCCEEDED
    states = {
        Reuse.NONE: (),
        Reuse.UNFINISHED: UNFINISHED,
        Reuse.ANY: (*UNFINISHED, State.SUCCEEDED),
    }
    return connection.execute(
        select(columns.id)
        .where(
            columns.spec_sha256 == digest,
            columns.state.in_(states[reuse]),
            columns.cancel_requested.is_(False),
        )
        # One that can answer at once, before one that has only begun.
        .order_by(case((succeeded, 0), else_=1), columns.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def _known_by_key(
    connection: Connection, idempotency_key: str, kind: JobName, **said: dict[str, Any]
) -> str | None:
    """The job that the key stands for, of which `said` are the columns that a request decides."""
    columns = tables.jobs.c
    known = connection.execute(
        select(columns.id, columns.kind, *(columns[name] for name in said)).where(
            columns.idempotency_key == idempotency_key
        )
    ).one_or_none()
    if known is None:
        return None
    if known._mapping != {"id": known.id, "kind": kind, **said}:
        raise IdempotencyKeyReusedError(idempotency_key)
    return str(known.id)


def hold_dataset(connection: Connection, data: DataSpec) -> None:
    """Keep an uploaded data set from being deleted until the job that reads it is written down.

    Raises:
        InvalidSpecError: there is no data set of this id.
    """
    if not isinstance(data, UploadData):
        return
    columns = tables.datasets.c
    held = connection.execute(
        select(columns.id).where(columns.id == data.id).with_for_update(read=True)
    ).one_or_none()
    if held is None:
        raise no_such_dataset()


def no_such_dataset() -> InvalidSpecError:
    """Of a spec that names a data set that is not there."""
    return InvalidSpecError(
        "data.id",
        "there is no data set of this id; GET /v1/datasets lists those that there are, and "
        "POST /v1/datasets makes one",
    )


def new_id() -> str:
    """A UUID of version 7: ids sort by the time they were made."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (2**48 - 1)) << 80 | 7 << 76 | secrets.randbits(12) << 64
    value |= 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


# Looking


def get(store: Store, job_id: str) -> Job | None:
    with store.reading() as connection:
        columns = tables.jobs.c
        row = connection.execute(
            select(*_summary_columns(), columns.spec, columns.report, columns.problem).where(
                columns.id == job_id
            )
        ).one_or_none()
        if row is None:
            return None
        return Job(**row._mapping, attempts=_attempts(connection, job_id))


def newest(
    store: Store,
    *,
    limit: int,
    before: str | None = None,
    kind: str | None = None,
    state: str | None = None,
    outcome: str | None = None,
) -> list[JobSummary]:
    """The newest jobs first, without the runs of races; `before` is the id of the last job of the
    page before."""
    columns = tables.jobs.c
    query = (
        select(*_summary_columns())
        .where(columns.parent_id.is_(None))
        .order_by(columns.id.desc())
        .limit(limit)
    )
    for column, wanted in (
        (columns.kind, kind),
        (columns.state, state),
        (columns.outcome, outcome),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if before is not None:
        query = query.where(columns.id < before)
    with store.reading() as connection:
        return [JobSummary(**row._mapping) for row in connection.execute(query)]


def finished_among(store: Store, job_ids: Collection[str]) -> set[str]:
    """Which of these jobs are finished, or unknown."""
    columns = tables.jobs.c
    with store.reading() as connection:
        unfinished = connection.execute(
            select(columns.id).where(columns.id.in_(job_ids), columns.state.in_(UNFINISHED))
        ).scalars()
        return set(job_ids).difference(unfinished)


def _summary_columns() -> list[ColumnElement[Any]]:
    return [tables.jobs.c[name] for name in JobSummary.__dataclass_fields__]


def _attempts(connection: Connection, job_id: str) -> list[Attempt]:
    rows = connection.execute(
        select(tables.attempts)
        .where(tables.attempts.c.job_id == job_id)
        .order_by(tables.attempts.c.number)
    )
    return [Attempt(**row._mapping) for row in rows]


# Working


def claim(store: Store, job_id: str, *, worker: str, lease_seconds: float) -> Claim | None:
    """The right to work on a queued job; none if it is not queued (any more), or waits for its
    runs."""
    columns = tables.jobs.c
    with store.writing() as connection:
        race_id = connection.execute(
            select(columns.parent_id).where(columns.id == job_id)
        ).scalar_one_or_none()
        _hold_race(connection, race_id)
        row = connection.execute(
            update(tables.jobs)
            .where(columns.id == job_id, columns.state == State.QUEUED, ~_has_unfinished_runs())
            .values(
                state=State.RUNNING,
                attempt=columns.attempt + 1,
                owner=worker,
                lease_until=db_now() + lease_seconds,
                drain_requested=False,
                started_at=func.coalesce(columns.started_at, db_now()),
                stage=null(),
                # A race's is that of its runs.
                share=case((columns.kind == JobName.RACE, columns.share), else_=0.0),
            )
            .returning(columns.attempt, columns.spec)
        ).one_or_none()
        if row is None:
            return None
        if race_id is not None:
            connection.execute(
                update(tables.jobs)
                .where(columns.id == race_id, columns.state == State.QUEUED)
                .values(state=State.RUNNING, stage="training", started_at=db_now())
            )
        connection.execute(
            insert(tables.attempts).values(
                job_id=job_id, number=row.attempt, worker=worker, started_at=db_now()
            )
        )
    return Claim(job_id=job_id, race_id=race_id, number=row.attempt, worker=worker, spec=row.spec)


def beat(
    store: Store,
    held: Claim,
    *,
    lease_seconds: float,
    stage: str,
    share: float,
    points: Sequence[Mapping[str, Any]] = (),
) -> Beat:
    """Renew the lease, tell the progress, and hear whether to stop.

    Args:
        points: of a run, the steps taken since the beat before.
    """
    columns = tables.jobs.c
    with store.writing() as connection:
        _hold_race(connection, held.race_id)
        row = connection.execute(
            update(tables.jobs)
            .where(*_still_held(held))
            .values(lease_until=db_now() + lease_seconds, stage=stage or null(), share=share)
            .returning(columns.cancel_requested, columns.drain_requested)
        ).one_or_none()
        if row is None:
            return Beat(current=False)
        if held.race_id is not None:
            _add_up(connection, held.race_id)
            if points:
                connection.execute(
                    insert(tables.points).values(
                        race_id=held.race_id, run_id=held.job_id, points=list(points)
                    )
                )
    return Beat(
        current=True, cancel_requested=row.cancel_requested, drain_requested=row.drain_requested
    )


def succeed(store: Store, held: Claim, report: dict[str, Any]) -> bool:
    """Store the report; False, and nothing stored, if the attempt is no longer the current one."""
    return _finish(
        store,
        held,
        Ending.SUCCEEDED,
        state=State.SUCCEEDED,
        report=report,
        outcome=_outcome(report),
    )


def _outcome(report: dict[str, Any]) -> str | None:
    """A diagnosis has it in its verdict; a run is judged itself, and a race's arms one by one."""
    found: str | None = (report.get("verdict") or report).get("outcome")
    return found


def fail(store: Store, held: Claim, problem: Problem) -> bool:
    """Store what went wrong; False, and nothing stored, if the attempt is not the current one."""
    return _finish(store, held, Ending.FAILED, state=State.FAILED, problem=problem.as_json())


def stop(store: Store, held: Claim) -> bool:
    """End a job whose cancelling was asked for; False if the attempt is not the current one."""
    return _finish(store, held, Ending.CANCELLED, state=State.CANCELLED)


def release(store: Store, held: Claim) -> bool:
    """Give the job back unfinished, because the worker shuts down; this is no lost attempt."""
    with store.writing() as connection:
        _hold_race(connection, held.race_id)
        held_still = connection.execute(
            update(tables.jobs).where(*_still_held(held)).values(**_queued_again())
        ).rowcount
        if held_still:
            _end_attempt(connection, held.job_id, held.number, Ending.RELEASED)
            _settle(connection, held.race_id)
    return bool(held_still)


def _still_held(held: Claim) -> tuple[ColumnElement[bool], ...]:
    columns = tables.jobs.c
    return (
        columns.id == held.job_id,
        columns.state == State.RUNNING,
        columns.attempt == held.number,
    )


def _finish(store: Store, held: Claim, ending: Ending, **values: Any) -> bool:
    with store.writing() as connection:
        _hold_race(connection, held.race_id)
        held_still = connection.execute(
            update(tables.jobs)
            .where(*_still_held(held))
            .values(
                finished_at=db_now(),
                lease_until=null(),
                share=1.0 if ending is Ending.SUCCEEDED else tables.jobs.c.share,
                **values,
            )
        ).rowcount
        if held_still:
            _end_attempt(connection, held.job_id, held.number, ending)
            _settle(connection, held.race_id)
    return bool(held_still)


def _queued_again() -> dict[str, Any]:
    cancelled = tables.jobs.c.cancel_requested
    return {
        "state": case((cancelled, State.CANCELLED.value), else_=State.QUEUED.value),
        "finished_at": case((cancelled, db_now()), else_=null()),
        "owner": null(),
        "lease_until": null(),
        "published_at": null(),
        "drain_requested": False,
        "stage": null(),
        "share": 0.0,
    }


def _end_attempt(
    connection: Connection, job_id: str, number: int, ending: Ending, detail: str | None = None
) -> None:
    columns = tables.attempts.c
    connection.execute(
        update(tables.attempts)
        .where(columns.job_id == job_id, columns.number == number)
        .values(ended_at=db_now(), ending=ending, detail=detail)
    )


# Races and their runs


def _hold_race(connection: Connection, race_id: str | None) -> None:
    """Keep others from this race and its runs until the transaction ends."""
    if race_id is not None:
        # SQLite has one writer anyway.
        connection.execute(
            select(tables.jobs.c.id).where(tables.jobs.c.id == race_id).with_for_update()
        )


def _has_unfinished_runs() -> ColumnElement[bool]:
    runs = tables.jobs.alias("runs")
    return (
        exists()
        .where(runs.c.parent_id == tables.jobs.c.id, runs.c.state.in_(UNFINISHED))
        .correlate(tables.jobs)
    )


def _add_up(connection: Connection, race_id: str) -> None:
    """A race is as far as its runs are on average."""
    runs = tables.jobs.alias("runs")
    share = select(func.avg(runs.c.share)).where(runs.c.parent_id == race_id).scalar_subquery()
    connection.execute(update(tables.jobs).where(tables.jobs.c.id == race_id).values(share=share))


def _settle(connection: Connection, race_id: str | None) -> None:
    """What a change of one of its runs means for a race, which the caller holds."""
    if race_id is None:
        return
    columns = tables.jobs.c
    runs = columns.parent_id == race_id
    failed = connection.execute(
        select(columns.spec, columns.problem)
        .where(runs, columns.state == State.FAILED)
        .order_by(columns.finished_at)
        .limit(1)
    ).one_or_none()
    if failed is not None:
        # Without this run there is nothing to conclude.
        _cancel_all(connection, runs)
    _add_up(connection, race_id)
    race = update(tables.jobs).where(
        # Not one that is being concluded.
        columns.id == race_id,
        columns.state.in_(UNFINISHED),
        columns.owner.is_(None),
    )
    unfinished = connection.execute(
        select(func.count()).where(runs, columns.state.in_(UNFINISHED))
    ).scalar_one()
    if unfinished:
        return
    if failed is None:
        connection.execute(race.values(**_queued_again() | {"share": columns.share}))
        return
    problem = failed.problem
    where = f"Arm {failed.spec['run']['name']}, seed {failed.spec['seed']}"
    problem = problem | {"detail": f"{where}: {problem.get('detail', problem['title'])}"}
    connection.execute(race.values(state=State.FAILED, problem=problem, finished_at=db_now()))


# Cancelling, losing, sending again


def cancel(store: Store, job_id: str) -> None:
    """Cancel a queued job at once, and ask the attempt at a running one to stop. A race is
    cancelled with its runs. A finished job stays to be looked at, and answers no other request."""
    columns = tables.jobs.c
    with store.writing() as connection:
        kind = connection.execute(
            select(columns.kind).where(columns.id == job_id).with_for_update()
        ).scalar_one_or_none()
        _cancel_all(connection, columns.id == job_id)
        connection.execute(
            update(tables.jobs)
            .where(columns.id == job_id, columns.state == State.SUCCEEDED)
            .values(cancel_requested=True)
        )
        if kind == JobName.RACE:
            _cancel_all(connection, columns.parent_id == job_id)
            _settle(connection, job_id)


def _cancel_all(connection: Connection, which: ColumnElement[bool]) -> None:
    columns = tables.jobs.c
    queued = columns.state == State.QUEUED
    connection.execute(
        update(tables.jobs)
        .where(which, columns.state.in_(UNFINISHED))
        .values(
            cancel_requested=True,
            state=case((queued, State.CANCELLED.value), else_=columns.state),
            finished_at=case((queued, db_now()), else_=null()),
        )
    )


def drain(store: Store, worker: str) -> None:
    """Ask the attempts of a worker that shuts down to give their jobs back."""
    columns = tables.jobs.c
    with store.writing() as connection:
        connection.execute(
            update(tables.jobs)
            .where(columns.owner == worker, columns.state == State.RUNNING)
            .values(drain_requested=True)
        )


def reap(store: Store) -> list[str]:
    """Take the jobs back whose lease ran out; returns their ids."""
    columns = tables.jobs.c
    # A loop of the caller's own is nobody else's to go on with.
    lost = (columns.kind != JobName.RUN) & (columns.lease_until < db_now())
    return _lose(store, lost, "it stopped giving signs of life")


def lose_job(store: Store, job_id: str, *, worker: str, why: str) -> list[str]:
    """Take one job back from a worker that is known to have dropped it."""
    columns = tables.jobs.c
    return _lose(store, (columns.id == job_id) & (columns.owner == worker), why)


def lose_worker(store: Store, worker: str, *, why: str) -> list[str]:
    """Take all jobs back from a worker that is known to be dead, and forget the worker."""
    lost = _lose(store, tables.jobs.c.owner == worker, why)
    forget_worker(store, worker)
    return lost


def _lose(store: Store, which: ColumnElement[bool], why: str) -> list[str]:
    columns = tables.jobs.c
    running = columns.state == State.RUNNING
    with store.writing() as connection:
        races = connection.execute(
            select(columns.parent_id)
            .where(running, which, columns.parent_id.is_not(None))
            .distinct()
            .order_by(columns.parent_id)
        ).scalars()
        for race_id in races.all():
            _hold_race(connection, race_id)
        lost = connection.execute(
            select(columns.id, columns.attempt, columns.parent_id)
            .where(running, which)
            .with_for_update()
        ).all()
        for job_id, number, race_id in lost:
            _end_attempt(connection, job_id, number, Ending.LOST, why)
            history = [a for a in _attempts(connection, job_id) if a.ending == Ending.LOST]
            values = _queued_again() if len(history) < MAX_ATTEMPTS else _given_up(history)
            connection.execute(update(tables.jobs).where(columns.id == job_id).values(**values))
            _settle(connection, race_id)
    return [job_id for job_id, _, _ in lost]


def _given_up(history: Sequence[Attempt]) -> dict[str, Any]:
    told = "; ".join(f"attempt {a.number} on {a.worker}: {a.detail}" for a in history)
    problem = ATTEMPTS_EXHAUSTED.problem(
        f"Given up after {len(history)} lost attempts. {told}. The machine may be short of "
        "memory: try a smaller model or batch, and see the worker's log.",
        attempts=[{"number": a.number, "worker": a.worker, "detail": a.detail} for a in history],
    )
    return {
        "state": State.FAILED,
        "problem": problem.as_json(),
        "finished_at": db_now(),
        "lease_until": null(),
    }


def mark_published(store: Store, *job_ids: str) -> None:
    """Note that a message for each of these jobs is in the queue."""
    with store.writing() as connection:
        connection.execute(
            update(tables.jobs).where(tables.jobs.c.id.in_(job_ids)).values(published_at=db_now())
        )


def unpublished(
    store: Store, kinds: Collection[JobName], *, older_than_seconds: float
) -> list[tuple[str, str]]:
    """Id and kind of queued jobs that have no message, or sent it this long ago; oldest first."""
    columns = tables.jobs.c
    with store.reading() as connection:
        rows = connection.execute(
            select(columns.id, columns.kind)
            .where(
                columns.state == State.QUEUED,
                columns.kind.in_(kinds),
                ~_has_unfinished_runs(),
                or_(
                    columns.published_at.is_(None),
                    columns.published_at < db_now() - older_than_seconds,
                ),
            )
            .order_by(columns.id)
            .limit(100)
        )
        return [(row.id, row.kind) for row in rows]


# Workers


def worker_is_alive(store: Store, worker: str) -> None:
    """Note a sign of life of a worker that takes jobs."""
    with store.writing() as connection:
        known = connection.execute(
            update(tables.workers)
            .where(tables.workers.c.name == worker)
            .values(heartbeat_at=db_now())
        ).rowcount
        if not known:
            connection.execute(
                insert(tables.workers).values(
                    name=worker, started_at=db_now(), heartbeat_at=db_now()
                )
            )


def forget_worker(store: Store, worker: str) -> None:
    with store.writing() as connection:
        connection.execute(tables.workers.delete().where(tables.workers.c.name == worker))


def live_workers(store: Store, *, within_seconds: float) -> list[str]:
    """Workers that gave a sign of life lately."""
    columns = tables.workers.c
    with store.reading() as connection:
        return list(
            connection.execute(
                select(columns.name).where(columns.heartbeat_at > db_now() - within_seconds)
            ).scalars()
        )
