"""Amazon SageMaker Debugger's rules, by its names, with its parameters and defaults.

Each function holds one tensor, or one group of them, against one rule and returns a `Finding`, or
None where nothing is wrong. Percentages are percentages, as there. What differs from the
documentation, and why:

    weights          weight matrices; norms, biases and omegas start at 0 or 1 on purpose
    ReLU             GELU and SiLU, alone or in SwiGLU, count too; activations are recognised by
                     their class, not by a pattern in a name
    UnchangedTensor  over one step instead of three

Where a number that a rule compares is not finite, the rule is silent: ExplodingTensor speaks.

LossNotDecreasing, Overfit, Overtraining, StalledTrainingRule and the loss part of
PoorWeightInitialization need a run; they are no concern of a single step.

Source: Amazon SageMaker Developer Guide, "List of Debugger Built-in Rules".
"""

import math
from collections.abc import Mapping
from enum import StrEnum

import torch
from torch import Tensor, nn

from admin_core.report import Finding


class StabilityRule(StrEnum):
    """Those of SageMaker Debugger's rules that a single step can break."""

    VANISHING_GRADIENT = "VanishingGradient"
    EXPLODING_TENSOR = "ExplodingTensor"
    POOR_WEIGHT_INITIALIZATION = "PoorWeightInitialization"
    WEIGHT_UPDATE_RATIO = "WeightUpdateRatio"
    SATURATED_ACTIVATION = "SaturatedActivation"
    DEAD_RELU = "DeadRelu"
    ALL_ZERO = "AllZero"
    TENSOR_VARIANCE = "TensorVariance"
    UNCHANGED_TENSOR = "UnchangedTensor"


ACTIVE_BETWEEN: Mapping[type[nn.Module], tuple[float, float]] = {
    nn.ReLU: (0.0, math.inf),
    # gelu(x) = x Phi(x) and silu(x) = x sigmoid(x) let through less than 1 % of an x below these.
    nn.GELU: (-2.3263, math.inf),
    nn.SiLU: (-4.5951, math.inf),
}
"""Between which inputs a rectifier of each kind is active."""

PERCENTILE_SAMPLE = 16_384
"""Elements that percentiles are taken of, evenly spread over the tensor."""


def vanishing_gradient(path: str, gradient: Tensor, *, threshold: float = 1e-7) -> Finding | None:
    """VanishingGradient: mean |g| < threshold."""
    measured = gradient.abs().mean(dtype=torch.float32).item()
    if not measured < threshold:
        return None
    return Finding(
        rule=StabilityRule.VANISHING_GRADIENT,
        path=path,
        measured=measured,
        threshold=threshold,
        formula="mean |gradient| < threshold",
        explanation=f"The gradient of {path} is {measured:.2g} on average: hardly any arrives.",
        suggestion="Use pre_ln in this stack, fewer layers, or admin with an adaptive optimizer; "
        "a gate or gain that starts at 0 (rezero) recovers after its first step.",
    )


def exploding_tensor(path: str, tensor: Tensor, *, only_nan: bool = False) -> Finding | None:
    """ExplodingTensor: a NaN or, unless `only_nan`, an infinity."""
    # Both ends are NaN where one element is: a fast look that nearly every tensor passes.
    if torch.stack(torch.aminmax(tensor)).isfinite().all():
        return None
    bad = tensor.isnan() if only_nan else tensor.isfinite().logical_not()
    measured = int(bad.sum())
    if measured == 0:
        return None
    return Finding(
        rule=StabilityRule.EXPLODING_TENSOR,
        path=path,
        measured=measured,
        threshold=0,
        formula="number of NaNs > 0" if only_nan else "number of NaNs and infinities > 0",
        explanation=f"{measured} of {tensor.numel()} elements of {path} are not finite.",
        suggestion="Lower the learning rate or the initial weights, or compute in bfloat16 or "
        "float32 instead of float16.",
    )


def all_zero(path: str, tensor: Tensor, *, threshold: float = 100.0) -> Finding | None:
    """AllZero: share of zeros >= threshold, in percent."""
    measured = 100.0 * (1.0 - int(tensor.count_nonzero()) / tensor.numel())
    if measured < threshold:
        return None
    return Finding(
        rule=StabilityRule.ALL_ZERO,
        path=path,
        measured=measured,
        threshold=threshold,
        formula="share of zeros in % >= threshold",
        explanation=f"{measured:.3g} % of {path} is exactly zero.",
        suggestion="Look for a dead activation before it, or weights that start at zero on both "
        "sides of a product; a gate that starts at 0 (rezero) recovers after its first step.",
    )


