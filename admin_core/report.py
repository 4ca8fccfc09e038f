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

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from admin_core.spec import Optimizer, OutputChangeScale, Padding, Stack

StackName = Annotated[Stack | str, Field(union_mode="left_to_right")]
"""`encoder` or `decoder`; where a network has several of a kind, the path of each one's layers."""


class Role(StrEnum):
    """What the residual branch of a sub-layer is."""

    SELF_ATTENTION = "self_attention"
    CROSS_ATTENTION = "cross_attention"
    FEED_FORWARD = "feed_forward"
    MIXER = "mixer"
    """State space, recurrence, pooling or another way to mix tokens without attention."""
    CONVOLUTION = "convolution"
    OTHER = "other"


class NormPlacement(StrEnum):
    """Where a sub-layer's norm sits."""

    POST = "post"
    PRE = "pre"
    SANDWICH = "sandwich"
    """Before and after the branch."""
    OUTPUT = "branch_output"
    """On the branch's output alone, before the addition, as in OLMo 2 and Swin v2."""
    NONE = "none"


class Section(BaseModel):
    """Base of all parts of a report: immutable and finite."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True
    )


class Branch(Section):
    """One sub-layer: a shortcut and its residual branch."""

    index: Annotated[int, Field(ge=1)]
    """i, from 1, restarting in each stack."""
    stack: StackName
    path: str
    """Dotted module path, such as ``encoder.layers.3.feed_forward``."""
    role: Role
    norm_placement: NormPlacement
    shortcut_variance: float
    """Var[x_{i-1}], before omega scales it, in the profiling pass."""
    branch_variance: float
    """Var[f_i(x_{i-1})] in the profiling pass."""
    branch_variance_sem: float | None
    """Standard error of branch_variance: from the spread between the passes, or for a single pass
    between its sequences; none for a single sequence."""
    omega: float | None
    """omega_i of the convention named in `omega`; none where Admin does not apply."""
    omega_sem: float | None
    """Standard error of omega, from the spread between passes; none for a single pass."""
    dependency: float
    """Var[f_i] / Var[omega_i x_{i-1} + f_i]: how much the sub-layer leans on its branch, in the
    profiling pass."""


class DeepNormScales(Section):
    """DeepNorm's constants for one stack."""

    alpha: float
    """On the shortcut."""
    beta: float
    """Gain of the value, output and feed-forward weights; query and key keep 1."""


class TFixupScales(Section):
    """T-Fixup's constants for one stack."""

    weights: float
    """On the value, output and feed-forward weights."""
    embedding: float
    """On the embedding; a shared one takes the encoder's."""


class Comparators(Section):
    """What other initialisation schemes would set in one stack, from its depth alone."""

    num_sublayers: int
    """n."""
    closed_form: dict[OutputChangeScale, float]
    """The one omega of each closed form."""
    deepnorm: DeepNormScales
    sub_ln_gain: float
    """Gain of the value, output and feed-forward weights, cross-attention's excepted."""
    t_fixup: TFixupScales
    rezero_gate: float
    """Scale on each branch before training."""


class OmegaSection(Section):
    """How the omegas of the branches were found, and whether they mean anything."""

    convention: str
    """``clinic``: omega_1 = 1, each omega applied in the pass that measures it,
    omega_{i+1}^2 = Var[omega_i x_{i-1}] + Var[f_i(x_{i-1})]. ``paper``: a pass with every omega 1,
    then omega_i^2 = sum_{j<i} Var[f_j]. ``closed_form``: one omega from the number of sub-layers.
    A chain of its own in each stack."""
    first_value: str
    """The rule for omega_1, on which conventions disagree."""
    scale: OutputChangeScale | None
    """Of the closed form; none in the other conventions."""
    applicable: bool
    """Whether at least one stack takes omegas."""
    reason: str | None
    """Why a stack takes none."""
    batches: int
    """Batches that each model was profiled on."""
    seeds: int
    """Fresh models that were profiled."""
    padding: Padding
    """Whether positions that hold no token entered the variances."""
    dropout: bool
    """Whether dropout was active."""
    comparators: dict[StackName, Comparators]


class Law(StrEnum):
    """How the output change grows with depth, judged by its log-log slope."""

    LINEAR = "O(N)"
    BETWEEN = "between O(log N) and O(N)"
    LOGARITHMIC = "O(log N)"


class OutputChange(Section):
    """How far the states of one stack move when its parameters move a little.

    D_i = mean over tokens of |xhat_i - xhat*_i|^2, where xhat is the state after sub-layer i with
    unit standard deviation per token; where the states of a stack differ in width, times the last
    one's width over its own.
    """

    depths: list[int]
    """i, in sub-layers."""
    output_change: list[float]
    """D_i, per token."""
    standard_error: list[float] | None
    """Of D_i, over draws of the perturbation; none for a single draw."""
    slope: float | None
    """Of log D_i over log i, by least squares from the second sub-layer on; none below four
    depths, or where nothing moved."""
    slope_interval: tuple[float, float] | None
    """95 %, for the choice of weights and perturbation: log D_i is taken for a random walk around
    the line, whose steps are measured."""
    law: Law | None
    """The growth that the slope stands for."""
    predicted: list[float] | None
    """The theory's curve, C * sum_{j <= i} beta_jj^2, per depth."""
    predicted_constant: float | None
    """C, by least squares between the logarithms from the second sub-layer on; none where nothing
    moved."""
    predicted_slope: float | None
    """Of the theory's curve, fitted as `slope` is. It depends on the model alone."""


