"""The command line: `trimtab serve` and `api`, `migrate`, `health`, `diagnose`, `race`, `gate`,
`verify`, `report`, `datasets` and `keys`.

Exit codes: 0 done or stable, 1 a failing verdict, 2 wrong use or bad input, 3 the service failed.
Each command imports what it needs when it runs, so that `--help` is quick.
"""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from admin_core.report import Report
    from admin_core.spec import DiagnosisSpec, TrainingSpec
    from admin_core.spec.parts import Part
    from admin_core.spec.pushed import PushedSpec
    from worker.settings import Settings
    from worker.store import Store

Spec = TypeVar("Spec", bound="Part")

DIAGNOSIS = (
    '{"model": {"kind": "transformer", ...}}, with training, data and seed beside model if wanted.'
)
RACE = (
    '{"model": {"kind": "transformer", ...}, "arms": ["post_ln", "admin"]}, with training, data '
    "and seeds beside them if wanted."
)

app = typer.Typer(
    help="Says whether a Transformer will train, why not, and by which measurements.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


datasets = typer.Typer(help="Data sets of a running service.", no_args_is_help=True)
app.add_typer(datasets, name="datasets")
keys = typer.Typer(
    help="Keys of the service whose database the settings name.", no_args_is_help=True
)
app.add_typer(keys, name="keys")


class Exit(IntEnum):
    OK = 0
    FAILING_VERDICT = 1
    BAD_INPUT = 2
    SERVICE_FAILED = 3


class FailOn(StrEnum):
    """The mildest outcome that fails."""

    AT_RISK = "at_risk"
    UNSTABLE = "unstable"


class TokenizerOption(StrEnum):
    """How text becomes tokens."""

    BYTES = "bytes"
    BPE = "bpe"


Url = Annotated[str, typer.Option(help="Of the service.")]
Host = Annotated[str, typer.Option(help="Beyond loopback, only where there is a key.")]
LOCAL_SERVICE = "http://127.0.0.1:8000"


class ScopeOption(StrEnum):
    """What a key allows."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


class ReportOption(StrEnum):
    """What a report can be written as."""

    HTML = "html"
    MD = "md"
    JSON = "json"
    JUNIT = "junit"


SpecFile = Annotated[
    str, typer.Argument(metavar="FILE|-", help="A request as JSON; - reads standard input.")
]


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Beyond loopback, only where there is a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any free one.")] = 8000,
) -> None:
    """Run the service, with its worker and broker, until Ctrl-C."""
    settings = _settings()

    from app.serve import ServeError
    from app.serve import serve as serve_until_stopped

    def announce(url: str) -> None:
        typer.echo(f"Trimtab listens on {url}; try {url}/docs. Its state is in {settings.home}.")
        sys.stdout.flush()

    try:
        serve_until_stopped(settings, host=host, port=port, announce=announce)
    except ServeError as error:
        _leave(Exit.SERVICE_FAILED, str(error))


@app.command()
def api(
    host: Annotated[
        str, typer.Option(help="Beyond loopback, only where there is a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any free one.")] = 8000,
) -> None:
    """Run the HTTP API alone; `python -m worker` runs a worker beside it or elsewhere."""
    settings = _settings()

    from app.serve import ServeError, serve_api

    def announce(url: str) -> None:
        typer.echo(f"Trimtab's API listens on {url}; try {url}/docs.")
        sys.stdout.flush()

    with _database_errors():
        try:
            serve_api(settings, host=host, port=port, announce=announce)
        except ServeError as error:
            _leave(Exit.SERVICE_FAILED, str(error))


@app.command()
def migrate() -> None:
    """Bring the tables of the database up to date, and end."""
    with _database():
        pass


@app.command()
def health(url: Url = LOCAL_SERVICE) -> None:
    """Whether a service can work: exit code 0 if so, 3 if not, as a container's check wants it."""
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/')}/readyz", timeout=5)
    except httpx.HTTPError as error:
        _leave(Exit.SERVICE_FAILED, f"{url} does not answer ({type(error).__name__}).")
    if answer.status_code != 200:
        _leave(Exit.SERVICE_FAILED, f"{url} is not ready: {answer.text}")
    typer.echo(f"{url} is ready.")


@app.command()
def diagnose(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE|-", help="A request as JSON; - reads standard input."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    weights: Annotated[
        Path | None,
        typer.Option(help="A safetensors file of trained weights, in place of fresh ones."),
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(
            metavar="PACKAGE.MODULE:FUNCTION",
            help="In place of FILE: your own function that returns a network.",
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="PACKAGE.MODULE:FUNCTION",
            help="With --module: your own function that returns what the network is called with.",
        ),
    ] = None,
    training: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="With --module: how it would be trained, as JSON."),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Of a service that is to keep the report."),
    ] = None,
) -> None:
    """Diagnose a model in this process, without a server."""
    if (file is None) == (module is None):
        _leave(Exit.BAD_INPUT, "Give a FILE, or --module and --batch for a network of your own.")
    if (module is None) != (batch is None) or (training is not None and module is None):
        _leave(Exit.BAD_INPUT, "--module and --batch go together, and --training with them.")

    from admin_core.spec import DiagnosisSpec, TrainingSpec
    from admin_core.spec.pushed import PushedSpec

    label = module or "a spec"
    if module is not None and batch is not None:
        form = TrainingSpec()
        if training is not None:
            form = _read_spec(training, TrainingSpec, expected='{"learning_rate": 0.001}')
        report = _diagnose_own(module, batch, form)
    else:
        assert file is not None, "one of the two is given"
        spec = _read_spec(file, DiagnosisSpec, expected=DIAGNOSIS)
        form, label = spec.training, _label(spec)
        report = _diagnose_spec(spec, weights)

    from admin_core.report import Outcome
    from app.terminal import print_report

    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        print_report(report)
    if push is not None:
        _push(push, PushedSpec(model=label, training=form), report)
    if report.verdict is not None and report.verdict.outcome is Outcome.UNSTABLE:
        sys.exit(Exit.FAILING_VERDICT)


