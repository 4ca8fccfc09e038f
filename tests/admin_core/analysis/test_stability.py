from typing import Any

import pytest
import torch
from torch import nn

from admin_core.analysis.stability import MAX_FINDINGS, StabilityCheck, rule_check
from admin_core.analysis.stability_rules import vanishing_gradient
from admin_core.analysis.training_pass import training_pass
from admin_core.data.batch import Batch
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.report import RuleCheck, StabilityRulesSection
from admin_core.residual import residual_branches
from admin_core.spec import TrainingSpec
from tests.admin_core.specs import EVERY_PART, small

TOKENS = torch.tensor([[1, 2, 3, 0], [3, 1, 2, 4]])
BATCH = Batch(inputs={"source": TOKENS, "target": TOKENS}, targets=TOKENS)
NUM_MATRICES = 33
"""Of the small model: 6 attentions of 4, 4 feed-forwards of 2, one tied embedding."""


def fresh(**changes: Any) -> Transformer:
    return build_transformer(small(vocab_size=10, dropout=0.0, **changes), seed=0)


def measured(
    model: Transformer,
    training: TrainingSpec | None = None,
    variance_bounds: tuple[float, float] | None = None,
) -> StabilityRulesSection:
    branches = residual_branches(model)
    check = StabilityCheck(model, branches, variance_bounds=variance_bounds)
    with training_pass(model, branches, BATCH, seed=0, watch=[check.watching()]):
        return check.section(training or TrainingSpec())


def check(section: StabilityRulesSection, rule: str) -> RuleCheck:
    return next(found for found in section.checks if found.rule == rule)


def fill(module: nn.Module, name: str, value: float) -> None:
    with torch.no_grad():
        module.get_parameter(name).fill_(value)


@pytest.mark.parametrize(
    "part", [p for p in EVERY_PART if p.get("scheme") not in ("rezero", "t_fixup")], ids=str
)
def test_a_fresh_model_of_any_kind_breaks_no_rule_of_the_forward_pass(
    part: dict[str, Any],
) -> None:
    section = measured(build_transformer(small(**part), seed=0))
    for rule in ("ExplodingTensor", "DeadRelu", "WeightUpdateRatio", "AllZero", "UnchangedTensor"):
        assert check(section, rule).offending == 0


def test_every_weight_matrix_is_held_against_every_rule_of_weights() -> None:
    section = measured(fresh())
    for rule in ("VanishingGradient", "WeightUpdateRatio", "UnchangedTensor"):
        assert check(section, rule).checked == NUM_MATRICES
    assert check(section, "AllZero").checked == 2 * NUM_MATRICES + 10
    assert check(section, "DeadRelu").checked == 4
    assert check(section, "SaturatedActivation").checked == 0


@pytest.mark.parametrize("activation", ["relu", "gelu", "swiglu"])
def test_dead_units_are_found_in_every_layer_whatever_the_activation(activation: str) -> None:
    model = fresh(activation=activation)
    before = "gate" if activation == "swiglu" else "input"
    feed_forwards = [b for b in residual_branches(model) if b.role == "feed_forward"]
    for branch in feed_forwards:
        fill(branch.sublayer.branch, f"{before}.weight", 0.0)
        fill(branch.sublayer.branch, f"{before}.bias", -5.0)
    found = check(measured(model), "DeadRelu")
    assert found.offending == 4
    assert {finding.path for finding in found.findings} == {
        f"{branch.path}.branch.activation" for branch in feed_forwards
    }


def test_saturated_activations_of_any_network_are_found() -> None:
    model = fresh()
    first = residual_branches(model)[1]
    first.sublayer.branch.activation = nn.Tanh()
    fill(first.sublayer.branch, "input.bias", 30.0)
    found = check(measured(model), "SaturatedActivation")
    assert (found.checked, found.offending) == (1, 1)


def test_rezero_s_branches_get_no_gradient_at_first_and_all_are_counted() -> None:
    section = measured(fresh(scheme="rezero"))
    for rule in ("VanishingGradient", "UnchangedTensor"):
        found = check(section, rule)
        assert found.offending == NUM_MATRICES - 1  # all but the embedding
        assert len(found.findings) == MAX_FINDINGS


def test_a_layer_initialised_unlike_the_others_is_named() -> None:
    model = fresh()
    odd = residual_branches(model)[3]
    with torch.no_grad():
        odd.sublayer.branch.get_parameter("input.weight").mul_(0.01)
    found = check(measured(model), "PoorWeightInitialization")
    named = [finding for finding in found.findings if "across layers" in finding.formula]
    assert {finding.path for finding in named} == {
        f"{odd.path}.branch.input.weight",
        f"{odd.path}.branch.activation",
    }
    assert all(finding.measured > 100 for finding in named)


def test_a_step_that_is_too_large_and_one_that_is_too_small_are_found() -> None:
    huge = check(measured(fresh(), TrainingSpec(learning_rate=100.0)), "WeightUpdateRatio")
    assert huge.offending == NUM_MATRICES
    tiny = measured(fresh(), TrainingSpec(learning_rate=1e-12))
    assert check(tiny, "WeightUpdateRatio").offending == NUM_MATRICES
    assert check(tiny, "UnchangedTensor").offending == NUM_MATRICES


def test_a_step_that_overflows_is_found_though_all_before_it_was_finite() -> None:
    model = fresh().half()
    found = check(measured(model, TrainingSpec(learning_rate=1e6)), "ExplodingTensor")
    assert found.offending == NUM_MATRICES
    assert all("after one step" in finding.path for finding in found.findings)


def test_tensor_variance_needs_bounds() -> None:
    assert check(measured(fresh()), "TensorVariance").checked == 0
    found = check(measured(fresh(), variance_bounds=(0.06, 10.0)), "TensorVariance")
    assert found.checked == NUM_MATRICES
    assert 0 < found.offending < NUM_MATRICES


def test_frozen_unused_and_tied_weights_are_understood() -> None:
    model = fresh()
    branches = residual_branches(model)
    branches[0].sublayer.requires_grad_(False)
    model.unused = nn.Linear(3, 3)
    branches[3].sublayer.branch.input.weight = branches[1].sublayer.branch.input.weight  # type: ignore[union-attr]
    section = measured(model)
    assert check(section, "VanishingGradient").checked == NUM_MATRICES - 4 - 1
    [unchanged] = check(section, "UnchangedTensor").findings
    assert unchanged.path == "unused.weight"


def test_the_worst_findings_come_first_and_none_is_forgotten() -> None:
    results = [vanishing_gradient(f"w{i}", torch.full((2,), 10.0 ** -(i + 6))) for i in range(20)]
    found = rule_check("VanishingGradient", results)
    assert (found.checked, found.offending) == (20, 18)
    assert [finding.path for finding in found.findings] == [
        f"w{i}" for i in range(19, 19 - MAX_FINDINGS, -1)
    ]
