"""`trimtab serve`, `api`, `migrate` and `health`: the service itself."""

import json
import sys
from typing import Annotated

import typer

from app.commands.ending import Exit, database_errors, leave
from app.commands.options import LOCAL_SERVICE, AsJson, Url
from app.commands.reading import database, read_settings

Host = Annotated[str, typer.Option(help="Beyond loopback, only where there is a key.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="0 for any free one.")]


def serve(host: Host = "127.0.0.1", port: Port = 8000, as_json: AsJson = False) -> None:
    """Run the service, with its worker and broker, until Ctrl-C."""
    settings = read_settings()

    from app.serve import ServeError
    from app.serve import serve as serve_until_stopped

    def announce(url: str) -> None:
        said = f"Trimtab listens on {url}; try {url}/docs. Its state is in {settings.home}."
        _announce(said, as_json, url=url, home=str(settings.home))

    try:
        serve_until_stopped(settings, host=host, port=port, announce=announce)
    except ServeError as error:
        leave(Exit.SERVICE_FAILED, str(error))


def api(host: Host = "127.0.0.1", port: Port = 8000, as_json: AsJson = False) -> None:
    """Run the HTTP API alone; `python -m worker` runs a worker beside it or elsewhere."""
    settings = read_settings()

    from app.serve import ServeError, serve_api

    def announce(url: str) -> None:
        _announce(f"Trimtab's API listens on {url}; try {url}/docs.", as_json, url=url)

    with database_errors():
        try:
            serve_api(settings, host=host, port=port, announce=announce)
        except ServeError as error:
            leave(Exit.SERVICE_FAILED, str(error))


def _announce(said: str, as_json: bool, **members: str) -> None:
    typer.echo(json.dumps(members) if as_json else said)
    sys.stdout.flush()


def migrate() -> None:
    """Bring the tables of the database up to date, and end."""
    with database():
        pass


def health(url: Url = LOCAL_SERVICE, as_json: AsJson = False) -> None:
    """Whether a service can work: exit code 0 if so, 3 if not, as a container's check wants it."""
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/')}/readyz", timeout=5)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        leave(Exit.SERVICE_FAILED, f"{url} does not answer ({type(error).__name__}).")
    if answer.status_code != 200:
        leave(Exit.SERVICE_FAILED, f"{url} is not ready: {answer.text}")
    typer.echo(answer.text if as_json else f"{url} is ready.")
