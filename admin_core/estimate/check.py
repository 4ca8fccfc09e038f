"""Whether what a profile measured is what the formula expects of fresh weights."""

import math
from collections.abc import Sequence

from admin_core.estimate.branches import estimate_branches
from admin_core.report import Branch, Finding
from admin_core.spec import DiagnosisSpec, TransformerSpec

FACTOR = 2.0
"""How far a variance may lie from its estimate in a wide model."""

SCATTER = 8.0
"""Of the logarithm, over the root of the width: narrow models differ from seed to seed."""


def unexpected_variances(
    spec: DiagnosisSpec, model: TransformerSpec, measured: Sequence[Branch]
) -> list[Finding]:
    """The branch of each stack that lies furthest outside, where one does."""
    allowed = math.log(FACTOR) + SCATTER / math.sqrt(model.d_model)
    furthest: dict[str, tuple[float, Finding]] = {}
    for expected, found in zip(estimate_branches(spec, model), measured, strict=True):
        off = math.log(found.branch_variance / expected.branch_variance)
        if abs(off) > max(allowed, furthest.get(found.stack, (0.0,))[0]):
            finding = _finding(found, expected.branch_variance, off, math.exp(allowed))
            furthest[found.stack] = abs(off), finding
    return [finding for _, finding in furthest.values()]


def _finding(found: Branch, expected: float, off: float, threshold: float) -> Finding:
    times = f"{math.exp(abs(off)):.3g} times {'above' if off > 0 else 'below'}"
    return Finding(
        rule="unexpected_variance",
        path=found.path,
        measured=math.exp(abs(off)),
        threshold=threshold,
        formula="Var[f_i] / its estimate from the spec, or the inverse",
        explanation=(
            f"The branch's variance is {found.branch_variance:.3g}, {times} the {expected:.3g} "
            "that follows from the spec for fresh weights."
        ),
        suggestion=(
            "Look at the data: few different tokens, or none, are what the formula does not know. "
            "Otherwise tell us the spec, as either the measurement or the formula is wrong."
        ),
    )