def tensor_variance(
    path: str,
    tensor: Tensor,
    *,
    max_threshold: float | None = None,
    min_threshold: float | None = None,
) -> Finding | None:
    """TensorVariance: population variance out of bounds; without bounds it never is."""
    measured = torch.var(tensor.float(), correction=0).item()
    if not math.isfinite(measured):
        return None
    if max_threshold is not None and measured > max_threshold:
        threshold, formula, change = max_threshold, "variance > max_threshold", "smaller"
    elif min_threshold is not None and measured < min_threshold:
        threshold, formula, change = min_threshold, "variance < min_threshold", "larger"
    else:
        return None
    return Finding(
        rule=StabilityRule.TENSOR_VARIANCE,
        path=path,
        measured=measured,
        threshold=threshold,
        formula=formula,
        explanation=f"The variance of {path} is {measured:.2g}.",
        suggestion=f"Initialise it with {change} values, or give other bounds.",
    )


def uneven_variances(
    group: str, variances: Mapping[str, float], *, threshold: float = 10.0
) -> Finding | None:
    """PoorWeightInitialization, first part: the variances of one tensor across the layers of a
    stack differ by more than a factor of `threshold`.

    Args:
        group: what the tensors are, in words.
        variances: by the path of the tensor in each layer.
    """
    finite = [path for path, variance in variances.items() if math.isfinite(variance)]
    if not finite:
        return None
    smallest = min(finite, key=lambda path: variances[path])
    largest = max(finite, key=lambda path: variances[path])
    # A floor keeps the ratio finite where a tensor is constant.
    ratio = variances[largest] / max(variances[smallest], torch.finfo(torch.float32).tiny)
    if ratio <= threshold:
        return None
    return Finding(
        rule=StabilityRule.POOR_WEIGHT_INITIALIZATION,
        path=smallest,
        measured=ratio,
        threshold=threshold,
        formula="largest / smallest variance across layers > threshold",
        explanation=f"Across layers the variance of {group} goes from {variances[smallest]:.2g} at "
        f"{smallest} to {variances[largest]:.2g} at {largest}.",
        suggestion="Initialise all layers by one rule that keeps the variance, such as xavier.",
    )


def narrow_gradient(
    path: str, gradient: Tensor, *, distribution_range: float = 0.001
) -> Finding | None:
    """PoorWeightInitialization, second part: the 5th and the 95th percentile of the gradient are
    less than `distribution_range` apart.

    The default is an absolute figure from small networks: the gradients of a healthy Transformer
    with a mean loss are often smaller.
    """
    elements = gradient.detach().flatten()
    sample = elements[:: math.ceil(len(elements) / PERCENTILE_SAMPLE)].float().sort().values
    low, high = (sample[round(share * (len(sample) - 1))].item() for share in (0.05, 0.95))
    measured = high - low
    if not measured < distribution_range:
        return None
    return Finding(
        rule=StabilityRule.POOR_WEIGHT_INITIALIZATION,
        path=path,
        measured=measured,
        threshold=distribution_range,
        formula="95th - 5th percentile of the gradient < distribution_range",
        explanation=f"Nine tenths of the gradient of {path} lie within {measured:.2g}. A mean loss "
        "over many tokens makes this common in Transformers that train well.",
        suggestion="Compare relative_gradient_norm within the stack, which has no unit; act where "
        "that is small too.",
    )


def weight_update_ratio(
    path: str,
    weight: Tensor,
    update: Tensor,
    *,
    large_threshold: float = 10.0,
    small_threshold: float = 1e-8,
    epsilon: float = 1e-9,
) -> Finding | None:
    """WeightUpdateRatio: mean |update| / (mean |weight| + epsilon) out of bounds."""
    moved = update.abs().mean(dtype=torch.float32).item()
    measured = moved / (weight.abs().mean(dtype=torch.float32).item() + epsilon)
    if not math.isfinite(measured):
        return None
    if measured > large_threshold:
        threshold, formula = large_threshold, "> large_threshold"
        suggestion = "Lower the learning rate, or start from larger weights."
    elif measured < small_threshold:
        threshold, formula = small_threshold, "< small_threshold"
        suggestion = "Raise the learning rate, or use an adaptive optimizer."
    else:
        return None
    return Finding(
        rule=StabilityRule.WEIGHT_UPDATE_RATIO,
        path=path,
        measured=measured,
        threshold=threshold,
        formula=f"mean |update| / (mean |weight| + epsilon) {formula}",
        explanation=f"One step at the peak learning rate changes {path} by {measured:.2g} of its "
        "size.",
        suggestion=suggestion,
    )


