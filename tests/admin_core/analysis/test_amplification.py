import copy
import math
from collections.abc import Mapping

import pytest
import torch

from admin_core.analysis.amplification import (
    GRADIENT_STEP,
    RANDOM_STEP,
    gradient_output_change,
    random_output_change,
    states,
    unchanged_after,
    update_output_change,
)
from admin_core.analysis.growth import growth
from admin_core.analysis.omega import apply_omegas
from admin_core.analysis.profiling import profile
from admin_core.analysis.training_pass import training_pass
from admin_core.data.batch import Batch
from admin_core.data.batches import make_batch
from admin_core.errors import NonFiniteError
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.report import OutputChange, StackName
from admin_core.residual import residual_branches
from admin_core.seeds import stream
from admin_core.spec import (
    RandomStep,
    Stack,
    SyntheticData,
    SyntheticName,
    TrainingSpec,
    TransformerSpec,
)
from admin_core.training.loss import batch_loss
from tests.admin_core.slow import SlowRecord, slow_pass, slow_variance
from tests.admin_core.specs import small

UNIFORM = SyntheticData(kind="synthetic", name=SyntheticName.UNIFORM)
SCHEMES = ["post_ln", "pre_ln", "admin"]


def batch_of(spec: TransformerSpec, *, batch_size: int = 2, sequence_length: int = 4) -> Batch:
    return make_batch(UNIFORM, spec, batch_size=batch_size, sequence_length=sequence_length, seed=0)


def slow_output_change(before: list[SlowRecord], after: list[SlowRecord]) -> list[float]:
    """mean over tokens of |x / std(x) - x* / std(x*)|^2, token by token."""
    changes = []
    for record, moved in zip(before, after, strict=True):
        batch, seq, d_model = record.state.shape
        total = 0.0
        for b in range(batch):
            for t in range(seq):
                x, y = record.state[b, t], moved.state[b, t]
                std_x = math.sqrt(((x - x.mean()) ** 2).sum() / (d_model - 1))
                std_y = math.sqrt(((y - y.mean()) ** 2).sum() / (d_model - 1))
                total += float(((x / std_x - y / std_y) ** 2).sum())
        changes.append(total / (batch * seq))
    return changes