class AmplificationSection(Section):
    """Output change under small steps of the parameters, at every depth.

    Every step but `update` moves the weight matrices of the residual branches, one stack at a time:
    the decoder attends to the memory of the unperturbed encoder.
    """

    random: dict[StackName, OutputChange]
    """Under a step of `random_step` in a random sign on every weight matrix."""
    random_step: float
    draws: int
    """Draws of each random step that were averaged."""
    gaussian: dict[StackName, OutputChange] | None
    """Under a Gaussian step of standard deviation `random_step`; none unless asked for."""
    gradient: dict[StackName, OutputChange] | None
    """Under a step of `gradient_step` against the sign of the loss's gradient; none unless asked
    for. The theory does not hold for it, as the gradient depends on the weights."""
    gradient_step: float
    update: dict[StackName, OutputChange]
    """Under one real step of the optimizer at the peak learning rate, on the whole model; empty for
    a model that gives no loss."""


class DependencySection(Section):
    """How much of each state of one stack comes from each of its branches.

    xhat_i = sum_{j <= i} beta_ij ahat_j, with hats for unit deviation and a_0 the embedding.
    Dropout is off; the weights are what they are.
    """

    depths: list[int]
    """i of each row; at most 256, evenly spaced."""
    branches: list[int]
    """j of each column: 0 for the embedding, then `depths`."""
    beta: list[list[float]]
    """Measured by carrying the branches' outputs through the norms; 0 for j > i."""
    predicted: list[list[float]]
    """From the variances of the branches alone, taken for uncorrelated."""
    covariance: list[float]
    """1 - sum_j beta_ij^2 over all j, kept or not: what the components have in common, per row."""
    num_tokens: int
    """Tokens of the batch that were carried, evenly spaced."""


class BranchGradient(Section):
    """The gradient at one sub-layer, and how far an optimizer would move its weights."""

    index: Annotated[int, Field(ge=1)]
    """i, from 1, restarting in each stack."""
    stack: StackName
    path: str
    gradient_norm: float | None
    """|dL/dx_i| over the whole batch, where x_i is the state after the sub-layer and L the training
    loss; none where no gradient arrives or it is not finite."""
    relative_gradient_norm: float | None
    """Relative to the largest of the stack."""
    update_ratio: float | None
    """|W* - W| / |W| over the branch's weight matrices together, for one step of the spec's
    optimizer from a fresh state at the peak learning rate; none where all are frozen."""
    update_ratios: dict[Optimizer, float | None]
    """The same under each optimizer, with the spec's settings. RAdam takes its first steps without
    adapting them, as SGD does."""


class WeightGradient(Section):
    """The gradient of one weight matrix, and its step under the spec's optimizer."""

    path: str
    stack: StackName | None
    """None outside the residual branches, as for the embedding."""
    gradient_norm: float | None
    """|dL/dW|; none where no gradient arrives or it is not finite."""
    relative_gradient_norm: float | None
    """Relative to the largest of the stack's weights."""
    update_norm: float | None
    """|W* - W|; none where the weight is frozen."""
    relative_update_norm: float | None
    """Relative to the largest of the stack's weights."""
    update_ratio: float | None
    """|W* - W| / |W|."""


class Histogram(Section):
    """Counts between logarithmic edges."""

    edges: list[float]
    """One more than there are bins; a bin holds its lower edge, and the last one its upper too."""
    counts: list[int]
    below: int
    """How many lie under the first edge, zeros included."""


class GradientHistograms(Section):
    """How unequal the weight matrices of one stack are."""

    gradient: Histogram
    """Of their relative gradient norms."""
    update: Histogram
    """Of their relative update norms: narrow where the optimizer evens out what the gradients do
    not."""


class GradientsSection(Section):
    """Gradients and updates from one backward pass in training mode."""

    loss: float
    """Mean cross-entropy in nats."""
    branches: list[BranchGradient]
    """In the order of the forward pass."""
    weights: list[WeightGradient]
    """Every weight matrix, a tied one once."""
    histograms: dict[StackName, GradientHistograms]


class Finding(Section):
    """One tensor that breaks one rule."""

    rule: str
    path: str
    """The tensor, module or stack that was measured."""
    measured: float
    threshold: float
    formula: str
    """When the rule fires."""
    explanation: str
    """One sentence in plain words."""
    suggestion: str
    """What to change."""


class RuleCheck(Section):
    """One rule held against everything that it applies to."""

    rule: str
    checked: int
    """How many tensors, modules or groups it was held against."""
    offending: int
    """How many of them break it."""
    findings: list[Finding]
    """The worst of them, worst first."""


