"""`trimtab diagnose` and `race`: the work itself, in this process and without a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.ending import Exit, client_errors, leave
from app.commands.options import SpecFile
from app.commands.reading import DIAGNOSIS, RACE, read_settings, read_spec
from app.commands.showing import show_report

if TYPE_CHECKING:
    from admin_core.report import Report
    from admin_core.spec import DiagnosisSpec, TrainingSpec
    from admin_core.spec.pushed import PushedSpec


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
    """Diagnose a model in this process, without a server; exit code 1 if it is unstable."""
    if (file is None) == (module is None):
        leave(Exit.BAD_INPUT, "Give a FILE, or --module and --batch for a network of your own.")
    if (module is None) != (batch is None) or (training is not None and module is None):
        leave(Exit.BAD_INPUT, "--module and --batch go together, and --training with them.")

    from admin_core.spec import DiagnosisSpec, TrainingSpec
    from admin_core.spec.pushed import PushedSpec

    label = module or "a spec"
    if module is not None and batch is not None:
        form = TrainingSpec()
        if training is not None:
            form = read_spec(training, TrainingSpec, expected='{"learning_rate": 0.001}')
        report = _diagnose_own(module, batch, form)
    else:
        assert file is not None, "one of the two is given"
        spec = read_spec(file, DiagnosisSpec, expected=DIAGNOSIS)
        form, label = spec.training, _label(spec)
        report = _diagnose_spec(spec, weights)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    if push is not None:
        _push(push, PushedSpec(model=label, training=form), report)
    show_report(report, as_json=as_json)


def race(
    file: SpecFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train arms against each other in this process, without a server."""
    from admin_core.race_spec import RaceSpec

    spec = read_spec(file, RaceSpec, expected=RACE)
    settings = read_settings()

    from admin_core.errors import AdminCoreError, InvalidSpecError
    from admin_core.race_size import check_race_limits
    from app.progress_terminal import work_display
    from app.race_terminal import print_race
    from worker.data import open_data
    from worker.openmp import wait_without_spinning

    wait_without_spinning()
    try:
        check_race_limits(spec, settings.race_limits)
        with work_display() as (on_progress, on_point):
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
        leave(Exit.BAD_INPUT, str(error))
    except AdminCoreError as error:
        leave(Exit.SERVICE_FAILED, str(error))
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        print_race(report)


def _label(spec: "DiagnosisSpec") -> str:
    """What a model is called where its spec is not kept."""
    model = spec.model
    return model.model_type if model.kind == "huggingface" else model.architecture.value


def _diagnose_spec(spec: "DiagnosisSpec", weights: Path | None) -> "Report":
    settings = read_settings()

    from admin_core.errors import AdminCoreError, InvalidSpecError, WeightsError
    from admin_core.size import check_limits
    from app.progress_terminal import work_display
    from worker.data import open_data
    from worker.openmp import wait_without_spinning

    wait_without_spinning()
    try:
        check_limits(spec, settings.limits)
        with work_display() as (on_progress, _):
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
        leave(Exit.BAD_INPUT, str(error))
    except AdminCoreError as error:
        leave(Exit.SERVICE_FAILED, str(error))


def _diagnose_own(module: str, batch: str, training: "TrainingSpec") -> "Report":
    from admin_core.errors import AdminCoreError, ForwardError
    from app.own_code import OwnCodeError, own_batch, own_model
    from app.progress_terminal import work_display
    from worker.openmp import wait_without_spinning

    wait_without_spinning()
    try:
        model, given = own_model(module), own_batch(batch)
        with work_display() as (on_progress, _):
            from admin_core.diagnosis import diagnose

            return diagnose(model, given, training=training, on_progress=on_progress)
    except (OwnCodeError, ForwardError) as error:
        leave(Exit.BAD_INPUT, str(error))
    except AdminCoreError as error:
        leave(Exit.SERVICE_FAILED, str(error))


def _push(url: str, spec: "PushedSpec", report: "Report") -> None:
    from app.client import Trimtab

    with client_errors(), Trimtab(url) as trimtab:
        job = trimtab.keep_report(spec, report)
        typer.echo(f"Kept at {trimtab.url}{job.links['self']}", err=True)
