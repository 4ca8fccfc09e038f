"""Any network's states as tokens of features.

A Transformer's states are batch seq d_model. A convolutional network's are batch channels height
width, some architectures' batch height width channels, and those of packed sequences tokens
d_model. What counts as a feature is what the branch's weights have as many of.
"""

from jaxtyping import Bool, Float
from torch import Tensor

from admin_core.residual import ResidualBranch


def by_token(branch: ResidualBranch, x: Tensor) -> Float[Tensor, "batch tokens features"]:
    """`x`, a state, a shortcut or what the branch adds to it, with its features last.

    Without weights to go by, the last axis holds the features.
    """
    if x.ndim <= 2:
        return x.reshape(x.shape[0], 1, -1)
    axis = _features_axis(branch, x)
    return x.movedim(axis, -1).flatten(1, -2)


def token_padding(
    padding: Bool[Tensor, "batch seq"] | None, x: Float[Tensor, "batch tokens features"]
) -> Bool[Tensor, "batch seq"] | None:
    """`padding` where it speaks of the tokens of `x`; a state of other tokens has none."""
    return padding if padding is not None and padding.shape == x.shape[:2] else None


def _features_axis(branch: ResidualBranch, x: Tensor) -> int:
    """The axis of `x`, the batch's excepted, whose size most dimensions of the branch's weights
    have; the last of them."""
    sizes = [size for weight in branch.parameters.values() for size in weight.shape]
    return max(range(1, x.ndim), key=lambda axis: (sizes.count(x.shape[axis]), axis))
