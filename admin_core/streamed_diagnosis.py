"""The diagnosis of a built-in Transformer that is too large to be held whole.

Variances, omegas and the output change under a random step come of one pass with one sub-layer's
weights at a time. What takes a gradient, or carries every branch through the whole stack, is not to
be had that way, and the report says so.
"""

import time
from dataclasses import replace

from admin_core.analysis.omega import omega_section
from admin_core.analysis.profiling import BranchProfile, average, reported
from admin_core.analysis.streaming import StreamedModel
from admin_core.analysis.stretch import resume, save_stretch
from admin_core.environment import environment
from admin_core.estimate.check import unexpected_variances
from admin_core.models.streamed import StreamedTransformer
from admin_core.progress import OnProgress, Progress
from admin_core.report import Report
from admin_core.sources.built_in import BuiltIn
from admin_core.spec import Analysis, DiagnosisSpec
from admin_core.training.checkpoints import Checkpoint
from admin_core.verdict.rules import judge

_HELD_WHOLE = (
    "The model has more parameters than are held at once, so that it was profiled a sub-layer at a "
    "time: {}."
)
_GRADIENTS = _HELD_WHOLE.format("there are no gradients")
_DEPENDENCY = _HELD_WHOLE.format("no branch is carried on through the stack")
_PROBABILITY = _HELD_WHOLE.format("it cannot be trained for a probability, nor for edges")


def streamed_report(
    spec: DiagnosisSpec,
    source: BuiltIn,
    *,
    on_progress: OnProgress,
    checkpoint: Checkpoint | None,
) -> Report:
    """What one pass shows of the model, a sub-layer at a time.

    Args:
        on_progress: called several times a sub-layer; may raise `AnalysisCancelledError`.
        checkpoint: its path, with the seed of the model in its name, is where what was measured is
            left between two layers; where it is there already, the work goes on from it.

    Raises:
        as `diagnose_spec` does.
    """
    start = time.perf_counter()
    wanted = set(spec.analyses)
    judged = wanted & {Analysis.VERDICT, Analysis.EDGES}
    moves = Analysis.AMPLIFICATION in wanted or bool(judged)
    # The omegas of the first model, which is the last to go through, are averaged with the others'.
    seeds = [*range(spec.seed + 1, spec.seed + spec.omega.seeds), spec.seed]
    others: list[list[list[BranchProfile]]] = []
    for number, seed in enumerate(seeds):
        is_last = number + 1 == len(seeds)
        model = StreamedTransformer(source.model, seed=seed, device=source.device)
        streamed = StreamedModel(
            model,
            [source.batch(seed, step) for step in range(spec.omega.batches)],
            omega=spec.omega,
            admin_stacks=source.applicability(()).stacks,
            amplification=spec.amplification if moves and is_last else None,
            omegas_of_others=others,
        )
        _run(
            streamed,
            checkpoint=_of_model(seed, checkpoint),
            run=spec.model_dump_json(),
            on_progress=on_progress,
            already=number / len(seeds),
            share=1 / len(seeds),
        )
        if not is_last:
            others.append(streamed.profiles())
    profiles = average([streamed.profiles(), *others])
    amplification = streamed.output_changes()
    verdict = None
    if judged and amplification is not None:
        verdict = judge(amplification, d_model=source.model.d_model)
    on_progress(Progress("report", 1.0))
    unavailable = dict.fromkeys(
        ("gradients", "stability_rules", "numeric_range", "amplification.update"), _GRADIENTS
    )
    if Analysis.DEPENDENCY in wanted:
        unavailable["dependency"] = _DEPENDENCY
    if judged:
        unavailable["verdict.failure_probability"] = _PROBABILITY
    omegas = None
    if Analysis.OMEGA in wanted:
        omegas = omega_section(spec.omega, source.applicability(()), source.comparators(()))
    rows = [reported(profile) for profile in profiles]
    return Report(
        branches=rows,
        omega=omegas,
        amplification=amplification if Analysis.AMPLIFICATION in wanted else None,
        dependency=None,
        gradients=None,
        stability_rules=None,
        numeric_range=None,
        verdict=verdict,
        environment=environment(
            model.shapes,
            device=source.device,
            seed=spec.seed,
            data_sha256=source.data_sha256,
            num_tokens=profiles[0].num_tokens,
            dropout_active=spec.omega.dropout,
            durations_seconds={"streamed": time.perf_counter() - start},
            streamed=True,
        ),
        findings=unexpected_variances(spec, source.model, rows),
        unavailable=unavailable,
    )


def _of_model(seed: int, checkpoint: Checkpoint | None) -> Checkpoint | None:
    """A file for each of several models."""
    if checkpoint is None:
        return None
    path = checkpoint.path
    return replace(checkpoint, path=path.with_stem(f"{path.stem}-{seed}"))


def _run(
    streamed: StreamedModel,
    *,
    checkpoint: Checkpoint | None,
    run: str,
    on_progress: OnProgress,
    already: float,
    share: float,
) -> None:
    """Take one model's passes to their end, from the checkpoint where it is there.

    Args:
        already, share: of the whole work, what was done before this model and what it is.
    """
    if checkpoint is not None and checkpoint.path.exists():
        resume(checkpoint.path, streamed, run=run)
    layers = streamed.layers
    saved = time.monotonic()

    def tell(done: int) -> None:
        stack = layers[done][0]
        of_stack = [other is stack for other, _ in layers]
        stage = f"{stack} layer {1 + sum(of_stack[:done])} of {sum(of_stack)}"
        on_progress(Progress(stage, already + share * done / len(layers)))

    def save() -> None:
        nonlocal saved
        if checkpoint is not None and time.monotonic() - saved >= checkpoint.every_seconds:
            if checkpoint.before_save():
                save_stretch(checkpoint.path, streamed, run=run)
                checkpoint.after_save()
            saved = time.monotonic()

    streamed.run(before_part=tell, after_layer=save)