@app.command()
def race(
    file: SpecFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train arms against each other in this process, without a server."""
    from admin_core.race_spec import RaceSpec

    spec = _read_spec(file, RaceSpec, expected=RACE)
    settings = _settings()

    from admin_core.errors import AdminCoreError, InvalidSpecError
    from admin_core.race_size import check_race_limits
    from app.race_terminal import print_race, race_display
    from worker.data import open_data
    from worker.openmp import wait_without_spinning

    wait_without_spinning()
    try:
        check_race_limits(spec, settings.race_limits)
        with race_display() as (on_progress, on_point):
            from admin_core.race import race as run_race

            report = run_race(
                spec,
                device=settings.device,
                on_progress=on_progress,
                on_point=on_point,
                dataset=open_data(spec.data, settings, on_progress=on_progress),
                limits=settings.limits,
            )
    except InvalidSpecError as error:
        _leave(Exit.BAD_INPUT, str(error))
    except AdminCoreError as error:
        _leave(Exit.SERVICE_FAILED, str(error))
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        print_race(report)


@app.command()
def gate(
    file: SpecFile,
    url: Url = LOCAL_SERVICE,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(help="The mildest outcome that fails; unstable if nothing else is given."),
    ] = None,
    max_failure_probability: Annotated[
        float | None, typer.Option(min=0, max=1, help="The highest that passes.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Id of an earlier diagnosis; only what is worse fails.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Diagnose anew, whatever was diagnosed before.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the verdict, all told.")
    ] = 600.0,
) -> None:
    """Ask a running service for a verdict, as CI does."""
    from admin_core.spec import DiagnosisSpec

    spec = _read_spec(file, DiagnosisSpec, expected=DIAGNOSIS)

    from app.client import ServiceError, ask_gate

    try:
        status, answer = ask_gate(
            url,
            spec,
            criteria={
                "fail_on": fail_on,
                "max_failure_probability": max_failure_probability,
                "baseline": baseline,
            },
            fresh=fresh,
            wait_seconds=wait,
        )
    except ServiceError as error:
        _leave(Exit.SERVICE_FAILED, str(error))
    if status == 200:
        where = f"{url.rstrip('/')}{answer['links']['diagnosis']}"
        typer.echo(f"{answer['outcome']}: passes ({where}). {answer['detail']}")
        return
    if status == 409:
        typer.echo(f"{answer['outcome']}: fails. {answer['detail']}")
        sys.exit(Exit.FAILING_VERDICT)
    _refused(status, answer)


@app.command()
def verify(
    diagnosis: Annotated[str, typer.Argument(metavar="ID", help="Of a finished diagnosis.")],
    prescription: Annotated[
        int, typer.Option(min=0, help="Which of the verdict's, counted from 0.")
    ] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each arm.")] = 3,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of each run, in place of the diagnosis's.")
    ] = None,
    budget_seconds: Annotated[
        float | None, typer.Option(help="Of training in all runs together.")
    ] = None,
    url: Url = LOCAL_SERVICE,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Race anew, whatever was raced before.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the race, all told.")
    ] = 3_600.0,
) -> None:
    """Have a running service race a diagnosed model against its prescription."""
    from admin_core.race_report import RaceReport
    from app.client import ServiceError, ask_verification
    from app.race_terminal import print_race

    body: dict[str, str | float | None] = {
        "diagnosis": diagnosis,
        "prescription": prescription,
        "seeds": seeds,
        "steps": steps,
        "budget_seconds": budget_seconds,
    }
    try:
        status, answer = ask_verification(url, body, fresh=fresh, wait_seconds=wait)
    except ServiceError as error:
        _leave(Exit.SERVICE_FAILED, str(error))
    if status >= 400:
        _refused(status, answer)
    if answer["state"] != "succeeded":
        where = f"{url.rstrip('/')}{answer['links']['self']}"
        why = (answer["problem"] or {}).get("detail") or f"The race is {answer['state']}"
        _leave(Exit.SERVICE_FAILED, f"{why} ({where}).")
    print_race(RaceReport.model_validate(answer["report"]))


@app.command()
def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|ID|-", help="A report or job as JSON, or the id of a service's job."
        ),
    ],
    file_format: Annotated[
        ReportOption, typer.Option("--format", help="junit is of diagnoses only.")
    ] = ReportOption.MD,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Standard output unless given.")
    ] = None,
    url: Url = LOCAL_SERVICE,
) -> None:
    """Write a report as a file for people, for a pull request or for a CI system."""
    from pydantic_core import from_json

    from admin_core.report_files.of_report import NoJUnitError, ReportFormat, report_file
    from app.client import ServiceError
    from app.report_source import JOB_ID, NoReportError, fetch_report, parse_report

    wanted = ReportFormat(file_format)
    try:
        if JOB_ID.fullmatch(source) and not Path(source).exists():
            content = fetch_report(url, source, wanted)
        else:
            name, text = _read(source)
            found, about = parse_report(from_json(text), name=name)
            content = report_file(found, wanted, about).encode()
    except (NoReportError, NoJUnitError) as error:
        _leave(Exit.BAD_INPUT, str(error))
    except ServiceError as error:
        _leave(Exit.SERVICE_FAILED, str(error))
    except ValueError as error:
        _leave(Exit.BAD_INPUT, f"{source} cannot be read as JSON: {error}.")
    if output is None:
        sys.stdout.buffer.write(content)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        _leave(Exit.BAD_INPUT, f"{output} cannot be written: {error.strerror}.")


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
) -> None:
    """Upload a file; prints the id that specs name it by."""
    from app.client import ServiceError
    from app.dataset_client import MEDIA_TYPES, upload

    if file.suffix.lower() not in MEDIA_TYPES:
        _leave(Exit.BAD_INPUT, f"{file} should end in one of {', '.join(MEDIA_TYPES)}.")
    try:
        status, answer = upload(
            url, file, tokenizer=tokenizer, vocab_size=vocab_size, columns=column or []
        )
    except OSError as error:
        _leave(Exit.BAD_INPUT, f"{file} cannot be read: {error.strerror}.")
    except ServiceError as error:
        _leave(Exit.SERVICE_FAILED, str(error))
    if status not in (200, 201):
        _refused(status, answer)
    typer.echo(answer["id"])


@datasets.command("list")
def list_datasets(url: Url = LOCAL_SERVICE) -> None:
    """Print the data sets of the service, newest first."""
    from app.client import ServiceError
    from app.dataset_client import each

    try:
        for found in each(url):
            facts = found["facts"]
            words = [
                found["id"],
                found["created_at"][:19],
                f"{facts['lines']} lines",
                "+".join(facts["columns"]),
                f"{facts['tokenizer']['name']} {facts['vocab_size']}",
            ]
            typer.echo("  ".join(words))
    except ServiceError as error:
        _leave(Exit.SERVICE_FAILED, str(error))


@datasets.command("delete")
def delete_dataset(
    dataset_id: Annotated[str, typer.Argument(metavar="ID")], url: Url = LOCAL_SERVICE
) -> None:
    """Delete a data set that no unfinished job reads."""
    from app.client import ServiceError
    from app.dataset_client import delete

    try:
        status, answer = delete(url, dataset_id)
    except ServiceError as error:
        _leave(Exit.SERVICE_FAILED, str(error))
    if status == 404:
        _leave(Exit.BAD_INPUT, str(answer.get("detail", status)))
    if status != 204:
        _refused(status, answer)


@contextmanager
def _database_errors() -> Iterator[None]:
    """Leave the program with a word on the database if it cannot be used."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        # Its first line; the others repeat the statement.
        reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        _leave(Exit.SERVICE_FAILED, f"The database of TRIMTAB_DATABASE_URL: {reason}")


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
) -> None:
    """Make a key and print it, this once: what is kept of it is a hash."""
    from worker.keys import KeyFormError, Scope, adopt, create

    if not 0 < len(name) <= 100 or not name.isprintable():
        _leave(Exit.BAD_INPUT, "The name should have 1 to 100 printable characters.")
    if expires_in_days is not None and not 0 < expires_in_days <= 36_500:
        _leave(Exit.BAD_INPUT, "--expires-in-days should be above 0 and at most 36,500.")
    scopes = {Scope(each) for each in scope or (ScopeOption.SUBMIT, ScopeOption.READ)}
    lifetime_seconds = None if expires_in_days is None else expires_in_days * 86_400
    if from_file is not None:
        try:
            given = from_file.read_text().strip()
            with _database() as store:
                key_id = adopt(store, given, name, scopes, lifetime_seconds=lifetime_seconds)
        except OSError as error:
            _leave(Exit.BAD_INPUT, f"{from_file} cannot be read: {error.strerror}.")
        except KeyFormError as error:
            _leave(Exit.BAD_INPUT, f"{from_file}: {error}")
        typer.echo(f"The key {key_id} is known.", err=True)
        return
    with _database() as store:
        key_id, key = create(store, name, scopes, lifetime_seconds=lifetime_seconds)
    # Alone on standard output, so that a script can take it from there.
    typer.echo(key)
    typer.echo(f"Key {key_id} allows {', '.join(sorted(scopes))}. Keep it now.", err=True)


