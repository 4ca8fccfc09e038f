"""The records of training loops that somebody else runs: they tell where they are, and are watched
as races are. No worker has a part in them.

A run is a job that is running from its beginning. It is not attempted, so that it holds no number;
its lease is the time by which it must give a sign of life. Its points are those of a race whose
only run is itself.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, null, select, update

from admin_core.watched_run import RunEnd, StepPoint, WatchedRunReport, WatchedRunSpec
from worker import store as tables
from worker.jobs import (
    JobName,
    Reuse,
    State,
    check_share,
    earlier_job,
    hold_question,
    made_by,
    new_id,
    spec_sha256,
)
from worker.problem import RUN_ABANDONED, RUN_FAILED, Problem
from worker.requester import ANYBODY, Requester
from worker.store import Store, db_now


class RunOverError(Exception):
    """The run has ended, and takes no more points; `state` says how."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.state = state


class RunFullError(Exception):
    """The run has as many points as one may have."""


class Pushed(NamedTuple):
    """What became of some points."""

    accepted: int
    """Those of steps that were not known yet."""
    last_step: int


def begin(
    store: Store,
    spec: WatchedRunSpec,
    *,
    silence_seconds: float,
    idempotency_key: str | None = None,
    requester: Requester = ANYBODY,
) -> tuple[str, bool]:
    """The id of the run, and whether this call began it.

    Raises:
        IdempotencyKeyReusedError: the key stands for another spec.
        TooManyJobsError: the requester has as many jobs as they may have.
    """
    body = spec.model_dump(mode="json")
    digest = spec_sha256(JobName.RUN, body, None)
    with store.writing() as connection:
        hold_question(connection, digest)
        # Two loops that say the same of themselves are two all the same.
        known = earlier_job(
            connection, requester, idempotency_key, JobName.RUN, body, digest, Reuse.NONE
        )
        if known is not None:
            return known, False
        check_share(connection, requester)
        run_id = new_id()
        connection.execute(
            insert(tables.jobs).values(
                id=run_id,
                kind=JobName.RUN,
                state=State.RUNNING,
                stage="training",
                spec=body,
                spec_sha256=digest,
                report=WatchedRunReport().model_dump(mode="json"),
                created_at=db_now(),
                started_at=db_now(),
                lease_until=db_now() + silence_seconds,
                **made_by(requester, idempotency_key),
            )
        )
    return run_id, True


def push(
    store: Store,
    run_id: str,
    points: Sequence[StepPoint],
    *,
    silence_seconds: float,
    most_points: int,
) -> Pushed:
    """Add the points whose steps are not known yet, and take the call for a sign of life.

    Raises:
        RunOverError: the run has ended.
        RunFullError: with these it would have more than `most_points`; none was added.
    """
    with store.writing() as connection:
        planned, known = _held(connection, run_id)
        new = [point for point in points if point.step > known.last_step]
        if known.num_points + len(new) > most_points:
            raise RunFullError
        now = known.model_copy(
            update={
                "last_step": new[-1].step if new else known.last_step,
                "num_points": known.num_points + len(new),
                "last_loss": new[-1].loss if new else known.last_loss,
                "lowest_loss": _lowest(known.lowest_loss, new),
            }
        )
        if new:
            connection.execute(
                insert(tables.points).values(
                    race_id=run_id,
                    run_id=run_id,
                    points=[point.model_dump(mode="json") for point in new],
                )
            )
        connection.execute(
            update(tables.jobs)
            .where(tables.jobs.c.id == run_id)
            .values(
                report=now.model_dump(mode="json"),
                lease_until=db_now() + silence_seconds,
                share=min(1.0, now.last_step / planned) if planned else 0.0,
            )
        )
    return Pushed(accepted=len(new), last_step=now.last_step)


def finish(store: Store, run_id: str, end: RunEnd) -> None:
    """End the run as its loop says; said again, it stays as it is.

    Raises:
        RunOverError: the run has ended otherwise.
    """
    problem = None
    if State(end.state) is State.FAILED:
        problem = RUN_FAILED.problem(end.detail or "The loop did not say why.")
    with store.writing() as connection:
        try:
            _, known = _held(connection, run_id)
        except RunOverError as over:
            if over.state == end.state:
                return
            raise
        report = known.model_copy(
            update={"findings": end.findings, "dropped_points": end.dropped_points}
        )
        _end(connection, run_id, State(end.state), problem, report=report.model_dump(mode="json"))


def cancel(store: Store, run_id: str) -> None:
    """End the run; its loop hears of it when it next tells a point, and trains on."""
    with store.writing() as connection:
        try:
            _held(connection, run_id)
        except RunOverError:
            return
        _end(connection, run_id, State.CANCELLED, None)


def close_silent(store: Store) -> list[str]:
    """Fail the runs that have not given a sign of life in time; returns their ids."""
    columns = tables.jobs.c
    silent = (
        columns.kind == JobName.RUN,
        columns.state == State.RUNNING,
        columns.lease_until < db_now(),
    )
    with store.writing() as connection:
        ids = list(
            connection.execute(select(columns.id).where(*silent).with_for_update()).scalars()
        )
        for run_id in ids:
            problem = RUN_ABANDONED.problem(
                "The loop stopped giving signs of life; it may have been killed, or cut off. Its "
                "points are kept."
            )
            _end(connection, run_id, State.FAILED, problem)
    return ids


def _held(connection: Connection, run_id: str) -> tuple[int | None, WatchedRunReport]:
    """The planned steps and the report of a run that is not over, kept from others until the
    transaction ends."""
    columns = tables.jobs.c
    row = connection.execute(
        select(columns.state, columns.spec, columns.report)
        .where(columns.id == run_id)
        .with_for_update()
    ).one()
    if row.state != State.RUNNING:
        raise RunOverError(State(row.state))
    return row.spec["steps"], WatchedRunReport.model_validate(row.report)


def _end(
    connection: Connection, run_id: str, state: State, problem: Problem | None, **values: Any
) -> None:
    connection.execute(
        update(tables.jobs)
        .where(tables.jobs.c.id == run_id)
        .values(
            state=state,
            problem=null() if problem is None else problem.as_json(),
            finished_at=db_now(),
            lease_until=null(),
            **({"share": 1.0} if state is State.SUCCEEDED else {}),
            **values,
        )
    )


def _lowest(known: float | None, points: Sequence[StepPoint]) -> float | None:
    losses = [point.loss for point in points if point.loss is not None]
    return min(losses if known is None else [known, *losses], default=None)
