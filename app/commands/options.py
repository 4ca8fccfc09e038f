"""Arguments and options that several commands have."""

from typing import Annotated

import typer

LOCAL_SERVICE = "http://127.0.0.1:8000"

Url = Annotated[
    str, typer.Option(help="Of the service; a key is taken from TRIMTAB_KEY.", envvar="TRIMTAB_URL")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
SpecFile = Annotated[
    str, typer.Argument(metavar="FILE|-", help="A request as JSON; - reads standard input.")
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="As submit and list print it.")]
