"""The records of a race: the race, one run for each arm and seed, and where each run was."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import func, insert, select

from admin_core.race_spec import RaceSpec
from worker import store as tables
from worker.jobs import (
    JobName,
    Reuse,
    State,
    check_room,
    earlier_job,
    hold_dataset,
    hold_question,
    made_by,
    new_id,
    spec_sha256,
)
from worker.requester import ANYBODY, Requester
from worker.settings import DeviceKind
from worker.store import Store, db_now


class Submitted(NamedTuple):
    """What came of a request for a race."""

    race_id: str
    run_ids: list[str]
    """The runs that this call made; none where the race was there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One arm with one seed, without its result."""

    id: str
    arm: str
    seed: int
    state: str
    outcome: str | None
    share: float
    attempts: int
    """How often it was begun."""


class Points(NamedTuple):
    """Some consecutive steps of one run."""

    id: int
    """Grows from each to the next that becomes visible."""
    run_id: str
    points: list[dict[str, Any]]
    """`RacePoint`s as JSON values."""


def submit(
    store: Store,
    spec: RaceSpec,
    *,
    idempotency_key: str | None = None,
    reuse: Reuse = Reuse.NONE,
    device_kind: DeviceKind = "cpu",
    requester: Requester = ANYBODY,
    announced: bool = False,
) -> Submitted:
    """Record a race and all its runs, or none of them.

    Args:
        idempotency_key: the caller's name for this request; the same key again gives the same
            race, and a new key a new one.
        reuse: which earlier race of the same spec, version and device will do, where no key is
            given.
        requester: whose the race will be; only their own earlier races will do.
        announced: the caller sends messages for the runs that this call made, at once.

    Raises:
        IdempotencyKeyReusedError: the key stands for another spec.
        TooManyJobsError: the requester has as many jobs as they may have.
        QueueFullError: no more jobs may be queued.
    """
    body = spec.model_dump(mode="json")
    digest = spec_sha256(JobName.RACE, body, device_kind)
    runs = [spec.run(arm).model_dump(mode="json") for arm in range(len(spec.arms))]
    race_id = new_id()
    with store.writing() as connection:
        hold_question(connection, digest)
        known = earlier_job(
            connection, requester, idempotency_key, JobName.RACE, body, digest, reuse
        )
        if known is not None:
            return Submitted(known, [])
        check_room(connection, requester)
        hold_dataset(connection, spec.data)
        connection.execute(
            insert(tables.jobs).values(
                id=race_id,
                kind=JobName.RACE,
                state=State.QUEUED,
                spec=body,
                spec_sha256=digest,
                device_kind=device_kind,
                created_at=db_now(),
                **made_by(requester, idempotency_key),
            )
        )
        # Seed by seed, so that a race that is cut short has compared all arms on some seeds.
        asked = [{"run": run, "seed": seed} for seed in spec.seeds for run in runs]
        # Ids in the order of the runs, though many are made in one millisecond.
        run_ids = sorted(new_id() for _ in asked)
        now = connection.execute(select(db_now())).scalar_one()
        connection.execute(
            insert(tables.jobs),
            [
                {
                    "id": run_id,
                    "kind": JobName.RACE_RUN,
                    "parent_id": race_id,
                    "state": State.QUEUED,
                    "spec": run,
                    "spec_sha256": spec_sha256(JobName.RACE_RUN, run, device_kind),
                    "device_kind": device_kind,
                    "created_at": now,
                    "published_at": now if announced else None,
                    **made_by(requester),
                }
                for run_id, run in zip(run_ids, asked, strict=True)
            ],
        )
    return Submitted(race_id, run_ids)


def runs_of(store: Store, race_id: str) -> list[Run]:
    """Every arm with every seed, as they stand."""
    columns = tables.jobs.c
    with store.reading() as connection:
        rows = connection.execute(
            select(
                columns.id,
                columns.spec["run"]["name"].as_string().label("arm"),
                columns.spec["seed"].as_integer().label("seed"),
                columns.state,
                columns.outcome,
                columns.share,
                columns.attempt.label("attempts"),
            )
            .where(columns.parent_id == race_id)
            .order_by(columns.id)
        )
        return [Run(**row._mapping) for row in rows]


def results_of(store: Store, race_id: str) -> list[dict[str, Any]]:
    """What its finished runs have left, `SeedResult`s as JSON values."""
    columns = tables.jobs.c
    with store.reading() as connection:
        return list(
            connection.execute(
                select(columns.report)
                .where(columns.parent_id == race_id, columns.state == State.SUCCEEDED)
                .order_by(columns.id)
            ).scalars()
        )


def points_of_race(store: Store, race_id: str, *, after: int, limit: int) -> list[Points]:
    """What became visible after the points of id `after`, in that order."""
    columns = tables.points.c
    with store.reading() as connection:
        rows = connection.execute(
            select(columns.id, columns.run_id, columns.points)
            .where(columns.race_id == race_id, columns.id > after)
            .order_by(columns.id)
            .limit(limit)
        )
        return [Points(*row) for row in rows]


def points_of_run(store: Store, run_id: str) -> Iterator[dict[str, Any]]:
    """Every step that is known of a run, once and in order."""
    columns = tables.points.c
    with store.reading() as connection:
        rows = (
            connection.execute(
                select(columns.points).where(columns.run_id == run_id).order_by(columns.id)
            )
            .scalars()
            .all()
        )
    for points in rows:
        yield from points


def last_step(store: Store, run_id: str) -> int:
    """Of the points that are known of a run; 0 where there are none."""
    columns = tables.points.c
    with store.reading() as connection:
        latest = select(func.max(columns.id)).where(columns.run_id == run_id).scalar_subquery()
        points = connection.execute(
            select(columns.points).where(columns.id == latest)
        ).scalar_one_or_none()
    return int(points[-1]["step"]) if points else 0