@keys.command("list")
def list_keys() -> None:
    """Print all keys, oldest first, without their secrets."""
    import time
    from datetime import UTC, datetime

    from worker.keys import every

    def day(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "minutes")[:16]

    with _database() as store:
        for key in every(store):
            state = "opens"
            if key.revoked_at is not None:
                state = f"revoked {day(key.revoked_at)}"
            elif key.expires_at is not None:
                past = key.expires_at <= time.time()
                state = f"{'expired' if past else 'opens until'} {day(key.expires_at)}"
            scopes = ",".join(sorted(key.scopes))
            typer.echo("  ".join([key.id, day(key.created_at), scopes, state, key.name]))


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As trimtab keys list shows it.")],
) -> None:
    """Let a key open nothing any more, from now on. Its jobs stay, for keys of scope admin."""
    from worker.keys import revoke

    with _database() as store:
        if not revoke(store, key_id):
            _leave(Exit.BAD_INPUT, "There is no key of this id; trimtab keys list shows them all.")


@contextmanager
def _database() -> Iterator["Store"]:
    """The store that the settings name, with its tables up to date."""
    settings = _settings()

    from worker.store import Store

    store = Store(settings.database_url)
    try:
        with _database_errors():
            store.migrate()
            yield store
    finally:
        store.close()


