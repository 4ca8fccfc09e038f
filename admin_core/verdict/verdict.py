"""The verdict: what training will do, why, how far the settings may go, and what would help.

Within the range of the runs that the model of failure was fitted to, a probe and that model give a
probability. Outside it there is no number to stand on, and the verdict falls back on the growth of
the output change (`admin_core.verdict.rules`) and says so.
"""

from collections.abc import Callable

import torch

from admin_core.report import AmplificationSection, Outcome, Verdict
from admin_core.spec import Subject
from admin_core.verdict import rules
from admin_core.verdict.edges import find_edges
from admin_core.verdict.forecast import forecast, outside_calibration
from admin_core.verdict.prescriptions import prescribe
from admin_core.verdict.reasons import outcome_of, reasons


def judge(
    subject: Subject,
    amplification: AmplificationSection,
    *,
    seed: int,
    device: torch.device,
    with_edges: bool = False,
    before_each: Callable[[], None] = lambda: None,
) -> Verdict:
    """Judge a subject.

    Args:
        amplification: of its model, as measured by the same diagnosis.
        seed: of the probe's weights, data and dropout.
        with_edges: whether the edges are looked for, which takes some thirty probes.
        before_each: called before every further probe, so that a search can be cancelled.
    """
    outside = outside_calibration(subject)
    if outside:
        by_growth = rules.judge(amplification, d_model=rules.width_of(subject))
        return by_growth.model_copy(update={"outside_calibration": outside})
    foretold = forecast(subject, seed=seed, device=device)
    outcome = outcome_of(foretold.failure_probability)
    search = {"seed": seed, "device": device, "before_each": before_each}
    return Verdict(
        outcome=outcome,
        failure_probability=foretold.failure_probability,
        outside_calibration=[],
        reasons=reasons(subject, foretold),
        edges=find_edges(subject, **search) if with_edges else [],
        prescriptions=[] if outcome is Outcome.STABLE else prescribe(subject, **search),
    )
