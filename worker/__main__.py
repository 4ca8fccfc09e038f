"""`python -m worker`: one worker, which takes jobs until it is told to stop."""

import argparse
import os
import signal
import socket
import sys
import threading
import warnings

from worker.openmp import wait_without_spinning


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

    from worker.celery import CONSUMED
    from worker.tasks import celery_app, settings, store

    if settings.broker_url is None:
        sys.exit("Set TRIMTAB_BROKER_URL, as in redis://localhost:6379/0: a worker has no broker.")
    store.migrate()
    if options.until_stdin_closes:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    # Celery warns the superuser of messages that hold code; ours are JSON, and hold an id.
    warnings.simplefilter("ignore", SecurityWarning)
    celery_app.worker_main(
        [
            *("--quiet", "worker", "--hostname", options.name),
            *("--queues", ",".join(CONSUMED[settings.queues])),
            *("--without-gossip", "--without-mingle"),
        ]
    )


def _stop_with_parent() -> None:
    # Not through sys.stdin, whose lock the interpreter would want at its end.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
