"""Writing a job down, or finding the one that answers already."""

import hashlib
import json
from enum import StrEnum
from importlib.metadata import version
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, insert, literal, select

from admin_core.errors import InvalidSpecError
from admin_core.spec import DataSpec, DiagnosisSpec, UploadData
from worker import store as tables
from worker.jobs.job import UNFINISHED, Job, JobName, State, new_id, outcome_of, queued_job
from worker.requester import ANYBODY, Requester
from worker.settings import DeviceKind
from worker.store import Store, db_now

VERSION = version("trimtab")


class IdempotencyKeyReusedError(Exception):
    """An idempotency key came a second time, with another body."""


class TooManyJobsError(Exception):
    """A key has as many jobs queued or running as it may have; `limit` says how many."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class QueueFullError(Exception):
    """No more jobs may be queued; `limit` says how many there may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class Reuse(StrEnum):
    """Which earlier jobs may answer a request that asks the same."""

    NONE = "none"
    UNFINISHED = "unfinished"
    """One that is still under way."""
    ANY = "any"
    """Also one that has succeeded. One that failed or was cancelled never."""


def submit(
    store: Store,
    spec: DiagnosisSpec,
    *,
    idempotency_key: str | None = None,
    reuse: Reuse = Reuse.NONE,
    device_kind: DeviceKind = "cpu",
    requester: Requester = ANYBODY,
    announced: bool = False,
) -> tuple[str, Job | None]:
    """The id of the job for `spec`, and the job as it was written down if this call made it.

    Args:
        announced: the caller sends a message for a job that this call made, at once.
        idempotency_key: the caller's name for this request; the same key again gives the same job,
            and a new key a new one.
        reuse: which earlier job of the same spec, version and device will do, where no key is
            given.
        requester: whose the job will be; only their own earlier jobs will do.

    Raises:
        IdempotencyKeyReusedError: the key stands for another spec.
        TooManyJobsError: the requester has as many as they may have.
        QueueFullError: no more jobs may be queued.
    """
    body = spec.model_dump(mode="json")
    digest = spec_sha256(JobName.DIAGNOSIS, body, device_kind)
    with store.writing() as connection:
        hold_question(connection, digest)
        known = earlier_job(
            connection, requester, idempotency_key, JobName.DIAGNOSIS, body, digest, reuse
        )
        if known is not None:
            return known, None
        check_room(connection, requester)
        hold_dataset(connection, spec.data)
        job_id = new_id()
        created_at = connection.execute(
            _ANNOUNCED if announced else _NEW,
            {
                "id": job_id,
                "kind": JobName.DIAGNOSIS,
                "state": State.QUEUED,
                "spec": body,
                "spec_sha256": digest,
                "device_kind": device_kind,
                **made_by(requester, idempotency_key),
            },
        ).scalar_one()
    return job_id, queued_job(
        id=job_id,
        key_id=requester.key_id,
        kind=JobName.DIAGNOSIS,
        spec=body,
        created_at=created_at,
    )


