"""`python -m worker.health`: whether a worker of this host is alive, for a container's check.

Exit code 0 if one gave a sign of life lately, 1 if none did or the database cannot be asked.
"""

import argparse
import socket
import sys

from sqlalchemy.exc import SQLAlchemyError

from worker import jobs
from worker.settings import Settings
from worker.store import Store

SILENCE_SECONDS = 60.0
"""A worker that gave no sign of life for this long does not count."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker.health", description=__doc__)
    parser.add_argument("--name", help="of one worker; otherwise any of this host will do")
    name = parser.parse_args().name
    store = Store(Settings().database_url)
    try:
        alive = jobs.live_workers(store, within_seconds=SILENCE_SECONDS)
    except SQLAlchemyError as error:
        sys.exit(f"The database cannot be asked: {type(error).__name__}.")
    finally:
        store.close()
    host = f"@{socket.gethostname()}"
    if not any(worker == name if name else worker.endswith(host) for worker in alive):
        sys.exit(f"{name or 'No worker of this host'} gave no sign of life lately.")


if __name__ == "__main__":
    main()
