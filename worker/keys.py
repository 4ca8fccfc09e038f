"""Keys, by which callers are told apart, and the sessions that a browser has in place of one.

A key reads ``tt_ID_SECRET``. The secret is 32 random bytes, so that a plain SHA-256 of the whole is
as good as any slow hash: there is nothing to guess. The id is what the key is looked up by, and
what its jobs and data sets are marked with; it is no secret. The key itself is shown once and kept
nowhere.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, delete, exists, func, insert, or_, select, update

from worker import store as tables
from worker.store import Store, db_now

MARK = "tt"
"""What every key begins with, so that a search for lost secrets finds it."""
_FORM = re.compile(rf"{MARK}_(?P<id>[0-9a-f]{{12}})_[A-Za-z0-9_-]{{43,200}}")
NOBODY = ""
"""Marks what was made while no key was needed."""


class Scope(StrEnum):
    """What a key allows."""

    SUBMIT = "submit"
    """To ask for work, to upload, to cancel and to delete."""
    READ = "read"
    """To look at what was made with the key."""
    ADMIN = "admin"
    """Both, and with what was made with any key."""


class KeyFormError(Exception):
    """What was given as a key cannot be one; the message says why, without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key without its secret. Times are seconds since 1970."""

    id: str
    name: str
    scopes: frozenset[Scope]
    created_at: float
    expires_at: float | None
    revoked_at: float | None


def create(
    store: Store,
    name: str,
    scopes: Collection[Scope],
    *,
    lifetime_seconds: float | None = None,
) -> tuple[str, str]:
    """The id of a new key, and the key: whoever loses it needs another."""
    text = f"{MARK}_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
    return adopt(store, text, name, scopes, lifetime_seconds=lifetime_seconds), text


def adopt(
    store: Store,
    text: str,
    name: str,
    scopes: Collection[Scope],
    *,
    lifetime_seconds: float | None = None,
) -> str:
    """The id of a key that was made elsewhere, as where a deployment brings its own. One that is
    known already stays as it is, also where it was revoked.

    Raises:
        KeyFormError: it is too short or has another form, or its id is another key's.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise KeyFormError(
            f"A key reads {MARK}_ID_SECRET: 12 hexadecimal digits, and 43 to 200 letters, digits, "
            "- or _ that nobody can guess."
        )
    key_id = form["id"]
    columns = tables.keys.c
    with store.writing() as connection:
        known = connection.execute(
            select(columns.sha256).where(columns.id == key_id)
        ).scalar_one_or_none()
        if known is None:
            connection.execute(
                insert(tables.keys).values(
                    id=key_id,
                    name=name,
                    sha256=_sha256(text),
                    scopes=sorted(scopes),
                    created_at=db_now(),
                    expires_at=None if lifetime_seconds is None else db_now() + lifetime_seconds,
                )
            )
        elif not hmac.compare_digest(known, _sha256(text)):
            raise KeyFormError(f"There is another key of the id {key_id}.")
    return key_id


def every(store: Store) -> list[Key]:
    """All keys that there ever were, oldest first."""
    columns = tables.keys.c
    with store.reading() as connection:
        rows = connection.execute(select(*_COLUMNS).order_by(columns.created_at, columns.id))
        return [_key(*row) for row in rows]


def revoke(store: Store, key_id: str) -> bool:
    """Let the key and its sessions open nothing any more, from now on; False if there is none."""
    columns = tables.keys.c
    with store.writing() as connection:
        found = connection.execute(
            update(tables.keys)
            .where(columns.id == key_id)
            .values(revoked_at=func.coalesce(columns.revoked_at, db_now()))
        ).rowcount
        connection.execute(delete(tables.sessions).where(tables.sessions.c.key_id == key_id))
    return bool(found)


def any_exists(store: Store) -> bool:
    """Whether a key was ever made. One that was revoked counts: with the last, nothing opens."""
    with store.reading() as connection:
        return bool(connection.execute(select(exists(select(tables.keys.c.id)))).scalar_one())


def find(store: Store, text: str) -> Key | None:
    """The key that `text` is, if it still opens something."""
    mark, _, rest = text.partition("_")
    key_id = rest.partition("_")[0]
    if mark != MARK or not key_id.isascii() or not key_id.isalnum():
        return None
    columns = tables.keys.c
    with store.reading() as connection:
        row = connection.execute(
            select(columns.sha256, *_COLUMNS).where(columns.id == key_id, _opens())
        ).one_or_none()
    # As long for an unknown id as for a wrong secret.
    known = row.sha256 if row is not None else _sha256("")
    fits = hmac.compare_digest(known, _sha256(text))
    return _key(*row[1:]) if row is not None and fits else None


# Sessions


def start_session(store: Store, key: Key, *, lifetime_seconds: float) -> str:
    """A token that stands for `key` for a while, and is kept as its hash."""
    token = secrets.token_urlsafe(32)
    columns = tables.sessions.c
    with store.writing() as connection:
        connection.execute(delete(tables.sessions).where(columns.expires_at < db_now()))
        connection.execute(
            insert(tables.sessions).values(
                sha256=_sha256(token), key_id=key.id, expires_at=db_now() + lifetime_seconds
            )
        )
    return token


def of_session(store: Store, token: str) -> Key | None:
    """The key that the token stands for, if both still open something."""
    columns = tables.sessions.c
    with store.reading() as connection:
        # Looked up by its hash, whose time of look-up tells nothing of the token.
        row = connection.execute(
            select(*_COLUMNS)
            .join(tables.sessions, columns.key_id == tables.keys.c.id)
            .where(columns.sha256 == _sha256(token), columns.expires_at > db_now(), _opens())
        ).one_or_none()
    return None if row is None else _key(*row)


def end_session(store: Store, token: str) -> None:
    with store.writing() as connection:
        connection.execute(
            delete(tables.sessions).where(tables.sessions.c.sha256 == _sha256(token))
        )


_COLUMNS = [tables.keys.c[name] for name in Key.__dataclass_fields__]


def _key(
    key_id: str,
    name: str,
    scopes: list[str],
    created_at: float,
    expires_at: float | None,
    revoked_at: float | None,
) -> Key:
    return Key(
        id=key_id,
        name=name,
        scopes=frozenset(map(Scope, scopes)),
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
    )


def _opens() -> ColumnElement[bool]:
    columns = tables.keys.c
    return columns.revoked_at.is_(None) & or_(
        columns.expires_at.is_(None), columns.expires_at > db_now()
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