def keep_report(
    store: Store,
    spec: dict[str, Any],
    report: dict[str, Any],
    *,
    idempotency_key: str | None = None,
    requester: Requester = ANYBODY,
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
            known = _known_by_key(connection, requester, idempotency_key, JobName.REPORT, **said)
            if known is not None:
                return known, False
        job_id = new_id()
        now = connection.execute(select(db_now())).scalar_one()
        connection.execute(
            insert(tables.jobs).values(
                id=job_id,
                kind=JobName.REPORT,
                state=State.SUCCEEDED,
                outcome=outcome_of(report),
                spec=spec,
                spec_sha256=digest,
                report=report,
                share=1.0,
                created_at=now,
                finished_at=now,
                **made_by(requester, idempotency_key),
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
    canonical = json.dumps([VERSION, device_kind, kind, body], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def hold_question(connection: Connection, digest: str) -> None:
    """Keep others from asking the same until the transaction ends, so that two who come together
    share one job."""
    _lock(connection, int(digest[:15], 16))


def _lock(connection: Connection, number: int | ColumnElement[int]) -> None:
    """Hold what the number stands for until the transaction ends."""
    # SQLite has one writer anyway.
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def earlier_job(
    connection: Connection,
    requester: Requester,
    idempotency_key: str | None,
    kind: JobName,
    body: dict[str, Any],
    digest: str,
    reuse: Reuse,
) -> str | None:
    """The requester's job that answers a request already, if there is one: that of its idempotency
    key, or without such a key the one that `reuse` allows.

    Raises:
        IdempotencyKeyReusedError: the key stands for another request.
    """
    if idempotency_key is not None:
        return _known_by_key(connection, requester, idempotency_key, kind, spec=body)
    if reuse is Reuse.NONE:
        return None
    return connection.execute(
        _UNFINISHED_SAME if reuse is Reuse.UNFINISHED else _SAME,
        {"digest": digest, "key_id": requester.key_id},
    ).scalar_one_or_none()


def _known_by_key(
    connection: Connection,
    requester: Requester,
    idempotency_key: str,
    kind: JobName,
    **said: dict[str, Any],
) -> str | None:
    """The job that the key stands for, of which `said` are the columns that a request decides."""
    columns = tables.jobs.c
    scoped = _scoped(requester, idempotency_key)
    # Two requests that use it at the same time may ask for different things.
    _lock(connection, func.hashtext(f"idempotency key {scoped}"))
    known = connection.execute(
        select(columns.id, columns.kind, *(columns[name] for name in said)).where(
            columns.idempotency_key == scoped
        )
    ).one_or_none()
    if known is None:
        return None
    if known._mapping != {"id": known.id, "kind": kind, **said}:
        raise IdempotencyKeyReusedError(idempotency_key)
    return str(known.id)


def made_by(requester: Requester, idempotency_key: str | None = None) -> dict[str, Any]:
    """The columns of a new job that say whose it is."""
    return {
        "key_id": requester.key_id,
        "request_id": requester.request_id,
        "traceparent": requester.traceparent,
        "idempotency_key": idempotency_key and _scoped(requester, idempotency_key),
    }


def _scoped(requester: Requester, idempotency_key: str) -> str:
    """What is unique among all jobs, where an idempotency key is so among the requester's."""
    return hashlib.sha256(f"{requester.key_id}:{idempotency_key}".encode()).hexdigest()


def check_room(connection: Connection, requester: Requester) -> None:
    """Return if one job more may be queued.

    Raises:
        TooManyJobsError: the requester has as many as they may have.
        QueueFullError: no more jobs may be queued.
    """
    hold_share(connection, requester)
    mine, queued = connection.execute(_ROOM, {"key_id": requester.key_id}).one()
    if requester.most_unfinished is not None and mine >= requester.most_unfinished:
        raise TooManyJobsError(requester.most_unfinished)
    if requester.most_queued is not None and queued >= requester.most_queued:
        raise QueueFullError(requester.most_queued)


def check_share(connection: Connection, requester: Requester) -> None:
    """Return if the requester may have one job more.

    Raises:
        TooManyJobsError: they have as many as they may have.
    """
    hold_share(connection, requester)
    most = requester.most_unfinished
    if most is not None:
        mine, _ = connection.execute(_ROOM, {"key_id": requester.key_id}).one()
        if mine >= most:
            raise TooManyJobsError(most)


def hold_share(connection: Connection, requester: Requester) -> None:
    """Keep the requester from asking for more elsewhere until the transaction ends, so that two
    who come together do not both take the last place."""
    if requester.most_unfinished is not None:
        _lock(connection, func.hashtext(f"jobs of {requester.key_id}"))


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


def _state_in(*states: State) -> ColumnElement[bool]:
    # As values of their own: a list is put into the statement anew each time it is asked.
    return _columns.state.in_([literal(state.value) for state in states])


# Made once: to put a statement together takes longer than to ask it.
_columns = tables.jobs.c
_NEW = insert(tables.jobs).values(created_at=db_now()).returning(tables.jobs.c.created_at)
_ANNOUNCED = _NEW.values(published_at=db_now())
_SAME = (
    select(_columns.id)
    .where(
        _columns.spec_sha256 == bindparam("digest"),
        _columns.key_id == bindparam("key_id"),
        _state_in(*UNFINISHED, State.SUCCEEDED),
        _columns.cancel_requested.is_(False),
    )
    # One that can answer at once, before one that has only begun.
    .order_by(case((_columns.state == State.SUCCEEDED, 0), else_=1), _columns.id.desc())
    .limit(1)
)
_UNFINISHED_SAME = _SAME.where(_state_in(*UNFINISHED))
_COUNT = select(func.count()).where(_columns.parent_id.is_(None))
_MINE = _COUNT.where(_columns.key_id == bindparam("key_id"), _state_in(*UNFINISHED))
_QUEUED = _COUNT.where(_columns.state == State.QUEUED)
_ROOM = select(_MINE.scalar_subquery(), _QUEUED.scalar_subquery())
