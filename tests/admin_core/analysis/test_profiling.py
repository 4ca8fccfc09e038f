import math
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from admin_core.analysis.profiling import (
    BranchProfile,
    average,
    profile,
    profile_repeatedly,
    variance,
)
from admin_core.data.batch import Batch
from admin_core.data.batches import make_batch
from admin_core.errors import (
    DegenerateBranchError,
    EmptyBatchError,
    NonFiniteError,
    UnknownTokenError,
)
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.residual import residual_branches
from admin_core.schemes import closed_form_omega
from admin_core.spec import (
    ClinicOmega,
    ClosedFormOmega,
    FirstValue,
    OmegaSpec,
    OutputChangeScale,
    Padding,
    PaperOmega,
    Stack,
    SyntheticData,
    SyntheticName,
    TransformerSpec,
)
from tests.admin_core.slow import slow_pass, slow_variance
from tests.admin_core.specs import small

UNIFORM = SyntheticData(kind="synthetic", name=SyntheticName.UNIFORM)
WITHOUT_DROPOUT = ClinicOmega(dropout=False)


def drawn(spec: TransformerSpec, *, seed: int = 0, count: int = 3, length: int = 6) -> Batch:
    return make_batch(UNIFORM, spec, batch_size=count, sequence_length=length, seed=seed)


def profiled(
    spec: TransformerSpec,
    model: Transformer | None = None,
    batch: Batch | None = None,
    **changes: Any,
) -> list[BranchProfile]:
    model = model or build_transformer(spec, seed=0)
    options: dict[str, Any] = {"admin_stacks": list(spec.layers), "seed": 0} | changes
    return profile(model, residual_branches(model), batch or drawn(spec), **options)


class TestVariance:
    def test_is_the_population_variance_of_all_elements(self) -> None:
        x = 3 + torch.randn(4, 5, 6)
        assert float(variance(x).value) == pytest.approx(slow_variance(x.double()), rel=1e-6)

    def test_without_padding_is_taken_over_the_tokens_that_count(self) -> None:
        x = torch.randn(3, 5, 6)
        padding = torch.arange(5) >= torch.tensor([[2], [5], [3]])
        assert float(variance(x, padding).value) == pytest.approx(
            slow_variance(x[~padding].double()), rel=1e-6
        )

    def test_does_not_see_what_stands_at_padding(self) -> None:
        x, padding = torch.randn(2, 4, 6), torch.tensor([[False, False, True, True]] * 2)
        clean = variance(x, padding)
        x[padding] = torch.nan
        found = variance(x, padding)
        assert (found.value, found.standard_error()) == (clean.value, clean.standard_error())

    def test_where_no_token_is_padding_is_the_same_as_without_padding(self) -> None:
        x = torch.randn(3, 5, 6)
        plain, padded = variance(x), variance(x, torch.zeros(3, 5, dtype=torch.bool))
        assert float(plain.value) == pytest.approx(float(padded.value), rel=1e-6)
        errors = [float(found.standard_error()) for found in (plain, padded)]
        assert errors[0] == pytest.approx(errors[1], rel=1e-6)

    def test_accumulates_half_precision_in_float32(self) -> None:
        x = (100 + torch.randn(64, 64, 64)).bfloat16()
        assert float(variance(x).value) == pytest.approx(slow_variance(x.double()), rel=1e-4)

    def test_its_standard_error_is_the_spread_between_sequences(self) -> None:
        sequences = torch.tensor([0.5, 1.0, 1.5, 2.0])
        x = torch.tensor([-1.0, 1.0]).repeat(4, 3, 2) * sequences.sqrt()[:, None, None]
        assert float(variance(x).standard_error()) == pytest.approx(float(sequences.std()) / 2)

    def test_its_standard_error_foretells_how_fresh_batches_scatter(self) -> None:
        torch.manual_seed(0)
        loudness = torch.rand(400, 30, 1, 1) + 0.5
        padding = torch.arange(8) >= torch.randint(2, 9, (30, 1))
        found = [variance(scale * torch.randn(30, 8, 4), padding) for scale in loudness]
        values = torch.stack([one.value for one in found])
        sems = torch.stack([one.standard_error() for one in found])
        assert float(sems.mean()) == pytest.approx(float(values.std()), rel=0.1)