def slow_memory(model: Transformer, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        double = copy.deepcopy(model).double().eval()
        memory = double.encode(batch.inputs["source"])
    assert memory is not None
    return memory


def assert_agrees(
    model: Transformer,
    moved: Transformer,
    batch: Batch,
    found: Mapping[StackName, OutputChange],
    *,
    hold_memory: bool,
    rel: float = 1e-5,
) -> None:
    before = slow_pass(model, batch.inputs)
    memory = slow_memory(model, batch) if hold_memory else None
    after = slow_pass(moved, batch.inputs, memory=memory)
    slow = dict(zip([r.path for r in before], slow_output_change(before, after), strict=True))
    for stack, of_stack in found.items():
        of_slow = [change for path, change in slow.items() if path.startswith(str(stack))]
        assert of_stack.output_change == pytest.approx(of_slow, rel=rel)


def randomly_moved(model: Transformer, *, seed: int) -> Transformer:
    """A copy after the first draw's step."""
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for path, weight in moved.named_parameters():
            if ".branch." in path and weight.ndim == 2:
                generator = stream(seed, f"perturbation.0.{path.replace('.branch.', '.')}")
                bits = torch.randint(0, 2, weight.shape, generator=generator, dtype=torch.int8)
                weight.add_(2 * bits - 1, alpha=RANDOM_STEP)
    return moved


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_random_output_change_agrees_with_the_slow_version(scheme: str) -> None:
    spec = small("encoder_decoder", scheme=scheme)
    model, batch = build_transformer(spec, seed=0).double(), batch_of(spec)
    branches = residual_branches(model)
    before = states(model, branches, batch)
    found = random_output_change(model, branches, batch, before, draws=1, seed=5)
    assert_agrees(model, randomly_moved(model, seed=5), batch, found, hold_memory=True)


def test_float32_leaves_its_own_rounding_in_the_output_change() -> None:
    """The states move by 1e-3 of themselves and carry errors of 1e-7, before they are squared."""
    spec = small("encoder_decoder")
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    branches = residual_branches(model)
    before = states(model, branches, batch)
    found = random_output_change(model, branches, batch, before, draws=1, seed=5)
    moved = randomly_moved(model, seed=5)
    assert_agrees(model, moved, batch, found, hold_memory=True, rel=2e-3)


def test_the_updates_output_change_agrees_with_the_slow_version() -> None:
    spec = small("encoder_decoder")
    model, batch = build_transformer(spec, seed=0).double().eval(), batch_of(spec)
    branches, training = residual_branches(model), TrainingSpec(learning_rate=1e-2)
    before = states(model, branches, batch)
    batch_loss(model, batch).backward()  # type: ignore[no-untyped-call]

    found = update_output_change(model, branches, batch, before, training)

    moved = copy.deepcopy(model)
    with torch.no_grad():
        for weight, parameter in zip(moved.parameters(), model.parameters(), strict=True):
            # Adam's first step is the learning rate along the gradient's sign, but for epsilon.
            gradient = parameter.grad
            assert gradient is not None
            weight.sub_(gradient / (gradient.abs() + 1e-8), alpha=1e-2)
    assert_agrees(model, moved, batch, found, hold_memory=False)


def test_the_gradients_output_change_agrees_with_the_slow_version() -> None:
    # A step this small tells positions in float32, as the waves are, from positions in float64.
    spec = small("encoder_decoder", positions="learned", max_positions=4)
    model, batch = build_transformer(spec, seed=0).double().eval(), batch_of(spec)
    branches = residual_branches(model)
    before = states(model, branches, batch)
    batch_loss(model, batch).backward()  # type: ignore[no-untyped-call]

    found = gradient_output_change(model, branches, batch, before)

    moved = copy.deepcopy(model)
    with torch.no_grad():
        for (path, weight), parameter in zip(
            moved.named_parameters(), model.parameters(), strict=True
        ):
            if ".branch." in path and weight.ndim == 2:
                assert parameter.grad is not None
                weight.sub_(parameter.grad.sign(), alpha=GRADIENT_STEP)
    assert_agrees(model, moved, batch, found, hold_memory=True)


def test_the_dependency_that_theory_takes_agrees_with_the_slow_version() -> None:
    spec = small("encoder_decoder", scheme="admin")
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    found = states(model, residual_branches(model), batch)
    slow = [slow_variance(r.f) / slow_variance(r.total) for r in slow_pass(model, batch.inputs)]
    assert found.dependency == pytest.approx(slow, rel=1e-5)


def test_the_prediction_is_the_cumulated_dependency_times_a_constant() -> None:
    spec = small("encoder_only", encoder_layers=4)
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    branches = residual_branches(model)
    before = states(model, branches, batch)
    found = random_output_change(model, branches, batch, before, draws=2, seed=0)[Stack.ENCODER]
    assert found.predicted is not None
    assert found.predicted_constant is not None
    cumulated = torch.tensor(before.dependency, dtype=torch.float64).cumsum(0)
    assert found.predicted == pytest.approx((found.predicted_constant * cumulated).tolist())


def test_a_gaussian_step_of_the_same_size_moves_the_states_as_far() -> None:
    spec = small("encoder_only", d_model=64, encoder_layers=3)
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    branches = residual_branches(model)
    before = states(model, branches, batch)
    ends = []
    for step in RandomStep:
        found = random_output_change(model, branches, batch, before, draws=8, seed=0, step=step)[
            Stack.ENCODER
        ]
        assert found.standard_error is not None
        ends.append((found.output_change[-1], found.standard_error[-1]))
    (sign, sign_error), (gaussian, gaussian_error) = ends
    assert abs(sign - gaussian) < 4 * math.hypot(sign_error, gaussian_error)


def test_the_decoder_attends_to_a_memory_held_still() -> None:
    spec = small("encoder_decoder")
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    branches = residual_branches(model)
    before = states(model, branches, batch)
    encoders = [branch for branch in branches if branch.stack is Stack.ENCODER]
    weights = [w for branch in encoders for w in branch.sublayer.branch.parameters()]
    whole = random_output_change(model, branches, batch, before, draws=1, seed=0)
    with unchanged_after(weights), torch.no_grad():
        for weight in weights:
            weight.mul_(1.5)  # an encoder that is far from where `before` was taken
        moved = random_output_change(model, branches, batch, before, draws=1, seed=0)
    assert moved[Stack.DECODER].output_change == whole[Stack.DECODER].output_change
    assert moved[Stack.ENCODER].output_change != whole[Stack.ENCODER].output_change


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    spec = small("encoder_decoder", scheme="admin")
    model, batch = build_transformer(spec, seed=0).train(training), batch_of(spec)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    branches = residual_branches(model)
    base = states(model, branches, batch)
    random_output_change(model, branches, batch, base, draws=2, seed=0)
    assert model.training is training
    with training_pass(model, branches, batch, seed=0):
        update_output_change(model, branches, batch, base, TrainingSpec())
        gradient_output_change(model, branches, batch, base)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_padding_does_not_count() -> None:
    spec = small("encoder_only")
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    padding = torch.zeros(2, 4, dtype=torch.bool)
    padding[:, 3:] = True
    padded = Batch(inputs={**batch.inputs, "source_padding": padding}, targets=batch.targets)
    cut = Batch(inputs={"source": batch.inputs["source"][:, :3]}, targets=batch.targets[:, :3])
    branches = residual_branches(model)
    found, expected = (
        random_output_change(model, branches, b, states(model, branches, b), draws=1, seed=0)
        for b in (padded, cut)
    )
    assert found[Stack.ENCODER].output_change == pytest.approx(
        expected[Stack.ENCODER].output_change, rel=1e-3
    )


def test_a_closed_gate_moves_nothing_and_has_no_slope() -> None:
    spec = small("decoder_only", scheme="rezero")
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    branches = residual_branches(model)
    base = states(model, branches, batch)
    found = random_output_change(model, branches, batch, base, draws=2, seed=0)[Stack.DECODER]
    assert found.output_change == [0.0] * 4
    assert found.slope is None
    assert found.predicted is None


def test_a_state_that_is_not_finite_is_named() -> None:
    spec = small("encoder_only")
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    branches = residual_branches(model)
    with torch.no_grad():
        branches[1].sublayer.post_norm.weight.fill_(torch.inf)  # type: ignore[operator]
    with pytest.raises(NonFiniteError, match=r"encoder\.layers\.0\.feed_forward"):
        states(model, branches, batch)


def test_a_step_that_leaves_the_number_format_is_named() -> None:
    spec = small("encoder_only")
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    branches = residual_branches(model)
    base = states(model, branches, batch)
    training = TrainingSpec(optimizer="sgd", learning_rate=1e6)
    with torch.no_grad(), training_pass(model, branches, batch, seed=0):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 1e38)
        with pytest.raises(NonFiniteError, match=r"encoder\.layers\.0\.self_attention"):
            update_output_change(model, branches, batch, base, training)


