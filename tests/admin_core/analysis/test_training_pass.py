from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from admin_core.analysis.training_pass import norm, training_pass
from admin_core.data.batch import IGNORED, Batch
from admin_core.errors import NonFiniteError
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.residual import SubLayerBranch, residual_branches
from tests.admin_core.specs import small

TOKENS = torch.tensor([[1, 2, 3], [3, 1, 2]])
BATCH = Batch(inputs={"source": TOKENS, "target": TOKENS}, targets=TOKENS)
SPEC = small(vocab_size=10, d_model=4, num_heads=2, encoder_layers=1, decoder_layers=1, dropout=0.0)


def fresh() -> tuple[Transformer, list[SubLayerBranch]]:
    model = build_transformer(SPEC, seed=0)
    return model, residual_branches(model)


def loss_with(model: Transformer, branch: SubLayerBranch, delta: torch.Tensor) -> float:
    """The loss when the state after `branch` is moved by `delta`."""
    move = branch.sublayer.register_forward_hook(lambda module, arguments, state: state + delta)
    with torch.no_grad():
        logits = model(**BATCH.inputs)
    move.remove()
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), BATCH.targets.flatten()))


def test_state_gradients_agree_with_finite_differences_one_element_at_a_time() -> None:
    model, branches = fresh()
    slow = build_transformer(SPEC, seed=0).double()
    norms = []
    for branch in residual_branches(slow):
        delta = torch.zeros(*TOKENS.shape, SPEC.d_model, dtype=torch.float64)
        slope = torch.zeros_like(delta)
        for element in range(delta.numel()):
            delta.view(-1)[element] = 1e-5
            slope.view(-1)[element] = loss_with(slow, branch, delta) / 2e-5
            slope.view(-1)[element] -= loss_with(slow, branch, -delta) / 2e-5
            delta.view(-1)[element] = 0.0
        norms.append(float(slope.square().sum().sqrt()))

    with training_pass(model, branches, BATCH, seed=0) as passed:
        assert passed.state_gradient_norms == pytest.approx(norms, rel=1e-5)


def test_the_model_is_left_as_it_was_found() -> None:
    model, branches = fresh()
    before = {path: parameter.clone() for path, parameter in model.state_dict().items()}
    first, *others = model.parameters()
    first.grad = torch.ones_like(first)
    with training_pass(model, branches, BATCH, seed=0):
        assert not torch.equal(first.grad, torch.ones_like(first))
    assert torch.equal(first.grad, torch.ones_like(first))
    assert all(parameter.grad is None for parameter in others)
    for path, parameter in model.state_dict().items():
        assert torch.equal(parameter, before[path])


def test_the_seed_decides_the_pass() -> None:
    model = build_transformer(small(vocab_size=10, dropout=0.5), seed=0)
    branches = residual_branches(model)
    losses = []
    for seed in (0, 0, 1):
        with training_pass(model, branches, BATCH, seed=seed) as passed:
            losses.append(passed.loss)
    assert losses[0] == losses[1] != losses[2]


def test_what_watches_is_gone_after_the_pass() -> None:
    model, branches = fresh()
    seen = []

    @contextmanager
    def watching() -> Iterator[None]:
        with model.register_forward_hook(lambda *call: seen.append(1)):
            yield

    with training_pass(model, branches, BATCH, seed=0, watch=[watching()]):
        model(**BATCH.inputs)
    assert seen == [1]


def test_below_frozen_parameters_no_gradient_arrives() -> None:
    model, branches = fresh()
    assert model.encoder is not None
    model.encoder.requires_grad_(False)  # its tied embedding included
    with training_pass(model, branches, BATCH, seed=0) as passed:
        for branch, size in zip(branches, passed.state_gradient_norms, strict=True):
            assert (size is None) == (branch.stack == "encoder")


def test_a_model_that_is_frozen_throughout_has_a_loss_and_no_gradients() -> None:
    model, branches = fresh()
    model.requires_grad_(False)
    with training_pass(model, branches, BATCH, seed=0) as passed:
        assert passed.loss > 0
        assert passed.state_gradient_norms == [None] * len(branches)


def test_the_first_state_that_is_not_finite_is_named() -> None:
    model, branches = fresh()
    with torch.no_grad():
        branches[1].sublayer.get_parameter("branch.output.weight").fill_(torch.inf)
    with (
        pytest.raises(NonFiniteError, match=r"state after encoder\.layers\.0\.feed_forward"),
        training_pass(model, branches, BATCH, seed=0),
    ):
        pass


def test_half_precision_that_overflows_says_so() -> None:
    model, branches = fresh()
    model.half()
    with torch.no_grad():
        branches[1].sublayer.get_parameter("branch.output.weight").fill_(60_000)
    with (
        pytest.raises(NonFiniteError, match=r"encoder\.layers\.0\.feed_forward .* float16"),
        training_pass(model, branches, BATCH, seed=0),
    ):
        pass


def test_a_batch_without_targets_has_no_finite_loss() -> None:
    model, branches = fresh()
    ignored = Batch(inputs=BATCH.inputs, targets=torch.full_like(TOKENS, IGNORED))
    with (
        pytest.raises(NonFiniteError, match="training loss"),
        training_pass(model, branches, ignored, seed=0),
    ):
        pass


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_norm_is_right_where_squares_leave_the_range_of_float32(scale: float) -> None:
    assert norm(scale * torch.tensor([3.0, 4.0])) == pytest.approx(5 * scale, rel=1e-6)