CLINIC_AND_PAPER = [
    WITHOUT_DROPOUT,
    PaperOmega(convention="paper", first_value=FirstValue.EMBEDDING_VARIANCE, dropout=False),
    PaperOmega(convention="paper", first_value=FirstValue.ONE, dropout=False),
]


def slow_omegas(
    model: Transformer, inputs: Mapping[str, Tensor], omega: OmegaSpec
) -> list[tuple[float, float, float]]:
    """omega_i, Var[x_{i-1}] and Var[f_i] by the definitions, a pass for each sub-layer."""
    found: dict[str, float] = {}
    rows = []
    for i, place in enumerate(slow_pass(model, inputs)):
        applied = found if isinstance(omega, ClinicOmega) else {}
        records = slow_pass(model, inputs, omegas=applied)
        record = records[i]
        before = [earlier for earlier in records[:i] if earlier.stack is record.stack]
        if isinstance(omega, ClinicOmega):
            squared = 1.0
            if before:
                last = before[-1]
                squared = slow_variance(found[last.path] * last.x) + slow_variance(last.f)
        else:
            squared = math.fsum(slow_variance(earlier.f) for earlier in before)
            if omega == CLINIC_AND_PAPER[1]:
                squared += slow_variance((before or [record])[0].x)
            elif not before:
                squared = 1.0
        found[place.path] = math.sqrt(squared)
        rows.append((found[place.path], slow_variance(record.x), slow_variance(record.f)))
    return rows


@pytest.mark.parametrize("omega", CLINIC_AND_PAPER, ids=["clinic", "embedding", "one"])
@pytest.mark.parametrize("architecture", ["encoder_only", "decoder_only", "encoder_decoder"])
def test_agrees_with_the_slow_version(architecture: str, omega: OmegaSpec) -> None:
    spec = small(architecture, scheme="admin", vocab_size=20)
    model, batch = build_transformer(spec, seed=0), drawn(spec, count=2, length=4)
    fast = profiled(spec, model, batch, omega=omega)
    for found, slow in zip(fast, slow_omegas(model, batch.inputs, omega), strict=True):
        measured = (found.omega, found.shortcut_variance, found.branch_variance)
        assert measured == pytest.approx(slow, rel=1e-5)


def test_closed_forms_count_the_sublayers_of_their_own_stack() -> None:
    omega = ClosedFormOmega(convention="closed_form", scale=OutputChangeScale.LOGARITHMIC)
    found = profiled(small(scheme="admin"), omega=omega)
    assert [p.omega for p in found] == [closed_form_omega(4, omega.scale)] * 4 + [
        closed_form_omega(6, omega.scale)
    ] * 6


def test_dropout_raises_the_branch_variances() -> None:
    spec = small(scheme="admin", dropout=0.5)
    active, off = profiled(spec), profiled(spec, omega=WITHOUT_DROPOUT)
    # A kept element is scaled by 1 / (1 - p), so that E[f^2] doubles at p = 1/2.
    assert active[0].branch_variance > 1.5 * off[0].branch_variance


def test_a_stack_that_takes_no_omegas_runs_as_it_is() -> None:
    spec = small(scheme={"encoder": "admin", "decoder": "pre_ln"})
    found = profiled(spec, admin_stacks=[Stack.ENCODER])
    assert all((p.omega is None) == (p.branch.stack is Stack.DECODER) for p in found)


