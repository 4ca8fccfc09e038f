import math
from typing import Any

import pytest
import torch
from torch import nn

from admin_core.analysis.numeric_range import RangeWatch
from admin_core.analysis.training_pass import training_pass
from admin_core.data.batch import Batch
from admin_core.errors import NonFiniteError
from admin_core.models.attention import Attention
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.report import NumericRangeSection, RuleCheck
from admin_core.residual import residual_branches
from admin_core.spec import Optimizer, TrainingSpec
from tests.admin_core.slow import slow_pass
from tests.admin_core.specs import EVERY_PART, small

TOKENS = torch.tensor([[1, 2, 3, 0], [3, 1, 2, 4]])
BATCH = Batch(inputs={"source": TOKENS, "target": TOKENS}, targets=TOKENS)
TRAINING = TrainingSpec()


def fresh(**changes: Any) -> Transformer:
    return build_transformer(small(vocab_size=10, dropout=0.0, **changes), seed=0)


def measured(
    model: Transformer, training: TrainingSpec = TRAINING, batch: Batch = BATCH
) -> NumericRangeSection:
    branches = residual_branches(model)
    watch = RangeWatch(model, branches)
    with training_pass(model, branches, batch, seed=0, watch=[watch.watching()]):
        return watch.section(training)


def check(section: NumericRangeSection, rule: str) -> RuleCheck:
    return next(found for found in section.checks if found.rule == rule)


