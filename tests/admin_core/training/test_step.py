import math
from typing import Any

import pytest
import torch

from admin_core.data.batch import IGNORED, Batch
from admin_core.data.batches import make_batch
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.spec import Autocast, Optimizer, TextData, TrainingSpec
from admin_core.training.loss import objective
from admin_core.training.optimizers import make_optimizer
from admin_core.training.step import training_step
from tests.admin_core.specs import small

SPEC = small("decoder_only", dropout=0.0)


def batch(step: int = 0) -> Batch:
    return make_batch(TextData(), SPEC, batch_size=4, sequence_length=8, seed=0, step=step)


def stepped(batches: list[Batch], **training: Any) -> tuple[Transformer, Transformer, float]:
    """The model before and after one SGD step, and the loss."""
    spec = TrainingSpec(optimizer=Optimizer.SGD, **training)
    before, model = (build_transformer(SPEC, seed=0) for _ in range(2))
    optimizer = make_optimizer(model, spec)
    return before, model, training_step(model, optimizer, batches, spec, learning_rate=0.1)


def distance(before: Transformer, after: Transformer) -> float:
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    return math.sqrt(sum(float((b - a).detach().square().sum()) for b, a in pairs))


def test_accumulated_batches_make_the_step_of_one_large_batch() -> None:
    parts = [batch(0), batch(1)]
    joined = Batch(
        inputs={"target": torch.cat([part.inputs["target"] for part in parts])},
        targets=torch.cat([part.targets for part in parts]),
    )
    _, apart, loss = stepped(parts)
    _, together, loss_together = stepped([joined])
    assert loss == pytest.approx(loss_together)
    for a, b in zip(apart.parameters(), together.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_clipped_step_is_as_long_as_the_clip_allows() -> None:
    before, after, _ = stepped([batch()], clip_norm=0.01)
    assert distance(before, after) == pytest.approx(0.1 * 0.01, rel=1e-2)


def test_a_gradient_within_the_clip_is_left_alone() -> None:
    _, clipped, _ = stepped([batch()], clip_norm=1e6)
    _, free, _ = stepped([batch()])
    for a, b in zip(clipped.parameters(), free.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_loss_is_of_the_weights_before_the_step_and_not_smoothed() -> None:
    before, after, loss = stepped([batch()], label_smoothing=0.3)
    assert loss == pytest.approx(objective(before, batch())[0].item())
    _, unsmoothed, _ = stepped([batch()])
    assert distance(after, unsmoothed) > 1e-4


def test_smoothed_labels_spread_their_share_evenly_over_the_vocabulary() -> None:
    model = build_transformer(SPEC, seed=0)
    data = batch()
    targets = data.targets.clone()
    targets[0, 0] = IGNORED
    data = Batch(inputs=data.inputs, targets=targets)
    log_p = model(**data.inputs).double().log_softmax(-1)
    losses = []
    for row, line in zip(log_p.flatten(0, 1), targets.flatten().tolist(), strict=True):
        if line != IGNORED:
            losses.append(-0.8 * row[line].item() - 0.2 * row.mean().item())
    to_minimise, _ = objective(model, data, label_smoothing=0.2)
    assert to_minimise.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_autocast_takes_products_in_bfloat16_and_the_loss_in_float32() -> None:
    before, _, loss = stepped([batch()])
    _, cast, cast_loss = stepped([batch()], autocast="bf16")
    assert cast_loss == pytest.approx(loss, rel=0.02)
    assert cast_loss != loss
    assert all(parameter.dtype is torch.float32 for parameter in cast.parameters())
    assert objective(before, batch(), autocast=Autocast.BF16)[0].dtype is torch.float32