class StabilityRulesSection(Section):
    """SageMaker Debugger's rules, by its names and with its defaults, at the first step."""

    checks: list[RuleCheck]


class SublayerRange(Section):
    """How much of its number formats one sub-layer uses."""

    index: Annotated[int, Field(ge=1)]
    """i, from 1, restarting in each stack."""
    stack: StackName
    path: str
    largest_activation: float
    """The largest magnitude that any module inside puts out."""
    largest_activation_path: str
    """The module that does."""
    float16_share: float
    """largest_activation over float16's largest number, 65504."""
    bfloat16_share: float
    """largest_activation over bfloat16's largest number, 3.39e38."""
    gradient_rms_over_epsilon: float | None
    """The smallest over the branch's weight matrices of the gradient's root mean square over Adam's
    epsilon, zero gradients left out; none under SGD, or where there is no gradient."""


class AttentionRange(Section):
    """The logits of one attention, head by head."""

    stack: StackName
    path: str
    largest_logit: list[float]
    """Per head, the largest |q k^T / sqrt(d_head)| that a query may see."""
    entropy: list[float]
    """Per head, of the attention probabilities, mean over queries, in nats."""
    relative_entropy: list[float] | None
    """The same over the logarithm of the number of keys that the query may see, mean over queries
    that see two or more: 1 is even, 0 a single key; none where no query does."""


class NumericRangeSection(Section):
    """How far the numbers of one training pass are from where their formats end."""

    sublayers: list[SublayerRange]
    attention: list[AttentionRange]
    largest_output_logit: float
    checks: list[RuleCheck]


class Outcome(StrEnum):
    """What training is expected to do, from good to bad."""

    STABLE = "stable"
    AT_RISK = "at_risk"
    UNSTABLE = "unstable"


class Reason(Section):
    """One measured cause, and what it adds to the verdict."""

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
    share: float | None = None
    """Of what speaks for failure, the part that comes from this reason, from 0 to 1; none where
    the reason did not enter the probability."""


class Quantity(StrEnum):
    """A setting whose stable edge can be looked for."""

    LEARNING_RATE = "learning_rate"
    WARMUP_STEPS = "warmup_steps"
    LAYERS = "layers"


class Edge(Section):
    """How far one setting may go, all others as given, before the predicted failure probability
    passes the level."""

    quantity: Quantity
    given: float
    stable: float | None
    """The largest stable learning rate, the fewest sufficient warm-up steps, the most layers a
    stack may have; none where no value in the range that was searched is stable."""
    interval: tuple[float, float] | None
    """Where the edge lies with a probability of about 80 %, by the predictor's own error."""
    level: float
    """The failure probability at the edge."""
    searched: tuple[float, float]
    """The range that was searched; an edge at its end may lie beyond it."""


class Prescription(Section):
    """A change after which the model is predicted to train; or the best of them, where none is sure
    to help."""

    change: str
    """In plain words, as short as ``Admin in the decoder, with the omegas of this report``."""
    patch: dict[str, JsonValue]
    """A merge patch of the spec, with `model` and `training`, that can be posted as it is in a
    race's arm."""
    failure_probability: float
    """Predicted after the change."""


class Verdict(Section):
    """The judgement and what it rests on."""

    outcome: Outcome
    failure_probability: float | None
    """That training as specified diverges or stalls; none where the configuration lies outside
    what the predictor was calibrated on."""
    outside_calibration: list[str]
    """What lies outside the calibrated range, each with its value and the range."""
    reasons: list[Reason]
    """Worst first."""
    edges: list[Edge]
    prescriptions: list[Prescription]
    """The smallest change first; none for a model that is stable as it is."""


class Environment(Section):
    """What the numbers depend on beside the spec."""

    trimtab: str
    python: str
    torch: str
    device: str
    dtype: str
    seed: int
    data_sha256: str | None
    """Of the text the batches came from, or of the file that was uploaded. CPython's text differs
    between its versions. None for synthetic data."""
    num_parameters: int
    num_tokens: int
    """Of the profiled batch, per stack."""
    dropout_active: bool
    """Whether the profiling pass ran in training mode."""
    durations_seconds: dict[str, float]
    """Wall time of each stage."""
    streamed: bool = False
    """Whether the model was too large to be held whole, and was profiled a sub-layer at a time."""


class Report(Section):
    """A whole diagnosis. A section is null where its analysis was not asked for."""

    branches: list[Branch]
    omega: OmegaSection | None
    amplification: AmplificationSection | None
    dependency: dict[StackName, DependencySection] | None
    gradients: GradientsSection | None
    stability_rules: StabilityRulesSection | None
    numeric_range: NumericRangeSection | None
    verdict: Verdict | None
    environment: Environment
    findings: list[Finding] = []
    """What is wrong with how the network is put together, where that is found rather than known."""
    unavailable: dict[str, str] = {}
    """What was asked for and cannot be had of this network, and why; by the part of the report."""