@pytest.mark.parametrize(("scheme", "gain"), [("deepnorm", None), ("rezero", 0.0)])
def test_the_dependency_is_taken_where_the_branch_is_added(scheme: str, gain: float | None) -> None:
    spec = small("encoder_only", scheme=scheme)
    model = build_transformer(spec, seed=0)
    batch = drawn(spec)
    found = profiled(spec, model, batch, admin_stacks=[], omega=WITHOUT_DROPOUT)
    for p, slow in zip(found, slow_pass(model, batch.inputs), strict=True):
        entering = slow_variance(slow.f) if gain is None else 0.0
        assert p.sum_variance == pytest.approx(slow_variance(slow.total), rel=1e-5)
        assert p.dependency == pytest.approx(entering / slow_variance(slow.total), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was_found(training: bool) -> None:
    spec = small(scheme="admin")
    model = build_transformer(spec, seed=0).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)

    profiled(spec, model)

    assert torch.equal(torch.rand(3), expected)
    assert model.training is training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_masked_padding_changes_no_variance() -> None:
    """A padded sequence is profiled like the same sequence without its padding."""
    spec = small("encoder_only", scheme="admin")
    model = build_transformer(spec, seed=0)
    short = drawn(spec, count=1, length=6)
    source = torch.cat([short.inputs["source"], torch.zeros(1, 3, dtype=torch.long)], dim=1)
    padded = Batch(
        inputs={"source": source, "source_padding": torch.arange(9)[None] >= 6},
        targets=source,
    )
    masked = WITHOUT_DROPOUT.model_copy(update={"padding": Padding.MASKED})

    expected = profiled(spec, model, short, omega=WITHOUT_DROPOUT)
    found = profiled(spec, model, padded, omega=masked)
    counted = profiled(spec, model, padded, omega=WITHOUT_DROPOUT)

    assert [p.omega for p in found] == pytest.approx([p.omega for p in expected], rel=1e-5)
    assert [p.omega for p in counted] != pytest.approx([p.omega for p in expected], rel=1e-5)


def test_bfloat16_finds_the_omegas_of_float32() -> None:
    spec = small(scheme="admin", dropout=0.0)
    model = build_transformer(spec, seed=0)
    expected = [p.omega for p in profiled(spec, model)]
    found = [p.omega for p in profiled(spec, model.bfloat16())]
    assert found == pytest.approx(expected, rel=0.02)


class TestSeveralPasses:
    def repeated(self, omega: OmegaSpec, *, seed: int = 0) -> list[BranchProfile]:
        spec = small(scheme="admin")
        model = build_transformer(spec, seed=seed)
        return profile_repeatedly(
            model,
            residual_branches(model),
            omega=omega,
            admin_stacks=list(spec.layers),
            seed=seed,
            make_model=lambda own: build_transformer(spec, seed=own),
            make_batch=lambda own, step: make_batch(
                UNIFORM, spec, batch_size=2, sequence_length=6, seed=own, step=step
            ),
        )

    def test_one_pass_is_what_a_single_profile_finds(self) -> None:
        spec = small(scheme="admin")
        alone = profiled(spec, batch=drawn(spec, count=2))
        for found, expected in zip(self.repeated(ClinicOmega()), alone, strict=True):
            assert replace(found, branch=expected.branch) == expected
            assert found.omega_sem is None
            assert found.branch_variance_sem is not None

    def test_models_and_batches_are_averaged(self) -> None:
        both = self.repeated(ClinicOmega(batches=2, seeds=2))
        singles = [self.repeated(ClinicOmega(batches=2), seed=seed) for seed in (0, 1)]
        for i, found in enumerate(both):
            a, b = (float(single[i].branch_variance) for single in singles)
            assert found.branch_variance == pytest.approx((a + b) / 2)
            assert found.branch_variance_sem == pytest.approx(abs(a - b) / 2)

    def test_no_model_but_the_first_outlives_its_passes(self) -> None:
        """Or three models of 100 + 100 layers would take 9 GiB at once."""
        spec = small(scheme="admin")
        first = build_transformer(spec, seed=0)
        alive: weakref.WeakSet[Transformer] = weakref.WeakSet()

        def make_model(own_seed: int) -> Transformer:
            assert len(alive) == 0
            alive.add(made := build_transformer(spec, seed=own_seed))
            return made

        found = profile_repeatedly(
            first,
            branches := residual_branches(first),
            omega=ClinicOmega(seeds=3),
            admin_stacks=list(spec.layers),
            seed=0,
            make_model=make_model,
            make_batch=lambda own, step: drawn(spec, seed=own),
        )
        assert len(alive) == 0
        assert [row.branch for row in found] == branches

    def test_omegas_are_averaged_by_their_squares(self) -> None:
        of = replace(profiled(small(scheme="admin"))[1], omega=None)
        found = average([[[replace(of, omega=1.0)], [replace(of, omega=7.0)]]])[0]
        assert found.omega == pytest.approx(5.0)
        assert found.omega_sem == pytest.approx(24 / (2 * 5))  # squares 1 and 49, 25 +- 24

    def test_a_first_omega_of_one_has_no_error(self) -> None:
        found = self.repeated(ClinicOmega(batches=3))
        assert (found[0].omega, found[0].omega_sem) == (1.0, 0.0)
        assert all((p.omega_sem or 0) > 0 for p in found if p.branch.index > 1)


