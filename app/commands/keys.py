"""`trimtab keys`: who may use the service whose database the settings name."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.ending import Exit, leave
from app.commands.options import AsJson
from app.commands.reading import database

if TYPE_CHECKING:
    from worker.keys import Key

keys = typer.Typer(
    help="Keys of the service whose database the settings name.", no_args_is_help=True
)


class ScopeOption(StrEnum):
    """What a key allows."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What it is for, for whom reads the list.")],
    scope: Annotated[
        list[ScopeOption] | None,
        typer.Option(help="submit and read unless given; admin is both, and with every job."),
    ] = None,
    expires_in_days: Annotated[
        float | None, typer.Option(help="After which it opens nothing; never unless given.")
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Of a key made elsewhere, in place of a new one."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: what is kept of it is a hash."""
    from worker.keys import KeyFormError, Scope, adopt, create

    if not 0 < len(name) <= 100 or not name.isprintable():
        leave(Exit.BAD_INPUT, "The name should have 1 to 100 printable characters.")
    if expires_in_days is not None and not 0 < expires_in_days <= 36_500:
        leave(Exit.BAD_INPUT, "--expires-in-days should be above 0 and at most 36,500.")
    scopes = {Scope(each) for each in scope or (ScopeOption.SUBMIT, ScopeOption.READ)}
    lifetime_seconds = None if expires_in_days is None else expires_in_days * 86_400
    if from_file is not None:
        try:
            given = from_file.read_text().strip()
            with database() as store:
                key_id = adopt(store, given, name, scopes, lifetime_seconds=lifetime_seconds)
        except OSError as error:
            leave(Exit.BAD_INPUT, f"{from_file} cannot be read: {error.strerror}.")
        except KeyFormError as error:
            leave(Exit.BAD_INPUT, f"{from_file}: {error}")
        typer.echo(f"The key {key_id} is known.", err=True)
        return
    with database() as store:
        key_id, key = create(store, name, scopes, lifetime_seconds=lifetime_seconds)
    # Alone on standard output, so that a script can take it from there.
    typer.echo(json.dumps({"id": key_id, "key": key}) if as_json else key)
    typer.echo(f"Key {key_id} allows {', '.join(sorted(scopes))}. Keep it now.", err=True)


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """Print all keys, oldest first, without their secrets."""
    from worker.keys import every

    with database() as store:
        found = every(store)
    if as_json:
        typer.echo(json.dumps([_members(key) for key in found], indent=2))
        return
    for key in found:
        scopes = ",".join(sorted(key.scopes))
        typer.echo("  ".join([key.id, _minute(key.created_at), scopes, _state(key), key.name]))


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As trimtab keys list shows it.")],
) -> None:
    """Let a key open nothing any more, from now on. Its jobs stay, for keys of scope admin."""
    from worker.keys import revoke

    with database() as store:
        if not revoke(store, key_id):
            leave(Exit.BAD_INPUT, "There is no key of this id; trimtab keys list shows them all.")


def _members(key: "Key") -> dict[str, Any]:
    times = (key.created_at, key.expires_at, key.revoked_at)
    created, expires, revoked = (None if time is None else _minute(time) for time in times)
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": created,
        "expires_at": expires,
        "revoked_at": revoked,
    }


def _state(key: "Key") -> str:
    import time

    if key.revoked_at is not None:
        return f"revoked {_minute(key.revoked_at)}"
    if key.expires_at is not None:
        past = key.expires_at <= time.time()
        return f"{'expired' if past else 'opens until'} {_minute(key.expires_at)}"
    return "opens"


def _minute(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "minutes")[:16]
