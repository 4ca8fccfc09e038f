import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from admin_core.analysis.gradients import HISTOGRAM_EDGES, gradients, histogram
from admin_core.analysis.training_pass import training_pass
from admin_core.data.batch import Batch
from admin_core.data.batches import make_batch
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.report import BranchGradient, GradientsSection, WeightGradient
from admin_core.residual import residual_branches
from admin_core.spec import Optimizer, Stack, SyntheticData, TextData, TrainingSpec
from admin_core.training.loss import batch_loss
from tests.admin_core.specs import EVERY_PART, small

TOKENS = torch.tensor([[1, 2, 3], [3, 1, 2]])
BATCH = Batch(inputs={"source": TOKENS, "target": TOKENS}, targets=TOKENS)
SPEC = small(vocab_size=6, d_model=4, num_heads=2, dropout=0.0)
TRAINING = TrainingSpec(weight_decay=0.1)


def measured(
    model: Transformer, batch: Batch = BATCH, training: TrainingSpec = TRAINING
) -> GradientsSection:
    branches = residual_branches(model)
    with training_pass(model, branches, batch, seed=0) as passed:
        return gradients(model, branches, passed, training)


def weight(section: GradientsSection, path: str) -> WeightGradient:
    return next(found for found in section.weights if found.path == path)


def branch(section: GradientsSection, path: str) -> BranchGradient:
    return next(found for found in section.branches if found.path == path)


class TestWeights:
    def test_agree_with_finite_differences_one_element_at_a_time(self) -> None:
        section = measured(build_transformer(SPEC, seed=0))
        slow = build_transformer(SPEC, seed=0).double()
        for path in (
            "encoder.embedding.tokens.weight",
            "encoder.layers.0.self_attention.branch.query.weight",
            "decoder.layers.0.cross_attention.branch.value.weight",
        ):
            elements = slow.get_parameter(path).data.view(-1)
            squares = 0.0
            for element in range(len(elements)):
                at = elements[element].item()
                losses = []
                for moved in (at + 1e-5, at - 1e-5):
                    elements[element] = moved
                    with torch.no_grad():
                        logits = slow(**BATCH.inputs).flatten(0, 1)
                    losses.append(nn.functional.cross_entropy(logits, TOKENS.flatten()).item())
                elements[element] = at
                squares += ((losses[0] - losses[1]) / 2e-5) ** 2
            assert weight(section, path).gradient_norm == pytest.approx(
                math.sqrt(squares), rel=1e-5
            )

    def test_are_relative_to_the_largest_of_their_stack(self) -> None:
        section = measured(build_transformer(SPEC, seed=0))
        for stack in Stack:
            own = [found for found in section.weights if found.stack is stack]
            largest = max(found.gradient_norm or 0.0 for found in own)
            for found in own:
                assert found.gradient_norm is not None
                assert found.relative_gradient_norm == found.gradient_norm / largest

    def test_outside_the_branches_belong_to_no_stack(self) -> None:
        embedding = weight(
            measured(build_transformer(SPEC, seed=0)), "encoder.embedding.tokens.weight"
        )
        assert embedding.stack is None
        assert embedding.relative_gradient_norm is None
        assert embedding.gradient_norm is not None

    def test_that_are_tied_are_listed_once(self) -> None:
        paths = [found.path for found in measured(build_transformer(SPEC, seed=0)).weights]
        assert [path for path in paths if "tokens" in path] == ["encoder.embedding.tokens.weight"]

    def test_shared_by_two_layers_count_for_both(self) -> None:
        model = build_transformer(SPEC, seed=0)
        first, second = (residual_branches(model)[i].sublayer.branch for i in (1, 3))
        second.input.weight = first.input.weight  # type: ignore[union-attr]
        section = measured(model)
        assert all(found.update_ratio for found in section.branches)
        assert len({found.path for found in section.weights}) == len(section.weights)


FIRST_STEPS: dict[Optimizer, Callable[[float, float], float]] = {
    # The step for a gradient g and a weight w, decay included as each optimizer has it.
    Optimizer.SGD: lambda g, w: g + 0.1 * w,
    Optimizer.ADAM: lambda g, w: (g + 0.1 * w) / (abs(g + 0.1 * w) + 1e-8),
    Optimizer.ADAMW: lambda g, w: 0.1 * w + g / (abs(g) + 1e-8),
    Optimizer.RADAM: lambda g, w: g + 0.1 * w,  # its first steps do not adapt
}


