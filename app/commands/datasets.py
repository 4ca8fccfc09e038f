"""`trimtab datasets`: text that a running service has been given."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.commands.ending import Exit, client_errors, leave
from app.commands.options import LOCAL_SERVICE, AsJson, Url

datasets = typer.Typer(help="Data sets of a running service.", no_args_is_help=True)


class TokenizerOption(StrEnum):
    """How text becomes tokens."""

    BYTES = "bytes"
    BPE = "bpe"


@datasets.command("upload")
def upload_dataset(
    file: Annotated[
        Path, typer.Argument(help="Lines (.txt), two columns (.tsv) or JSON lines (.jsonl).")
    ],
    tokenizer: Annotated[
        TokenizerOption, typer.Option(help="bpe is trained on the data set by the first job.")
    ] = TokenizerOption.BYTES,
    vocab_size: Annotated[int | None, typer.Option(help="Of bpe; 8,192 unless given.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Of JSON lines: the member to read; twice for source and target."),
    ] = None,
    url: Url = LOCAL_SERVICE,
    as_json: AsJson = False,
) -> None:
    """Upload a file; prints the id that specs name it by."""
    from app.client import Trimtab

    try:
        with client_errors(), Trimtab(url) as trimtab:
            answer = trimtab.upload_dataset(
                file, tokenizer=tokenizer.value, vocab_size=vocab_size, columns=column or []
            )
    except OSError as error:
        leave(Exit.BAD_INPUT, f"{file} cannot be read: {error.strerror}.")
    except ValueError as error:
        leave(Exit.BAD_INPUT, str(error))
    typer.echo(json.dumps(answer, indent=2) if as_json else answer["id"])


@datasets.command("list")
def list_datasets(url: Url = LOCAL_SERVICE, as_json: AsJson = False) -> None:
    """Print the data sets of the service, newest first."""
    from app.client import Trimtab

    with client_errors(), Trimtab(url) as trimtab:
        found = trimtab.datasets()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for dataset in found:
        facts = dataset["facts"]
        words = [
            dataset["id"],
            dataset["created_at"][:19],
            f"{facts['lines']} lines",
            "+".join(facts["columns"]),
            f"{facts['tokenizer']['name']} {facts['vocab_size']}",
        ]
        typer.echo("  ".join(words))


@datasets.command("delete")
def delete_dataset(
    dataset_id: Annotated[str, typer.Argument(metavar="ID")], url: Url = LOCAL_SERVICE
) -> None:
    """Delete a data set that no unfinished job reads."""
    from app.client import Trimtab

    with client_errors(), Trimtab(url) as trimtab:
        trimtab.delete_dataset(dataset_id)
