"""`trimtab`: all commands, as `app.commands` has them.

Exit codes: 0 done or stable, 1 a failing verdict, 2 wrong use or bad input, 3 the service failed.
"""

import sys
import traceback

import typer

from app.commands import here, jobs, judging, reports, service
from app.commands.datasets import datasets
from app.commands.ending import Exit
from app.commands.keys import keys

app = typer.Typer(
    help="Says whether a Transformer will train, why not, and by which measurements.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

IN_THIS_PROCESS = "In this process"
OF_A_SERVICE = "Of a running service (--url or TRIMTAB_URL, and TRIMTAB_KEY)"
THE_SERVICE = "The service itself"

for panel, commands in {
    IN_THIS_PROCESS: (here.diagnose, here.race),
    OF_A_SERVICE: (
        jobs.submit,
        jobs.wait,
        jobs.watch,
        jobs.cancel,
        jobs.list_jobs,
        jobs.compare,
        reports.report,
        judging.gate,
        judging.verify,
    ),
    THE_SERVICE: (service.serve, service.api, service.migrate, service.health),
}.items():
    for command in commands:
        name = command.__name__.removesuffix("_jobs")
        app.command(name, rich_help_panel=panel)(command)
app.add_typer(datasets, name="datasets", rich_help_panel=OF_A_SERVICE)
app.add_typer(keys, name="keys", rich_help_panel=THE_SERVICE)


def main() -> None:
    try:
        app()
    except Exception:
        # Python's own exit code for this is that of a failing verdict.
        traceback.print_exc()
        sys.exit(Exit.SERVICE_FAILED)