def curve_of(scheme: str, *, seed: int) -> list[float]:
    """D_i over 200 sub-layers of width 64."""
    spec = TransformerSpec.model_validate(
        {
            "architecture": "encoder_only",
            "encoder_layers": 100,
            "d_model": 64,
            "num_heads": 1,
            "vocab_size": 4096,
            "scheme": scheme,
        }
    )
    model = build_transformer(spec, seed=seed)
    batch = make_batch(UNIFORM, spec, batch_size=4, sequence_length=64, seed=seed)
    branches = residual_branches(model)
    if scheme == "admin":
        apply_omegas(profile(model, branches, batch, admin_stacks=[Stack.ENCODER], seed=seed))
    base = states(model, branches, batch)
    found = random_output_change(model, branches, batch, base, draws=2, seed=seed)
    return found[Stack.ENCODER].output_change


@pytest.mark.slow
def test_the_papers_corollaries_over_200_sublayers() -> None:
    """Post-LN O(N), Pre-LN and Admin O(log N), in the mean over weights that the theorem speaks of;
    bench/amplification_slopes.py does all widths."""

    def slope(scheme: str) -> float:
        curves = torch.tensor([curve_of(scheme, seed=seed) for seed in range(3)])
        found = growth(range(1, 201), curves.mean(0).tolist())
        assert found is not None
        return found.slope

    assert slope("post_ln") >= 1.0
    assert slope("pre_ln") <= 0.6
    assert slope("admin") <= 0.6
