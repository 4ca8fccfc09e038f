"""`python -m worker`: one worker, which takes jobs until it is told to stop."""

import argparse
import fcntl
import os
import signal
import socket
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import IO

from worker.openmp import wait_without_spinning
from worker.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument(
        "--name",
        default=f"worker-{os.getpid()}@{socket.gethostname()}",
        help="how this worker is called in jobs and logs; no two may share a name",
    )
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="stop when standard input ends, that is, when the process that started this dies",
    )
    options = parser.parse_args()

    # The pool's processes, which load torch, inherit this.
    wait_without_spinning()

    # Here, so that --help is quick.
    from celery.platforms import SecurityWarning

    from worker.celery import consumed_by
    from worker.tasks import celery_app, settings, store

    if settings.broker_url is None:
        sys.exit("Set TRIMTAB_BROKER_URL, as in redis://localhost:6379/0: a worker has no broker.")
    device = _held_device(settings)
    store.migrate()
    if options.until_stdin_closes:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    # Celery warns the superuser of messages that hold code; ours are JSON, and hold an id.
    warnings.simplefilter("ignore", SecurityWarning)
    celery_app.worker_main(
        [
            *("--quiet", "worker", "--hostname", options.name),
            *("--queues", ",".join(consumed_by(settings))),
            *("--without-gossip", "--without-mingle"),
        ]
    )
    if device is not None:
        device.close()


def _held_device(settings: Settings) -> IO[str] | None:
    """The lock of a GPU, which one worker of this machine's user has at a time; none for a CPU."""
    if settings.device_kind == "cpu":
        return None
    name = "cuda:0" if settings.device == "auto" else settings.device
    path = Path(tempfile.gettempdir()) / f"trimtab-{os.getuid()}-{name.replace(':', '-')}.lock"
    lock = path.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"Another worker has {name}: a GPU has one job at a time. Set TRIMTAB_DEVICE.")
    return lock


def _stop_with_parent() -> None:
    # Not through sys.stdin, whose lock the interpreter would want at its end.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