def _label(spec: "DiagnosisSpec") -> str:
    """What a model is called where its spec is not kept."""
    model = spec.model
    return model.model_type if model.kind == "huggingface" else model.architecture.value


def _diagnose_spec(spec: "DiagnosisSpec", weights: Path | None) -> "Report":
    settings = _settings()

    from admin_core.errors import AdminCoreError, InvalidSpecError, WeightsError
    from admin_core.size import check_limits
    from app.terminal import progress_bar
    from worker.data import open_data
    from worker.openmp import wait_without_spinning

    wait_without_spinning()
    try:
        check_limits(spec, settings.limits)
        with progress_bar() as on_progress:
            from admin_core.diagnosis import diagnose_spec

            return diagnose_spec(
                spec,
                device=settings.device,
                on_progress=on_progress,
                weights=weights,
                dataset=open_data(spec.data, settings, on_progress=on_progress),
                limits=settings.limits,
            )
    except (InvalidSpecError, WeightsError) as error:
        _leave(Exit.BAD_INPUT, str(error))
    except AdminCoreError as error:
        _leave(Exit.SERVICE_FAILED, str(error))


def _diagnose_own(module: str, batch: str, training: "TrainingSpec") -> "Report":
    from admin_core.errors import AdminCoreError, ForwardError
    from app.own_code import OwnCodeError, own_batch, own_model
    from app.terminal import progress_bar
    from worker.openmp import wait_without_spinning

    wait_without_spinning()
    try:
        model, given = own_model(module), own_batch(batch)
        with progress_bar() as on_progress:
            from admin_core.diagnosis import diagnose

            return diagnose(model, given, training=training, on_progress=on_progress)
    except (OwnCodeError, ForwardError) as error:
        _leave(Exit.BAD_INPUT, str(error))
    except AdminCoreError as error:
        _leave(Exit.SERVICE_FAILED, str(error))


