"""The verdict: what training will do, why, how far the settings may go, and what would help.

Within the range of the runs that the model of failure was fitted to, a probe and that model give a
probability. Outside it there is no number to stand on, and the verdict falls back on the growth of
the output change (`admin_core.verdict.rules`) and says so.
"""

from admin_core.errors import NoLossError, NonFiniteError, UnavailableError
from admin_core.report import Outcome, Verdict
from admin_core.spec import Subject
from admin_core.verdict.edges import find_edges
from admin_core.verdict.forecast import Forecaster, outside_calibration
from admin_core.verdict.prescriptions import prescribe
from admin_core.verdict.reasons import outcome_of, reasons


def judge(
    subject: Subject, forecaster: Forecaster, *, by_growth: Verdict, with_edges: bool
) -> Verdict:
    """Judge a subject by a probe, or by the growth of its output change where it must be.

    Args:
        by_growth: the verdict of the growth rules.
        with_edges: whether the edges are looked for, which takes some sixty probes.
    """
    outside = outside_calibration(subject)
    if outside:
        return by_growth.model_copy(update={"outside_calibration": outside})
    try:
        foretold = forecaster.forecast(subject)
    except (NoLossError, NonFiniteError, UnavailableError) as error:
        why = f"No probe: {str(error).rstrip('.')}."
        return by_growth.model_copy(update={"outside_calibration": [why]})
    outcome = outcome_of(foretold.failure_probability)
    return Verdict(
        outcome=outcome,
        failure_probability=foretold.failure_probability,
        outside_calibration=[],
        reasons=reasons(subject, foretold),
        edges=find_edges(subject, forecaster) if with_edges else [],
        prescriptions=[] if outcome is Outcome.STABLE else prescribe(subject, forecaster),
    )