class TestUpdateRatio:
    @pytest.mark.parametrize("optimizer", FIRST_STEPS)
    def test_agrees_with_the_formula_one_element_at_a_time(self, optimizer: Optimizer) -> None:
        model = build_transformer(SPEC, seed=0)
        section = measured(model, training=TRAINING.model_copy(update={"optimizer": optimizer}))
        slow = build_transformer(SPEC, seed=0).double()
        batch_loss(slow, BATCH).backward()  # type: ignore[no-untyped-call]
        for found in residual_branches(slow):
            steps, sizes = [], []
            for matrix in found.sublayer.branch.parameters():
                if matrix.ndim < 2:
                    continue
                assert matrix.grad is not None
                for g, w in zip(matrix.grad.view(-1), matrix.data.view(-1), strict=True):
                    steps.append(1e-3 * FIRST_STEPS[optimizer](g.item(), w.item()))
                    sizes.append(w.item())
            ratio = math.hypot(*steps) / math.hypot(*sizes)
            reported = branch(section, found.path)
            # In float32 the step is a difference of two near numbers, W* and W.
            assert reported.update_ratio == pytest.approx(ratio, rel=1e-5, abs=1e-8)
            assert reported.update_ratios[optimizer] == reported.update_ratio

    def test_takes_no_step_on_the_model_itself(self) -> None:
        model = build_transformer(SPEC, seed=0)
        before = [parameter.clone() for parameter in model.parameters()]
        branches = residual_branches(model)
        with training_pass(model, branches, BATCH, seed=0) as passed:
            held = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
            gradients(model, branches, passed, TRAINING)
            for parameter, old, gradient in zip(model.parameters(), before, held, strict=True):
                assert torch.equal(parameter, old)
                assert parameter.grad is not None
                assert torch.equal(parameter.grad, gradient)

    def test_is_even_under_adam_where_the_gradient_is_not(self) -> None:
        section = measured(build_transformer(small(dropout=0.0, decoder_layers=12), seed=0))
        decoder = [found for found in section.branches if found.stack is Stack.DECODER]
        gradient_norms = [found.relative_gradient_norm or 0.0 for found in decoder]
        ratios = [found.update_ratio or 0.0 for found in decoder]
        assert max(gradient_norms) > 10 * min(gradient_norms)
        assert max(ratios) < 1.5 * min(ratios)
        bins = {
            name: sum(
                count > 0 for count in getattr(section.histograms[Stack.DECODER], name).counts
            )
            for name in ("gradient", "update")
        }
        assert bins["update"] < bins["gradient"]


class TestFrozenAndUnused:
    def test_frozen_parameters_have_no_gradient_and_take_no_step(self) -> None:
        model = build_transformer(SPEC, seed=0)
        frozen = residual_branches(model)[1]
        frozen.sublayer.requires_grad_(False)
        section = measured(model)
        assert branch(section, frozen.path).update_ratio is None
        assert branch(section, frozen.path).gradient_norm is not None  # it flows through
        found = weight(section, f"{frozen.path}.branch.input.weight")
        assert (found.gradient_norm, found.update_norm, found.update_ratio) == (None, None, None)

    def test_a_model_that_is_frozen_throughout_is_described_without_gradients(self) -> None:
        section = measured(build_transformer(SPEC, seed=0).requires_grad_(False))
        assert all(found.gradient_norm is None for found in section.branches)
        assert all(found.update_ratio is None for found in section.branches)

    def test_an_unused_weight_has_no_gradient_and_does_not_move(self) -> None:
        model = build_transformer(SPEC, seed=0)
        model.unused = nn.Linear(3, 3)
        found = weight(measured(model), "unused.weight")
        assert (found.gradient_norm, found.update_norm, found.stack) == (None, 0.0, None)


class TestHistogram:
    def test_counts_each_value_between_its_edges(self) -> None:
        counted = histogram([1.0, 0.75, 0.5, 0.3, 2.0**-40, 1e-13, 0.0, None])
        assert counted.edges == list(HISTOGRAM_EDGES)
        assert counted.counts[-1] == 3  # the largest of a stack counts with its neighbours
        assert counted.counts[-2] == 1
        assert counted.counts[0] == 1
        assert counted.below == 2
        assert sum(counted.counts) == 5


class TestTheTablesOfThePaper:
    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize("data", ["text", "copy"])
    def test_in_18_layers_the_post_ln_decoder_vanishes_and_the_hybrid_does_not(
        self, data: str, seed: int
    ) -> None:
        def first_over_last(decoder: str) -> dict[Stack, float]:
            spec = small(
                encoder_layers=18,
                decoder_layers=18,
                d_model=64,
                vocab_size=256,
                scheme={"encoder": "post_ln", "decoder": decoder},
            )
            source = (
                TextData()
                if data == "text"
                else SyntheticData.model_validate({"kind": "synthetic", "name": data})
            )
            batch = make_batch(source, spec, batch_size=4, sequence_length=32, seed=seed)
            model = build_transformer(spec, seed=seed)
            branches = residual_branches(model)
            with training_pass(model, branches, batch, seed=seed) as passed:
                norms = passed.state_gradient_norms
            ratios = {}
            for stack in Stack:
                own = [
                    norm
                    for norm, branch in zip(norms, branches, strict=True)
                    if branch.stack is stack
                ]
                assert own[0] is not None
                assert own[-1] is not None
                ratios[stack] = own[0] / own[-1]
            return ratios

        post, hybrid = first_over_last("post_ln"), first_over_last("pre_ln")
        assert post[Stack.DECODER] < 0.1
        assert hybrid[Stack.DECODER] > 1.0
        assert min(post[Stack.ENCODER], hybrid[Stack.ENCODER]) > 0.3


@pytest.mark.parametrize("part", EVERY_PART, ids=str)
def test_every_kind_of_model_is_measured(part: dict[str, Any]) -> None:
    spec = small(**part)
    section = measured(build_transformer(spec, seed=0))
    assert len(section.branches) == 10
    assert all(found.gradient_norm is not None for found in section.branches)
    assert all(found.update_ratio is not None for found in section.branches)


def test_under_bfloat16_norms_are_taken_in_float32() -> None:
    spec = small(dropout=0.0)
    exact = measured(build_transformer(spec, seed=0))
    rounded = measured(build_transformer(spec, seed=0).bfloat16())
    for one, other in zip(exact.branches, rounded.branches, strict=True):
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=0.1)
