import copy
import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from admin_core.analysis import dependency as module
from admin_core.analysis.dependency import (
    Dependency,
    dependency,
    dependency_section,
    predicted_dependency,
)
from admin_core.analysis.omega import apply_omegas
from admin_core.analysis.profiling import profile
from admin_core.data.batch import Batch
from admin_core.data.batches import make_batch
from admin_core.errors import DegenerateBranchError
from admin_core.models.sublayer import SubLayer
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.residual import residual_branches
from admin_core.spec import Stack, SyntheticData, SyntheticName, TransformerSpec
from admin_core.training.loss import batch_loss
from tests.admin_core.slow import SlowRecord, slow_pass, slow_variance
from tests.admin_core.specs import EVERY_PART, small

UNIFORM = SyntheticData(kind="synthetic", name=SyntheticName.UNIFORM)


def batch_of(spec: TransformerSpec, *, batch_size: int = 2, sequence_length: int = 4) -> Batch:
    return make_batch(UNIFORM, spec, batch_size=batch_size, sequence_length=sequence_length, seed=0)


def give_weights(model: Transformer) -> None:
    """Move every gain, omega, gate and bias off its fresh value, feature by feature."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim < 2:
                parameter.add_(torch.rand(parameter.shape, generator=generator))


def slow_dependency(model: Transformer, records: list[SlowRecord]) -> Tensor:
    """beta_ij of one stack's records, component by component."""
    components = [records[0].x]
    rows = torch.zeros(len(records), len(records) + 1, dtype=torch.float64)
    for i, record in enumerate(records):
        sublayer = model.get_submodule(record.path)
        assert isinstance(sublayer, SubLayer)
        add, norm = sublayer.add, sublayer.post_norm
        scale = getattr(add, "omega", getattr(add, "alpha", torch.ones(1)))
        gate = getattr(add, "gate", torch.ones(()))
        components = [scale * component for component in components] + [gate * record.f]
        if not isinstance(norm, nn.Identity):
            components = [slow_carry(norm, component, record.total) for component in components]
        if isinstance(norm, nn.LayerNorm):
            components[-1] = components[-1] + norm.bias
        torch.testing.assert_close(sum(components), record.state)
        whole = slow_variance(record.state)
        for j, component in enumerate(components):
            rows[i, j] = math.sqrt(slow_variance(component) / whole)
    return rows


def slow_carry(norm: nn.Module, component: Tensor, total: Tensor) -> Tensor:
    """gamma * (c - mean(c)) / std(total), a token at a time."""
    assert isinstance(norm, nn.LayerNorm | nn.RMSNorm)
    out = torch.empty_like(component)
    for b in range(total.shape[0]):
        for t in range(total.shape[1]):
            c, whole = component[b, t], total[b, t]
            if isinstance(norm, nn.LayerNorm):
                c = c - c.mean()
                whole = whole - whole.mean()
            assert norm.eps is not None
            out[b, t] = norm.weight * c / math.sqrt((whole**2).mean() + norm.eps)
    return out


def assert_agrees_with_the_slow_version(model: Transformer, batch: Batch) -> None:
    found = dependency(model, residual_branches(model), batch)
    records = slow_pass(model, batch.inputs)
    exact = copy.deepcopy(model).double()
    for stack, of_stack in found.items():
        slow = slow_dependency(exact, [record for record in records if record.stack is stack])
        torch.testing.assert_close(of_stack.beta, slow, rtol=1e-5, atol=1e-5)
        ones = of_stack.beta.square().sum(1) + of_stack.covariance
        torch.testing.assert_close(ones, torch.ones_like(ones))


@pytest.mark.parametrize("scheme", ["post_ln", "pre_ln", "admin"])
def test_beta_of_fresh_weights_agrees_with_the_slow_version(scheme: str) -> None:
    spec = small("encoder_decoder", scheme=scheme)
    assert_agrees_with_the_slow_version(build_transformer(spec, seed=0), batch_of(spec))


@pytest.mark.parametrize("options", EVERY_PART, ids=str)
def test_beta_of_given_weights_agrees_with_the_slow_version(options: dict[str, Any]) -> None:
    spec = small(**{"architecture": "decoder_only"} | options)
    model = build_transformer(spec, seed=0)
    give_weights(model)
    assert_agrees_with_the_slow_version(model, batch_of(spec))