class TestWhatCannotBeProfiled:
    def test_a_dead_branch_is_named(self) -> None:
        spec = small(scheme="admin")
        model = build_transformer(spec, seed=0)
        torch.nn.init.zeros_(
            model.get_parameter("decoder.layers.1.feed_forward.branch.input.weight")
        )
        with pytest.raises(DegenerateBranchError, match=r"decoder\.layers\.1\.feed_forward.*0\.0"):
            profiled(spec, model)

    def test_a_broken_branch_is_named(self) -> None:
        spec = small(scheme="admin")
        model = build_transformer(spec, seed=0)
        weight = model.get_parameter("encoder.layers.1.self_attention.branch.value.weight")
        torch.nn.init.constant_(weight, math.inf)
        with pytest.raises(DegenerateBranchError, match=r"encoder\.layers\.1\.self_attention"):
            profiled(spec, model)

    def test_overflow_of_half_precision_is_called_that(self) -> None:
        spec = small("encoder_only", scheme="admin")
        model = build_transformer(spec, seed=0)
        with torch.no_grad():
            model.get_parameter("encoder.layers.0.feed_forward.branch.output.weight").mul_(6e4)
        with pytest.raises(NonFiniteError, match=r"layers\.0\.feed_forward.*float16"):
            profiled(spec, model.half())

    @pytest.mark.parametrize("shape", [(0, 6), (3, 0)])
    def test_an_empty_batch_is_refused(self, shape: tuple[int, int]) -> None:
        spec = small("encoder_only", scheme="admin")
        tokens = torch.zeros(shape, dtype=torch.long)
        with pytest.raises(EmptyBatchError, match="source"):
            profiled(spec, batch=Batch(inputs={"source": tokens}, targets=tokens))

    @pytest.mark.parametrize("token", [-1, 256])
    def test_a_token_outside_the_vocabulary_is_named(self, token: int) -> None:
        spec = small("encoder_only", scheme="admin")
        tokens = torch.full((2, 6), 7)
        tokens[1, 3] = token
        with pytest.raises(UnknownTokenError, match=f"source holds the token {token},"):
            profiled(spec, batch=Batch(inputs={"source": tokens}, targets=tokens))

    def test_a_batch_of_padding_alone_has_no_variance(self) -> None:
        spec = small("decoder_only", scheme="admin")
        batch = drawn(spec)
        target = batch.inputs["target"]
        padding = torch.ones_like(target, dtype=torch.bool)
        batch = Batch(inputs={"target": target, "target_padding": padding}, targets=target)
        with pytest.raises(DegenerateBranchError, match=r"decoder\.layers\.0\.self_attention"):
            profiled(spec, batch=batch, omega=ClinicOmega(padding=Padding.MASKED))

    def test_a_single_token_has_the_variance_of_its_features_and_no_standard_error(self) -> None:
        """Degenerate only for a variance per token position, which Var here is not."""
        spec = small(scheme="admin")
        for found in profiled(spec, batch=drawn(spec, count=1, length=1)):
            assert 0 < found.branch_variance < math.inf
            assert 0 < (found.omega or 0) < math.inf
            assert found.branch_variance_sem is None

    def test_a_dead_embedding_is_no_first_value(self) -> None:
        spec = small("encoder_only", scheme="admin", positions="rotary", dropout=0.0)
        model = build_transformer(spec, seed=0)
        torch.nn.init.zeros_(model.get_parameter("encoder.embedding.tokens.weight"))
        with torch.no_grad():  # so that the branch itself lives
            model.get_parameter("encoder.layers.0.self_attention.branch.output.bias").normal_()
        with pytest.raises(DegenerateBranchError, match=r"encoder\.embedding"):
            profiled(spec, model, omega=CLINIC_AND_PAPER[1])
