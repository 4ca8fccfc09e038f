"""How much of the answers can be read off a model's last states before it has learned anything.

A fresh network is a random function of its input. Where its last states still tell places apart by
what decides their answers, the output layer alone can begin to learn; where depth, or attention to
everything, has washed that out, the run waits at the unigram loss for the layers below to change.

Notation:
    u_t       state of place t after the last sub-layer, centred over its features, of norm 1
    y_t       its answer, one of classes as a unit vector
    R^2       1 - sum_t |y_t - W u_t - b|^2 / sum_t |y_t - mean y|^2, on places that W, b, mean y
              were not fitted to
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from admin_core.data.batch import IGNORED, Batch
from admin_core.residual import ResidualBranch, at_states
from admin_core.seeds import ambient

RIDGE = 0.3
"""Of a ridge regression of centred u_t, whose squares sum to 1 at most in the mean: directions that
hold three tenths of what tells places apart count half."""

MAX_PLACES = 2_048
"""Of each batch that are looked at."""


def readable(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batches: tuple[Batch, Batch],
    *,
    seed: int,
) -> float:
    """R^2 of a ridge regression of the answers on the last states, fitted to one batch and held
    against the other, the mean of both ways round; 0 where the last states are not those of the
    places that have answers, or not finite.

    Args:
        branches: in forward order; the state after the last one is looked at.
        seed: of whatever is drawn in the passes.
    """
    one, other = (_states_and_answers(model, branches[-1], batch, seed=seed) for batch in batches)
    if one is None or other is None:
        return 0.0
    (u, y), (v, z) = one, other
    classes, found = torch.unique(torch.cat([y, z]), return_inverse=True)
    answers = F.one_hot(found, len(classes)).double()
    own, others = answers[: len(y)], answers[len(y) :]
    return (_told(u, own, v, others) + _told(v, others, u, own)) / 2


def _states_and_answers(
    model: nn.Module, last: ResidualBranch, batch: Batch, *, seed: int
) -> tuple[Tensor, Tensor] | None:
    states: list[Tensor] = []

    def see(_: ResidualBranch, state: Tensor) -> None:
        states.append(state.detach())

    was_training = model.training
    model.eval()
    with torch.no_grad(), ambient(seed, "readable", batch.device), at_states([last], see):
        model(*batch.arguments, **batch.inputs)
    model.train(was_training)
    if not states or states[-1].shape[:-1] != batch.targets.shape:
        return None
    answered = (batch.targets != IGNORED).flatten()
    state = states[-1].flatten(0, -2)[answered][:MAX_PLACES].double()
    if len(state) < 2 or not torch.isfinite(state).all():
        return None
    u = F.normalize(state - state.mean(-1, keepdim=True), dim=-1)
    return u, batch.targets.flatten()[answered][:MAX_PLACES]


def _told(u: Tensor, y: Tensor, v: Tensor, z: Tensor) -> float:
    """R^2 on (v, z) of what was fitted to (u, y)."""
    mean_u, mean_y = u.mean(0), y.mean(0)
    u, y = u - mean_u, y - mean_y
    ridge = RIDGE * len(u) * torch.eye(u.shape[1], dtype=u.dtype, device=u.device)
    weights = torch.linalg.solve(u.T @ u + ridge, u.T @ y)
    left = z - mean_y - (v - mean_u) @ weights
    return float(1 - left.square().sum() / (z - mean_y).square().sum().clamp_min(1e-12))
