import pytest
import torch

from admin_core.data.batches import make_batch
from admin_core.models.transformer import build_transformer
from admin_core.spec import Optimizer, TextData, TrainingSpec
from admin_core.training.loss import batch_loss
from admin_core.training.optimizers import make_optimizer
from admin_core.training.schedule_free import averaged
from admin_core.training.step import training_step
from admin_core.training.validation import validation_loss
from tests.admin_core.specs import small

SPEC = small(dropout=0.5)
BATCHES = [
    make_batch(TextData(), SPEC, batch_size=2, sequence_length=8, seed=0, step=step)
    for step in range(3)
]


def test_is_the_mean_loss_without_dropout_and_leaves_the_model_in_its_mode() -> None:
    model = build_transformer(SPEC, seed=0)
    optimizer = make_optimizer(model, TrainingSpec())
    model.train()
    found = validation_loss(model, optimizer, BATCHES)
    assert all(module.training for module in model.modules())
    model.eval()
    with torch.no_grad():
        losses = [batch_loss(model, batch).item() for batch in BATCHES]
    assert found == pytest.approx(sum(losses) / 3)


def test_a_schedule_free_run_is_judged_by_its_averaged_weights() -> None:
    training = TrainingSpec(optimizer=Optimizer.SCHEDULE_FREE)
    model = build_transformer(SPEC, seed=0)
    optimizer = make_optimizer(model, training)
    for batch in BATCHES:
        training_step(model, optimizer, [batch], training, learning_rate=0.1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    found = validation_loss(model, optimizer, BATCHES)
    model.eval()
    with torch.no_grad(), averaged(optimizer):
        losses = [batch_loss(model, batch).item() for batch in BATCHES]
    assert found == pytest.approx(sum(losses) / 3)
    for kept, parameter in zip(before, model.parameters(), strict=True):
        assert torch.equal(kept, parameter)
