"""Looking at jobs."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, null, select

from worker import store as tables
from worker.jobs.job import UNFINISHED, Attempt, Job, JobName, JobSummary, State
from worker.store import Store, db_now


def get(store: Store, job_id: str) -> Job | None:
    with store.reading() as connection:
        row = connection.execute(_JOB, {"job_id": job_id}).one_or_none()
        if row is None:
            return None
        known = dict(row._mapping)
        was_begun = known.pop("attempt") > 0
        return Job(**known, attempts=attempts_of(connection, job_id) if was_begun else [])


def newest(
    store: Store,
    *,
    limit: int,
    before: str | None = None,
    kind: str | None = None,
    state: str | None = None,
    outcome: str | None = None,
    key_id: str | None = None,
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
        (columns.key_id, key_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if before is not None:
        query = query.where(columns.id < before)
    with store.reading() as connection:
        return [JobSummary(**row._mapping) for row in connection.execute(query)]


def specs_of(store: Store, job_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """What was asked of each of the jobs, by id."""
    columns = tables.jobs.c
    with store.reading() as connection:
        rows = connection.execute(
            select(columns.id, columns.spec).where(columns.id.in_(list(job_ids)))
        )
        return {row.id: row.spec for row in rows}


def finished_among(store: Store, job_ids: Collection[str]) -> set[str]:
    """Which of these jobs are finished, or unknown."""
    columns = tables.jobs.c
    with store.reading() as connection:
        unfinished = connection.execute(
            select(columns.id).where(columns.id.in_(job_ids), columns.state.in_(UNFINISHED))
        ).scalars()
        return set(job_ids).difference(unfinished)


def _summary_columns() -> list[ColumnElement[Any]]:
    stored = JobSummary.__dataclass_fields__.keys() - {"running_seconds"}
    return [*(tables.jobs.c[name] for name in stored), _running_seconds()]


def _running_seconds() -> ColumnElement[Any]:
    columns, attempts = tables.jobs.c, tables.attempts.c
    attempt_began = (
        select(attempts.started_at)
        .where(attempts.job_id == columns.id, attempts.number == columns.attempt)
        .scalar_subquery()
    )
    # The share of an attempt that begins anew begins anew too; a race's is that of its runs.
    began = case(
        (columns.kind == JobName.RACE, columns.started_at),
        else_=func.coalesce(attempt_began, columns.started_at),
    )
    running = case((columns.state == State.RUNNING, db_now() - began), else_=null())
    return running.label("running_seconds")


def attempts_of(connection: Connection, job_id: str) -> list[Attempt]:
    rows = connection.execute(_ATTEMPTS, {"job_id": job_id})
    return [Attempt(**row._mapping) for row in rows]


# Made once: to put a statement together takes longer than to ask it.
_JOB = select(
    *_summary_columns(),
    *(tables.jobs.c[name] for name in ("spec", "report", "problem", "attempt")),
).where(tables.jobs.c.id == bindparam("job_id"))
_ATTEMPTS = (
    select(tables.attempts)
    .where(tables.attempts.c.job_id == bindparam("job_id"))
    .order_by(tables.attempts.c.number)
)
