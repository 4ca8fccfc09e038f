"""What comes back: a diagnosis as data. Nothing in it is NaN or infinite. No torch is loaded here.

Notation, as everywhere in this package:
    i         index of a sub-layer, from 1, restarting in each stack
    x_{i-1}   its input, which the shortcut carries past the branch
    f_i       its residual branch
    omega_i   scale on the shortcut
    Var       population variance over batch, tokens and features together, in float32
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from admin_core.spec import Stack


class Role(StrEnum):
    """What the residual branch of a sub-layer is."""

    SELF_ATTENTION = "self_attention"
    CROSS_ATTENTION = "cross_attention"
    FEED_FORWARD = "feed_forward"
    MIXER = "mixer"
    OTHER = "other"


class NormPlacement(StrEnum):
    """Where a sub-layer's norm sits."""

    POST = "post"
    PRE = "pre"


class Section(BaseModel):
    """Base of all parts of a report: immutable and finite."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True
    )


class Branch(Section):
    """One sub-layer: a shortcut and its residual branch."""

    index: Annotated[int, Field(ge=1)]
    """i, from 1, restarting in each stack."""
    stack: Stack
    path: str
    """Dotted module path, such as ``encoder.layers.3.feed_forward``."""
    role: Role
    norm_placement: NormPlacement
    shortcut_variance: float
    """Var[x_{i-1}], before omega scales it, in the profiling pass."""
    branch_variance: float
    """Var[f_i(x_{i-1})] in the profiling pass."""
    branch_variance_sem: float | None
    """Standard error of branch_variance, from the spread between the batch's sequences; none for a
    batch of one."""
    omega: float | None
    """omega_i of the convention named in `omega`; none where Admin does not apply."""
    dependency: float
    """Var[f_i] / Var[omega_i x_{i-1} + f_i]: how much the sub-layer leans on its branch, in the
    profiling pass."""


class OmegaSection(Section):
    """How the omegas of the branches were found, and whether they mean anything."""

    convention: str
    """``clinic``: one pass in training mode, each omega applied at once;
    omega_{i+1}^2 = Var[omega_i x_{i-1}] + Var[f_i(x_{i-1})], a chain of its own in each stack."""
    first_value: str
    """The rule for omega_1, on which conventions disagree."""
    applicable: bool
    """Whether at least one stack takes omegas."""
    reason: str | None
    """Why a stack takes none."""


class Law(StrEnum):
    """How the output change grows with depth, judged by its log-log slope."""

    LINEAR = "O(N)"
    BETWEEN = "between O(log N) and O(N)"
    LOGARITHMIC = "O(log N)"


class OutputChange(Section):
    """How far the states of one stack move when its parameters move a little.

    D_i = mean over tokens of |xhat_i - xhat*_i|^2, where xhat is the state after sub-layer i with
    unit standard deviation per token.
    """

    depths: list[int]
    """i, in sub-layers."""
    output_change: list[float]
    """D_i, per token."""
    standard_error: list[float] | None
    """Of D_i, over draws of the perturbation; none for a single draw."""
    slope: float | None
    """Of log D_i over log i, by least squares from the second sub-layer on; none below four
    depths."""
    law: Law | None
    """The growth that the slope stands for."""


class AmplificationSection(Section):
    """Output change under two perturbations, at every depth."""

    random: dict[Stack, OutputChange]
    """Under a step of `random_step` in a random sign on every weight matrix."""
    random_step: float
    draws: int
    """Draws of the random step that were averaged."""
    update: dict[Stack, OutputChange]
    """Under one real step of the optimizer at the peak learning rate."""


class Outcome(StrEnum):
    """What training is expected to do, from good to bad."""

    STABLE = "stable"
    AT_RISK = "at_risk"
    UNSTABLE = "unstable"


class Reason(Section):
    """One rule's contribution to the verdict."""

    rule: str
    outcome: Outcome
    """What this rule alone would say."""
    path: str
    """The stack or sub-layer that was measured."""
    measured: float
    threshold: float
    """The edge that `measured` was held against: the one it passed, or else the first one."""
    formula: str
    explanation: str
    """One sentence in plain words."""


class Verdict(Section):
    """The judgement and what it rests on."""

    outcome: Outcome
    reasons: list[Reason]
    """Worst first."""


class Environment(Section):
    """What the numbers depend on beside the spec."""

    trimtab: str
    python: str
    torch: str
    device: str
    dtype: str
    seed: int
    data_sha256: str | None
    """Of the text the batches came from; it differs between Python versions. None for synthetic
    data."""
    num_parameters: int
    num_tokens: int
    """Of the profiled batch, per stack."""
    dropout_active: bool
    """Whether the profiling pass ran in training mode."""
    durations_seconds: dict[str, float]
    """Wall time of each stage."""


class Report(Section):
    """A whole diagnosis."""

    branches: list[Branch]
    omega: OmegaSection | None
    amplification: AmplificationSection | None
    verdict: Verdict | None
    environment: Environment
