"""A race and its runs: what a change of one means for the other.

Whoever writes to a run holds the race's row first, so that no two wait for each other.
"""

from sqlalchemy import ColumnElement, Connection, exists, func, select, update

from worker import store as tables
from worker.jobs.job import UNFINISHED, State
from worker.jobs.transitions import cancel_all, queued_again
from worker.store import db_now


def hold_race(connection: Connection, race_id: str | None) -> None:
    """Keep others from this race and its runs until the transaction ends."""
    if race_id is not None:
        # SQLite has one writer anyway.
        connection.execute(
            select(tables.jobs.c.id).where(tables.jobs.c.id == race_id).with_for_update()
        )


def has_unfinished_runs() -> ColumnElement[bool]:
    runs = tables.jobs.alias("runs")
    return (
        exists()
        .where(runs.c.parent_id == tables.jobs.c.id, runs.c.state.in_(UNFINISHED))
        .correlate(tables.jobs)
    )


def add_up(connection: Connection, race_id: str) -> None:
    """A race is as far as its runs are on average."""
    runs = tables.jobs.alias("runs")
    share = select(func.avg(runs.c.share)).where(runs.c.parent_id == race_id).scalar_subquery()
    connection.execute(update(tables.jobs).where(tables.jobs.c.id == race_id).values(share=share))


def settle(connection: Connection, race_id: str | None) -> None:
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
        cancel_all(connection, runs)
    add_up(connection, race_id)
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
        connection.execute(race.values(**queued_again() | {"share": columns.share}))
        return
    problem = failed.problem
    where = f"Arm {failed.spec['run']['name']}, seed {failed.spec['seed']}"
    problem = problem | {"detail": f"{where}: {problem.get('detail', problem['title'])}"}
    connection.execute(race.values(state=State.FAILED, problem=problem, finished_at=db_now()))
