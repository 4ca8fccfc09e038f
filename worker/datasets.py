"""Data sets that were uploaded: a row and a folder for each.

The id follows from the content, from how it is read and from whose it is, so that the same upload
twice is one data set, and nobody learns what others have. The row is the truth: a folder without
one is left over, and removed when the service starts.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from sqlalchemy import and_, delete, insert, or_, select
from sqlalchemy.exc import IntegrityError

from admin_core.data.dataset_facts import BEING_MADE, FACTS, DatasetFacts
from admin_core.data.hub import FETCHING
from worker import store as tables
from worker.jobs import UNFINISHED, JobName, new_id
from worker.keys import NOBODY
from worker.settings import Settings
from worker.store import Store, db_now

INCOMING = "incoming-"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDataset:
    """A data set that jobs can name."""

    id: str
    facts: dict[str, Any]
    """`DatasetFacts` as JSON values."""

    created_at: float
    """Seconds since 1970."""

    key_id: str
    """Whose it is."""


class DatasetInUseError(Exception):
    """A data set cannot be deleted, as a job that is not finished reads it."""

    def __init__(self, job_id: str, kind: str) -> None:
        super().__init__(job_id, kind)
        self.job_id = job_id
        self.kind = kind


def folder_of(settings: Settings, dataset_id: str) -> Path:
    return settings.datasets / dataset_id


@contextmanager
def incoming(settings: Settings) -> Iterator[Path]:
    """A folder for an upload; whatever is still in it at the end is removed."""
    settings.datasets.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix=INCOMING, dir=settings.datasets))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def add(
    store: Store, settings: Settings, folder: Path, facts: DatasetFacts, *, key_id: str = NOBODY
) -> tuple[StoredDataset, bool]:
    """The data set of an incoming folder's content, and whether this call made it."""
    body = facts.model_dump(mode="json")
    (folder / FACTS).write_text(json.dumps(body))
    dataset_id = _owned_id(facts, key_id)
    known = get(store, dataset_id)
    if known is not None:
        place = folder_of(settings, dataset_id)
        if not place.is_dir():
            # Its files were lost, or are in another machine's folder.
            os.rename(folder, place)
        return known, False
    try:
        with store.writing() as connection:
            connection.execute(
                insert(tables.datasets).values(
                    id=dataset_id, facts=body, created_at=db_now(), key_id=key_id
                )
            )
            # Under this row's lock, so that only a crash can have left a folder there.
            place = folder_of(settings, dataset_id)
            shutil.rmtree(place, ignore_errors=True)
            os.rename(folder, place)
        new = True
    except IntegrityError:
        # The same upload came twice at once.
        new = False
    made = get(store, dataset_id)
    assert made is not None
    return made, new


def _owned_id(facts: DatasetFacts, key_id: str) -> str:
    """One that others cannot tell from the content; nobody's is that of the content alone."""
    content_id = facts.dataset_id
    if key_id == NOBODY:
        return content_id
    digest = hashlib.sha256(f"{key_id}:{content_id}".encode()).hexdigest()
    return f"ds-{digest}"[: len(content_id)]


def get(store: Store, dataset_id: str) -> StoredDataset | None:
    with store.reading() as connection:
        row = connection.execute(
            select(tables.datasets).where(tables.datasets.c.id == dataset_id)
        ).one_or_none()
        return None if row is None else StoredDataset(**row._mapping)


def newest(
    store: Store, *, limit: int, before: str | None = None, key_id: str | None = None
) -> list[StoredDataset]:
    """The newest first, of one key or of all; `before` is the id of the last of the page before."""
    columns = tables.datasets.c
    query = select(tables.datasets).order_by(columns.created_at.desc(), columns.id.desc())
    if key_id is not None:
        query = query.where(columns.key_id == key_id)
    if before is not None:
        last = select(columns.created_at).where(columns.id == before).scalar_subquery()
        older = columns.created_at < last
        query = query.where(or_(older, and_(columns.created_at == last, columns.id < before)))
    with store.reading() as connection:
        return [StoredDataset(**row._mapping) for row in connection.execute(query.limit(limit))]


def remove(store: Store, settings: Settings, dataset_id: str) -> bool:
    """Delete a data set; False if there is none.

    Raises:
        DatasetInUseError: a job that is queued or running reads it.
    """
    columns, jobs = tables.datasets.c, tables.jobs.c
    with store.writing() as connection:
        held = connection.execute(
            select(columns.id).where(columns.id == dataset_id).with_for_update()
        ).one_or_none()
        if held is None:
            return False
        reader = connection.execute(
            select(jobs.id, jobs.kind)
            .where(
                jobs.state.in_(UNFINISHED),
                # A race is unfinished for as long as any of its runs.
                jobs.kind.in_((JobName.DIAGNOSIS, JobName.RACE)),
                jobs.spec["data"]["id"].as_string() == dataset_id,
            )
            .limit(1)
        ).one_or_none()
        if reader is not None:
            raise DatasetInUseError(reader.id, reader.kind)
        connection.execute(delete(tables.datasets).where(columns.id == dataset_id))
        # Under the row's lock, so that the same upload cannot stand there yet.
        aside = settings.datasets / f"{INCOMING}{new_id()}"
        with suppress(FileNotFoundError):
            os.rename(folder_of(settings, dataset_id), aside)
    shutil.rmtree(aside, ignore_errors=True)
    return True


def remove_left_over(store: Store, settings: Settings) -> None:
    """Remove what a crash left; for a time when no upload is under way."""
    if not settings.datasets.is_dir():
        return
    folders = {folder.name: folder for folder in settings.datasets.iterdir()}
    with store.reading() as connection:
        known = set(connection.execute(select(tables.datasets.c.id)).scalars())
    for name, folder in folders.items():
        if name.startswith(INCOMING) or (name.startswith("ds-") and name not in known):
            shutil.rmtree(folder, ignore_errors=True)
    unfinished = [
        *settings.datasets.glob(f"{FETCHING}*"),
        *settings.datasets.glob(f"*/{BEING_MADE}*"),
    ]
    for folder in unfinished:
        # A worker on another machine may be at it just now, but for no day.
        if folder.stat().st_mtime < time.time() - 86_400:
            shutil.rmtree(folder, ignore_errors=True)
