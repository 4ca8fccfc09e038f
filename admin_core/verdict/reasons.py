"""Why a forecast is what it is: one reason for each cause that speaks for failure.

What a cause adds is the mean over the forecast's probes; what a reason tells in figures is of the
first of them.
"""

from collections.abc import Iterator

from admin_core.report import Outcome, Reason
from admin_core.spec import Subject
from admin_core.verdict.failure_model import FailureModel, failure_model
from admin_core.verdict.features import FEATURES, Cause, effective_steps
from admin_core.verdict.forecast import Forecast
from admin_core.verdict.probe import probe_steps

NOTHING_SPEAKS_FOR_FAILURE = 1e-3
"""Log-odds below which a cause is not worth a reason."""


def outcome_of(probability: float) -> Outcome:
    """The word for a probability of failure."""
    model = failure_model()
    if probability >= model.unstable:
        return Outcome.UNSTABLE
    return Outcome.AT_RISK if probability >= model.at_risk else Outcome.STABLE


def reasons(subject: Subject, foretold: Forecast) -> list[Reason]:
    """The causes that raise the probability, the strongest first; one that lowers it least, where
    none does, so that a stable verdict has a reason too."""
    model = failure_model()
    added = model.shares(foretold.features)
    strongest_first = sorted(Cause, key=lambda cause: -added[cause])
    for_failure = [c for c in strongest_first if added[c] > NOTHING_SPEAKS_FOR_FAILURE]
    total = sum(added[cause] for cause in for_failure)
    return [
        _reason(subject, foretold, model, cause, added[cause], share=added[cause] / total)
        for cause in for_failure
    ] or [_reason(subject, foretold, model, strongest_first[0], added[strongest_first[0]], share=0)]


def _reason(
    subject: Subject,
    foretold: Forecast,
    model: FailureModel,
    cause: Cause,
    added: float,
    *,
    share: float,
) -> Reason:
    features = foretold.features[0]
    column, threshold = model.decisive(features, cause)
    return Reason(
        rule=cause.value,
        outcome=outcome_of(model.probability_of_average_run(added)),
        path=_path(foretold, cause),
        measured=features[column],
        threshold=threshold,
        formula=FEATURES[column].formula,
        explanation=" ".join(_sentences(subject, foretold, cause)),
        share=share,
    )


def _path(foretold: Forecast, cause: Cause) -> str:
    after = foretold.examinations[0].probe.after
    if not after:
        return "model"
    if cause is Cause.COLLAPSE:
        return max(after, key=lambda stack: after[stack].token_similarity)
    if cause is Cause.GRADIENT_DECAY:
        return max(after, key=lambda stack: abs(after[stack].gradient_decay or 0.0))
    if cause is Cause.TASK:
        return "data"
    return "training" if cause in (Cause.SCHEDULE, Cause.STEP_SIZE) else "model"


def _sentences(subject: Subject, foretold: Forecast, cause: Cause) -> Iterator[str]:
    examination = foretold.examinations[0]
    probe = examination.probe
    training = subject.training
    steps = f"After {probe_steps(training)} steps"
    if not probe.finite:
        yield f"The loss is not finite within {probe_steps(training)} steps."
    match cause:
        case Cause.COLLAPSE:
            for stack, found in probe.after.items():
                yield (
                    f"{steps} at up to the peak learning rate, the states of different tokens "
                    f"after the {stack} have a mean cosine of {found.token_similarity:.3f}, "
                    f"and had {probe.before[stack].token_similarity:.3f} before."
                )
            if probe.attention_entropy is not None:
                yield (
                    "The weights of the most concentrated attention have "
                    f"{100 * probe.attention_entropy:.0f} % of the entropy that they could have."
                )
            if probe.predictions:
                yield (
                    "What the output says differs between places by "
                    f"{probe.predictions[-1].information:.3g} nats."
                )
        case Cause.GRADIENT_DECAY:
            for stack, found in probe.after.items():
                if found.gradient_decay is not None:
                    yield (
                        f"{steps}, the gradient of the {stack}'s first feed-forward branch "
                        f"is {10**-found.gradient_decay:.2g} times that of its last."
                    )
        case Cause.STEP_SIZE:
            yield (
                f"A step at a learning rate of {training.learning_rate:g} moves the weight "
                f"matrices by {100 * probe.update_ratio:.2g} % of their size."
            )
            if probe.descent is not None:
                yield (
                    f"It does {100 * probe.descent:.0f} % of what the gradient promises for the "
                    "loss of its batch."
                )
        case Cause.LOSS:
            if probe.losses:
                yield (
                    f"Within {len(probe.losses) - 1} steps the loss goes from "
                    f"{probe.losses[0]:.3g} to {probe.losses[-1]:.3g} nats, and is "
                    f"{max(probe.losses):.3g} at most."
                )
        case Cause.CONTEXT:
            if probe.predictions:
                said = probe.predictions[-1]
                better = "better" if said.context_gain >= 0 else "worse"
                yield (
                    f"{steps}, telling places apart makes the answers "
                    f"{abs(said.context_gain):.3g} nats {better} known than the model's own "
                    "average prediction does; what a place says fits its own answer better than "
                    f"those of other places by {said.alignment:.2f} standard deviations."
                )
        case Cause.SCHEDULE:
            yield (
                f"{training.steps} steps, {training.warmup_steps} of them warm-up, are worth "
                f"{effective_steps(training):.0f} steps at the peak learning rate of "
                f"{training.learning_rate:g}."
            )
        case Cause.TASK:
            yield (
                f"The token or the number of its place tells "
                f"{100 * examination.at_hand:.0f} % of what there is to know of an "
                "answer; the rest has to come from other places, through attention."
            )
        case Cause.DEPTH:
            yield f"The model has {examination.depth} sub-layers."