def test_beta_holds_after_training_steps_with_an_omega_per_feature() -> None:
    spec = small("encoder_decoder", scheme="admin")
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        batch_loss(model, batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert_agrees_with_the_slow_version(model, batch)


@functools.cache
def deep(scheme: str) -> Dependency:
    spec = TransformerSpec.model_validate(
        {
            "architecture": "encoder_only",
            "encoder_layers": 50,
            "d_model": 64,
            "num_heads": 4,
            "vocab_size": 512,
            "scheme": scheme,
        }
    )
    model = build_transformer(spec, seed=0)
    batch, branches = batch_of(spec, batch_size=4, sequence_length=16), residual_branches(model)
    if scheme == "admin":
        apply_omegas(profile(model, branches, batch, admin_stacks=[Stack.ENCODER], seed=0))
    return dependency(model, branches, batch)[Stack.ENCODER]


def diagonal_slope(beta: Tensor) -> float:
    """Of log beta_ii over log i from the tenth sub-layer on; beta_ii^2 averaged over each layer's
    attention and feed-forward."""
    layers = beta.diagonal(1).square().view(-1, 2).mean(1).sqrt()[5:]
    x = (torch.arange(5, 5 + len(layers)).double() * 2 + 1.5).log()
    x = x - x.mean()
    return float(x @ layers.log() / x.square().sum())


@pytest.mark.parametrize("scheme", ["pre_ln", "admin"])
def test_dependency_falls_as_one_over_the_root_of_depth(scheme: str) -> None:
    found = deep(scheme)
    assert diagonal_slope(found.beta) == pytest.approx(-0.5, abs=0.1)
    assert diagonal_slope(found.predicted) == pytest.approx(-0.5, abs=0.1)


def test_post_lns_dependency_stays_level() -> None:
    found = deep("post_ln")
    assert diagonal_slope(found.beta) == pytest.approx(0, abs=0.1)
    assert diagonal_slope(found.predicted) == pytest.approx(0, abs=0.1)


def test_admin_looks_like_pre_ln_at_initialisation() -> None:
    admin, pre = deep("admin"), deep("pre_ln")
    ratio = admin.beta.diagonal(1) / pre.beta.diagonal(1)
    assert ratio.median().item() == pytest.approx(1, abs=0.15)


def test_the_variances_alone_predict_what_is_carried() -> None:
    found = deep("post_ln")
    difference = found.beta.diagonal(1) - found.predicted.diagonal(1)
    assert difference.abs().mean().item() < 0.05


def test_predicted_rows_sum_to_one() -> None:
    found = predicted_dependency(
        embedding_variance=1.5,
        branch_variances=[0.2, 0.4, 0.3],
        shortcut_scales=[1, 1.3, 2],
        norm_variances=[1, None, 0.8],
    )
    torch.testing.assert_close(found.square().sum(1), torch.ones(3, dtype=torch.float64))
    assert found[0, 1].item() ** 2 == pytest.approx(0.2 / 1.7)
    assert found[1, 2].item() ** 2 == pytest.approx(0.4 / (1.3**2 + 0.4))
    assert found[2, 3].item() ** 2 == pytest.approx(0.3 / (4 * (1.3**2 + 0.4) + 0.3))


def test_a_closed_gate_leaves_the_embedding_alone() -> None:
    spec = small("decoder_only", scheme="rezero")
    model = build_transformer(spec, seed=0)
    found = dependency(model, residual_branches(model), batch_of(spec))[Stack.DECODER]
    assert found.beta[:, 0].tolist() == pytest.approx([1] * 4)
    assert not found.beta[:, 1:].any()


def test_padding_does_not_count() -> None:
    spec = small("encoder_only")
    model, batch = build_transformer(spec, seed=0), batch_of(spec)
    padding = torch.zeros(2, 4, dtype=torch.bool)
    padding[:, 3:] = True
    padded = Batch(inputs={**batch.inputs, "source_padding": padding}, targets=batch.targets)
    cut = Batch(inputs={"source": batch.inputs["source"][:, :3]}, targets=batch.targets[:, :3])
    branches = residual_branches(model)

    found = dependency(model, branches, padded)[Stack.ENCODER]

    assert found.num_tokens == 6
    expected = dependency(model, branches, cut)[Stack.ENCODER]
    torch.testing.assert_close(found.beta, expected.beta, rtol=1e-5, atol=1e-6)


def test_thinned_tokens_tell_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = small("encoder_only", d_model=64)
    model, batch = (
        build_transformer(spec, seed=0),
        batch_of(spec, batch_size=16, sequence_length=32),
    )
    branches = residual_branches(model)
    everything = dependency(model, branches, batch)[Stack.ENCODER]

    monkeypatch.setattr(module, "MAX_ELEMENTS", 5 * 64 * 100)
    thinned = dependency(model, branches, batch)[Stack.ENCODER]

    assert everything.num_tokens == 512
    assert thinned.num_tokens == 100
    torch.testing.assert_close(thinned.beta, everything.beta, rtol=0, atol=0.02)


def test_a_report_shows_at_most_256_depths() -> None:
    depth = 600
    beta = torch.eye(depth, depth + 1, dtype=torch.float64).roll(1, 1)
    section = dependency_section(
        Dependency(
            beta=beta,
            predicted=beta,
            covariance=torch.zeros(depth, dtype=torch.float64),
            num_tokens=1,
        )
    )
    assert len(section.depths) == 256
    assert section.depths[0] == 1
    assert section.depths[-1] == depth
    assert section.branches == [0, *section.depths]
    assert [row[1 + i] for i, row in enumerate(section.beta)] == [1] * 256


def test_the_model_is_left_as_it_was() -> None:
    spec = small("encoder_decoder", scheme="admin")
    model = build_transformer(spec, seed=0).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    dependency(model, residual_branches(model), batch_of(spec))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_state_without_variance_is_named() -> None:
    spec = small("encoder_only", scheme="t_fixup", positions="rotary")
    model = build_transformer(spec, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    with pytest.raises(DegenerateBranchError, match=r"encoder\.layers\.0\.self_attention"):
        dependency(model, residual_branches(model), batch_of(spec))
