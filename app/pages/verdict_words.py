"""A verdict in a sentence or two, for someone who has not read the paper."""

from admin_core.report import Outcome, Report, Verdict

HEADLINES = {
    Outcome.STABLE: "Expected to train",
    Outcome.AT_RISK: "At risk",
    Outcome.UNSTABLE: "Expected to fail",
}


def percent(probability: float) -> str:
    """``93 %``; at the ends, never certain."""
    if probability < 0.01:
        return "under 1 %"
    return "over 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"


def in_words(verdict: Verdict) -> str:
    """What the outcome means, and how sure it is."""
    if verdict.failure_probability is None:
        meaning = {
            Outcome.STABLE: "The output moves little when the parameters do, so that training as "
            "specified should go well.",
            Outcome.AT_RISK: "The output moves more than it should when the parameters do: "
            "training as specified may fail.",
            Outcome.UNSTABLE: "The output moves so far when the parameters do that training as "
            "specified should fail.",
        }
        return (
            f"{meaning[verdict.outcome]} There is no probability, as the model or its training "
            "lies outside what the predictor was calibrated on."
        )
    chance = f"a probability of {percent(verdict.failure_probability)}"
    meaning = {
        Outcome.STABLE: "Training as specified should go well; it diverges or stalls with "
        f"{chance}.",
        Outcome.AT_RISK: f"Training as specified diverges or stalls with {chance}: not what is "
        "expected, but too likely to leave it at that.",
        Outcome.UNSTABLE: f"Training as specified diverges or stalls with {chance}.",
    }
    return meaning[verdict.outcome]


def measured_without_verdict(report: Report) -> str:
    """Why a report has no verdict."""
    why = report.unavailable.get("verdict")
    return why or "No verdict was asked for; here is what was measured."
