"""The verdict: what training will do, why, how far the settings may go, and what would help.

Within the range of the runs that the model of failure was fitted to, a probe and that model give a
probability. Outside it there is no number to stand on, and the verdict falls back on the growth of
the output change (`admin_core.verdict.rules`) and says so.
"""

from collections.abc import Callable

import torch

from admin_core.errors import UnavailableError
from admin_core.report import Outcome, Verdict
from admin_core.spec import Subject
from admin_core.verdict.edges import find_edges
from admin_core.verdict.forecast import forecast, outside_calibration
from admin_core.verdict.prescriptions import prescribe
from admin_core.verdict.reasons import outcome_of, reasons


def judge(
    subject: Subject,
    *,
    by_growth: Verdict,
    seed: int,
    device: torch.device,
    with_edges: bool,
    before_each: Callable[[], None],
) -> Verdict:
    """Judge a subject by a probe, or by the growth of its output change where it must be.

    Args:
        by_growth: the verdict of the growth rules.
        seed: of the probe's weights, data and dropout.
        with_edges: whether the edges are looked for, which takes some thirty probes.
        before_each: called before every probe, so that a search can be cancelled.
    """
    outside = outside_calibration(subject)
    if outside:
        return by_growth.model_copy(update={"outside_calibration": outside})
    before_each()
    try:
        foretold = forecast(subject, seed=seed, device=device)
    except UnavailableError as error:
        return by_growth.model_copy(update={"outside_calibration": [f"No probe: {error}."]})
    outcome = outcome_of(foretold.failure_probability)
    edges = prescriptions = []
    if with_edges:
        edges = find_edges(subject, seed=seed, device=device, before_each=before_each)
    if outcome is not Outcome.STABLE:
        prescriptions = prescribe(subject, seed=seed, device=device, before_each=before_each)
    return Verdict(
        outcome=outcome,
        failure_probability=foretold.failure_probability,
        outside_calibration=[],
        reasons=reasons(subject, foretold),
        edges=edges,
        prescriptions=prescriptions,
    )