def _push(url: str, spec: "PushedSpec", report: "Report") -> None:
    from app.client import ServiceError, push_report

    try:
        status, answer = push_report(url, spec, report)
    except ServiceError as error:
        _leave(Exit.SERVICE_FAILED, str(error))
    if status != 200:
        refused = answer.get("detail") or answer.get("title") or f"status {status}"
        _leave(Exit.SERVICE_FAILED, f"The service does not keep the report: {refused}")
    typer.echo(f"Kept at {url.rstrip('/')}{answer['links']['self']}", err=True)


def main() -> None:
    try:
        app()
    except Exception:
        # Python's own exit code for this is that of a failing verdict.
        traceback.print_exc()
        sys.exit(Exit.SERVICE_FAILED)


def _read_spec(file: str, form: "type[Spec]", *, expected: str) -> "Spec":
    """The request in a file, checked; leaves the program if it is none.

    Args:
        expected: what such a request looks like, for whom sends something else.
    """
    from pydantic import ValidationError
    from pydantic_core import from_json

    from app.field_errors import field_errors

    name, text = _read(file)
    try:
        body = from_json(text)
    except ValueError as error:
        _leave(Exit.BAD_INPUT, f"{name} cannot be read as JSON: {error}.")
    try:
        return form.model_validate(body)
    except ValidationError as error:
        found = field_errors(error.errors(), body)
        lines = [f"{entry.field or 'the whole'}: {entry.message}" for entry in found]
        if isinstance(body, dict) and "model" in form.model_fields and "model" not in body:
            lines.append(f"A request was expected: {expected}")
        _leave(Exit.BAD_INPUT, "\n  ".join([f"{name} is no valid request.", *lines]))


def _read(file: str) -> tuple[str, bytes]:
    """How a file is called, and what is in it; leaves the program if it cannot be read."""
    name = "standard input" if file == "-" else file
    try:
        return name, sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        _leave(Exit.BAD_INPUT, f"{name} cannot be read: {error.strerror}.")


def _settings() -> "Settings":
    from pydantic import ValidationError

    from worker.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"TRIMTAB_{'_'.join(map(str, entry['loc'])).upper()}: {entry['msg']}"
            if entry["loc"]
            else entry["msg"].removeprefix("Value error, ")
            for entry in error.errors()
        ]
        _leave(Exit.BAD_INPUT, "\n  ".join(["The settings are wrong.", *lines]))


def _refused(status: int, problem: dict[str, Any]) -> NoReturn:
    """Leave, because the service has refused a request."""
    bad_input = status in (400, 409, 413, 415, 422) or "errors" in problem
    detail = problem.get("detail") or problem.get("title") or f"status {status}"
    _leave(Exit.BAD_INPUT if bad_input else Exit.SERVICE_FAILED, detail)


def _leave(code: Exit, message: str) -> NoReturn:
    typer.echo(f"trimtab: {message}", err=True)
    sys.exit(code)