def scale(module: nn.Module, factor: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(factor)


def attention(model: Transformer, path: str) -> Attention:
    found = model.get_submodule(path)
    assert isinstance(found, Attention)
    return found


def test_the_largest_activation_agrees_with_the_slow_pass_in_float64() -> None:
    model = fresh(scheme="pre_ln")
    section = measured(model)
    for found, record in zip(section.sublayers, slow_pass(model, BATCH.inputs), strict=True):
        inside = max(record.f.abs().max().item(), record.total.abs().max().item())
        assert found.largest_activation >= inside * (1 - 1e-5)
        if found.largest_activation_path.endswith(".add"):
            assert found.largest_activation == pytest.approx(inside, rel=1e-5)
        assert found.float16_share == found.largest_activation / 65504
        assert found.bfloat16_share == pytest.approx(found.largest_activation / 3.3895e38, rel=1e-4)
    assert any(found.largest_activation_path.endswith(".add") for found in section.sublayers)


def test_attention_logits_agree_with_the_slow_pass_in_float64() -> None:
    model = fresh()
    section = measured(model)
    records = {record.path: record for record in slow_pass(model, BATCH.inputs)}
    slow = fresh().double().requires_grad_(False)
    for found in section.attention:
        if "cross" in found.path:
            continue
        x = records[found.path.removesuffix(".branch")].x
        branch = attention(slow, found.path)
        for head, reported in enumerate(found.largest_logit):
            part = slice(4 * head, 4 * head + 4)
            q, k = branch.query(x)[..., part], branch.key(x)[..., part]
            largest = max(
                abs(float(q[b, t] @ k[b, s])) / 2
                for b in range(2)
                for t in range(4)
                for s in range(t + 1 if branch.causal else 4)
            )
            assert reported == pytest.approx(largest, rel=1e-5)


def test_the_largest_output_logit_is_the_model_s() -> None:
    model = fresh()
    logits = model.eval()(**BATCH.inputs)
    assert measured(model).largest_output_logit == pytest.approx(logits.abs().max().item())


@pytest.mark.parametrize("part", EVERY_PART, ids=str)
def test_every_kind_of_model_is_measured_and_fresh_ones_are_within_range(
    part: dict[str, Any],
) -> None:
    section = measured(build_transformer(small(**part), seed=0))
    assert len(section.sublayers) == 10
    assert [len(found.largest_logit) for found in section.attention] == 6 * [4]
    for found in section.checks:
        if found.rule != "GradientOverEpsilon":
            assert found.offending == 0
            assert found.checked > 0


class TestFindings:
    def test_a_head_with_large_logits_and_a_collapsed_entropy_is_named(self) -> None:
        model = fresh()
        path = "encoder.layers.1.self_attention.branch"
        branch = attention(model, path)
        with torch.no_grad():
            for projection in (branch.query, branch.key):
                projection.weight[8:12].mul_(50)  # head 2 of heads of width 4
        section = measured(model)
        for rule in ("AttentionLogit", "AttentionEntropy"):
            [finding] = check(section, rule).findings
            assert finding.path == f"{path} head 2"
        assert check(section, "AttentionLogit").findings[0].measured >= 128

    def test_every_offending_attention_is_reported(self) -> None:
        model = fresh()
        for module in model.modules():
            if isinstance(module, Attention):
                scale(module.query, 1e4)
        assert check(measured(model), "AttentionLogit").offending == 6

    def test_qk_norm_mends_it(self) -> None:
        model = fresh(qk_norm=True)
        for module in model.modules():
            if isinstance(module, Attention):
                scale(module.query, 1e4)
        assert check(measured(model), "AttentionLogit").offending == 0

    def test_large_output_logits_are_found(self) -> None:
        model = fresh(tied_embeddings=False)
        assert model.output is not None
        scale(model.output, 1e3)
        [finding] = check(measured(model), "OutputLogit").findings
        assert finding.measured == measured(model).largest_output_logit

    def test_an_activation_near_the_limit_of_float16_is_found_long_before_bfloat16_s(self) -> None:
        model = fresh()
        branch = residual_branches(model)[1]
        scale(branch.sublayer.branch.input, 1e4)  # type: ignore[arg-type]
        section = measured(model)
        [finding] = check(section, "Float16Range").findings
        assert finding.path.startswith(branch.path)
        assert finding.measured >= 0.1
        assert check(section, "Bfloat16Range").offending == 0

    def test_a_gradient_as_small_as_epsilon_is_found_with_an_epsilon_that_helps(self) -> None:
        model = fresh()
        training = TrainingSpec(epsilon=1e-2)
        found = check(measured(model, training), "GradientOverEpsilon")
        assert found.offending == found.checked == 10
        words = found.findings[0].suggestion.split()
        helped = TrainingSpec(epsilon=float(words[words.index("to") + 1]))
        assert check(measured(model, helped), "GradientOverEpsilon").offending == 0


class TestGradientOverEpsilon:
    def test_is_the_smallest_of_the_branch(self) -> None:
        model = fresh()
        branches = residual_branches(model)
        with training_pass(model, branches, BATCH, seed=0):
            rms = [
                math.sqrt(math.fsum(g**2 for g in weight.grad.flatten().tolist()) / weight.numel())
                for weight in branches[1].sublayer.branch.parameters()
                if weight.ndim == 2 and weight.grad is not None
            ]
        found = measured(model).sublayers[1].gradient_rms_over_epsilon
        assert found == pytest.approx(min(rms) / 1e-8, rel=1e-5)

    def test_sgd_has_no_epsilon(self) -> None:
        section = measured(fresh(), TrainingSpec(optimizer=Optimizer.SGD))
        assert all(found.gradient_rms_over_epsilon is None for found in section.sublayers)

    def test_a_frozen_model_has_none(self) -> None:
        section = measured(fresh().requires_grad_(False))
        assert all(found.gradient_rms_over_epsilon is None for found in section.sublayers)


def test_padding_reaches_the_attention_logits() -> None:
    model = fresh()
    plain = measured(model).attention[0]
    padding = TOKENS == 0
    padded = Batch(inputs={**BATCH.inputs, "source_padding": padding}, targets=TOKENS)
    assert measured(model, batch=padded).attention[0].entropy < plain.entropy


def test_an_overflow_that_leaves_the_loss_finite_is_named() -> None:
    model = fresh()
    branch = residual_branches(model)[1].sublayer.branch
    with torch.no_grad():
        # The rectifier turns minus infinity into zero.
        branch.get_parameter("input.weight").zero_()
        branch.get_parameter("input.bias").fill_(-torch.inf)
    with pytest.raises(NonFiniteError, match=r"encoder\.layers\.0\.feed_forward\.branch\.input"):
        measured(model)