def unchanged_tensor(
    path: str,
    before: Tensor,
    after: Tensor,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Finding | None:
    """UnchangedTensor: no element moved by more than atol + rtol |element|."""
    measured = (after.float() - before.float()).abs().amax().nan_to_num().item()
    # A look at the extremes spares nearly every tensor the comparison of its elements.
    if measured > atol + rtol * before.abs().amax():
        return None
    if not torch.allclose(after, before, rtol=rtol, atol=atol, equal_nan=equal_nan):
        return None
    return Finding(
        rule=StabilityRule.UNCHANGED_TENSOR,
        path=path,
        measured=measured,
        threshold=atol,
        formula=f"largest |change| <= atol + {rtol:g} |element|",
        explanation=f"One step at the peak learning rate leaves {path} as it was.",
        suggestion="Check that the loss depends on it, and that its number format is fine enough "
        "for the step.",
    )


def dead_relu(
    path: str,
    activation: nn.Module,
    inputs: Tensor,
    *,
    threshold_inactivity: float = 1.0,
    threshold_layer: float = 50.0,
) -> Finding | None:
    """DeadRelu: more than threshold_layer % of the units are dead, which are those active at less
    than threshold_inactivity % of the tokens.

    Args:
        activation: a ReLU, a GELU or a SiLU.
        inputs: what it is given; units in the last axis.
    """
    low, high = next(b for kind, b in ACTIVE_BETWEEN.items() if isinstance(activation, kind))
    measured = _inactive_units(inputs, low, high, threshold_inactivity)
    if measured <= threshold_layer:
        return None
    return Finding(
        rule=StabilityRule.DEAD_RELU,
        path=path,
        measured=measured,
        threshold=threshold_layer,
        formula=f"units active (input > {low:g}) at under {threshold_inactivity:g} % of the tokens "
        "in % > threshold_layer",
        explanation=f"{measured:.3g} % of the units of {path} let nothing through.",
        suggestion="Start the biases before it at 0 and the weights smaller, or use gelu.",
    )


def saturated_activation(
    path: str,
    activation: nn.Module,
    inputs: Tensor,
    *,
    threshold_tanh_min: float = -9.4999,
    threshold_tanh_max: float = 9.4999,
    threshold_sigmoid_min: float = -23.0,
    threshold_sigmoid_max: float = 16.99999,
    threshold_inactivity: float = 1.0,
    threshold_layer: float = 50.0,
) -> Finding | None:
    """SaturatedActivation: more than threshold_layer % of the units are saturated, which are those
    inside the bounds at less than threshold_inactivity % of the tokens.

    Args:
        activation: a tanh or a sigmoid.
        inputs: what it is given; units in the last axis.
    """
    low, high = (
        (threshold_tanh_min, threshold_tanh_max)
        if isinstance(activation, nn.Tanh)
        else (threshold_sigmoid_min, threshold_sigmoid_max)
    )
    measured = _inactive_units(inputs, low, high, threshold_inactivity)
    if measured <= threshold_layer:
        return None
    return Finding(
        rule=StabilityRule.SATURATED_ACTIVATION,
        path=path,
        measured=measured,
        threshold=threshold_layer,
        formula=f"units with {low:g} < input < {high:g} at under {threshold_inactivity:g} % of the "
        "tokens in % > threshold_layer",
        explanation=f"{measured:.3g} % of the units of {path} are stuck where it is flat.",
        suggestion="Start the weights before it smaller, or put a norm there.",
    )


def _inactive_units(inputs: Tensor, low: float, high: float, threshold_inactivity: float) -> float:
    """Percentage of units, the last axis, whose input lies between the bounds at less than
    threshold_inactivity % of the tokens."""
    active = ((inputs > low) & (inputs < high)).flatten(0, -2).float().mean(0)
    return 100.0 * (100.0 * active < threshold_inactivity).float().mean().item()
