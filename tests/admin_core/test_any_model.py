"""The diagnosis of networks whose branches are found: of Transformers, and of anybody's."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from admin_core.data.batch import Batch
from admin_core.data.batches import make_batch
from admin_core.diagnosis import diagnose, diagnose_spec
from admin_core.errors import ForwardError, InvalidSpecError, UnavailableError
from admin_core.models.huggingface import build_huggingface
from admin_core.models.transformer import build_transformer
from admin_core.report import Report
from admin_core.spec import Analysis, ClinicOmega, DiagnosisSpec, TransformerSpec
from tests.admin_core.huggingface import (
    BART,
    BERT,
    CLIP,
    GPT2,
    MAMBA,
    RESNET,
    SMALL,
    T5,
    VIT,
    WAV2VEC2,
    WHISPER,
    request,
    spec_of,
)
from tests.admin_core.specs import small


class TestTheBuiltInTransformerAsANetworkOfSomebody:
    """What is found must be what is known."""

    @pytest.mark.parametrize("scheme", ["post_ln", "pre_ln", "deepnorm", "sandwich_ln", "rezero"])
    @pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder_only"])
    def test_gives_the_same_report(self, scheme: str, architecture: str) -> None:
        spec = DiagnosisSpec.model_validate(
            {
                "model": small(architecture, scheme=scheme).model_dump(exclude_none=True),
                "training": {"batch_size": 4, "sequence_length": 16},
            }
        )
        if scheme == "rezero":  # its gates hide what the branches do
            spec = spec.model_copy(update={"analyses": (Analysis.OMEGA, Analysis.DEPENDENCY)})
        known, found = self.diagnosed(spec)
        assert found.unavailable == {}
        assert len(found.branches) == len(known.branches)
        for one, other in zip(known.branches, found.branches, strict=True):
            assert (one.stack, one.index, one.role, one.norm_placement) == (
                other.stack,
                other.index,
                other.role,
                other.norm_placement,
            )
            for quantity in ("shortcut_variance", "branch_variance", "dependency", "omega"):
                expected = getattr(one, quantity)
                assert getattr(other, quantity) == (
                    None if expected is None else pytest.approx(expected, rel=1e-5)
                )
        assert known.dependency is not None
        assert found.dependency is not None
        for stack, section in known.dependency.items():
            beta = torch.tensor(found.dependency[stack].beta)
            torch.testing.assert_close(beta, torch.tensor(section.beta), rtol=0, atol=1e-5)
            assert found.dependency[stack].predicted[-1] == pytest.approx(section.predicted[-1])
        if known.amplification is None or found.amplification is None:
            return
        for stack, change in known.amplification.update.items():
            assert found.amplification.update[stack].output_change == pytest.approx(
                change.output_change, rel=1e-4
            )
        assert known.gradients is not None
        assert found.gradients is not None
        assert found.gradients.loss == pytest.approx(known.gradients.loss)
        for before, after in zip(known.gradients.branches, found.gradients.branches, strict=True):
            assert after.gradient_norm == pytest.approx(before.gradient_norm, rel=1e-4)

    def diagnosed(self, spec: DiagnosisSpec) -> tuple[Report, Report]:
        assert isinstance(spec.model, TransformerSpec)
        model = build_transformer(spec.model, seed=spec.seed)
        batch = make_batch(spec.data, spec.model, batch_size=4, sequence_length=16, seed=spec.seed)
        found = diagnose(model, batch, training=spec.training, analyses=spec.analyses)
        return diagnose_spec(spec), found


class TestAnArchitectureOfTransformers:
    @pytest.mark.parametrize(
        ("config", "branches"),
        [
            (BERT, {"encoder": 4}),
            (GPT2, {"decoder": 4}),
            (T5, {"encoder": 4, "decoder": 6}),
            (BART, {"encoder": 4, "decoder": 6}),
            (WHISPER, {"encoder": 4, "decoder": 6}),
            (VIT, {"encoder": 4}),
            (WAV2VEC2, {"encoder": 4}),
            (MAMBA, {"decoder": 2}),
            ({"model_type": "gpt_neox", "vocab_size": 300, **SMALL}, {"decoder": 4}),
            ({"model_type": "albert", "vocab_size": 300, **SMALL}, {"encoder": 4}),
            ({"model_type": "deberta-v2", "vocab_size": 300, **SMALL}, {"encoder": 4}),
        ],
        ids=lambda value: value.get("model_type"),
    )
    def test_has_the_whole_report(self, config: dict[str, Any], branches: dict[str, int]) -> None:
        report = diagnose_spec(request(config))
        counted: dict[str, int] = {}
        for branch in report.branches:
            counted[branch.stack] = counted.get(branch.stack, 0) + 1
            assert branch.index == counted[branch.stack]
        assert counted == branches
        for part in (
            *(report.omega, report.amplification, report.dependency, report.gradients),
            *(report.stability_rules, report.numeric_range, report.verdict),
        ):
            assert part is not None
        assert report.findings == []
        assert report.environment.num_parameters > 1_000
        assert Report.model_validate_json(report.model_dump_json()) == report

    def test_gives_the_same_answer_twice(self) -> None:
        first, again = diagnose_spec(request(BERT)), diagnose_spec(request(BERT))
        times: dict[str, Any] = {"durations_seconds": {}}
        assert first.model_copy(
            update={"environment": first.environment.model_copy(update=times)}
        ) == again.model_copy(update={"environment": again.environment.model_copy(update=times)})

    def test_has_two_towers_where_it_contrasts_images_with_texts(self) -> None:
        report = diagnose_spec(request(CLIP))
        assert len(dict.fromkeys(branch.stack for branch in report.branches)) == 2
        assert report.verdict is not None

    def test_that_is_no_chain_of_states_says_what_it_has_no_dependency_for(self) -> None:
        report = diagnose_spec(request(RESNET | {"image_size": 32}))
        assert report.dependency is None
        assert "no sub-layer" in report.unavailable["dependency"]
        assert len(report.branches) == 2

    def test_with_stages_is_judged_by_its_update_alone(self) -> None:
        report = diagnose_spec(request(RESNET | {"image_size": 32}))
        assert report.verdict is not None
        assert [reason.rule for reason in report.verdict.reasons] == ["update"]
        assert "stages" in report.unavailable["verdict.amplification"]
        assert report.amplification is not None

    def test_with_stages_and_without_a_loss_has_no_verdict(self) -> None:
        model = build_huggingface(spec_of(RESNET), seed=0)
        report = diagnose(model, {"pixel_values": torch.randn(2, 3, 32, 32)})
        assert report.verdict is None
        assert "none of the rules" in report.unavailable["verdict"]

    def test_shows_the_logits_of_its_attention(self) -> None:
        report = diagnose_spec(request(BERT))
        assert report.numeric_range is not None
        assert [len(seen.largest_logit) for seen in report.numeric_range.attention] == [4, 4]

    def test_with_a_forward_that_raises_is_refused_with_the_module(self) -> None:
        short = BERT | {"max_position_embeddings": 4}
        with pytest.raises(ForwardError) as caught:
            diagnose_spec(request(short))
        assert caught.value.path == "bert.embeddings"

    def test_that_raises_on_numbers_alone_is_refused_with_the_module(self) -> None:
        # RoBERTa's positions begin behind its padding token, which no shape tells.
        short = {"model_type": "roberta", "vocab_size": 300, "max_position_embeddings": 16}
        with pytest.raises(ForwardError) as caught:
            diagnose_spec(request(short | SMALL))
        assert caught.value.path.startswith("roberta.embeddings")


class TestOmegas:
    def test_are_chosen_for_a_post_ln_architecture_and_leave_it_as_it_is(self) -> None:
        report = diagnose_spec(request(BERT))
        assert report.omega is not None
        assert report.omega.applicable
        assert report.branches[0].omega == 1.0
        assert all(branch.omega for branch in report.branches)

    def test_come_into_force_with_the_scheme_admin(self) -> None:
        plain, admin = diagnose_spec(request(BERT)), diagnose_spec(request(BERT, scheme="admin"))
        assert [b.omega for b in admin.branches] == [b.omega for b in plain.branches]
        omegas = 4 * SMALL["hidden_size"]
        assert admin.environment.num_parameters == plain.environment.num_parameters + omegas
        assert admin.amplification != plain.amplification

    def test_are_for_no_pre_ln_architecture(self) -> None:
        report = diagnose_spec(request(GPT2))
        assert report.omega is not None
        assert not report.omega.applicable
        assert "no norm follows the addition" in str(report.omega.reason)
        assert report.omega.comparators
        with pytest.raises(InvalidSpecError, match="no stack that takes omegas"):
            diagnose_spec(request(GPT2, scheme="admin"))

    @pytest.mark.parametrize(("config", "scheme"), [(BERT, "pre_ln"), (GPT2, "post_ln")])
    def test_another_scheme_than_the_architecture_s_own_is_refused(
        self, config: dict[str, Any], scheme: str
    ) -> None:
        with pytest.raises(InvalidSpecError, match="its library's choice") as caught:
            diagnose_spec(request(config, scheme=scheme))
        assert caught.value.field == "model.scheme"

    def test_the_architecture_s_own_scheme_may_be_named(self) -> None:
        assert diagnose_spec(request(GPT2, scheme="pre_ln", analyses=["omega"])).branches


class Mean(nn.Module):
    """Two layers without a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


class Swapped(nn.Module):
    """DeepNorm's alpha on the wrong operand."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(16) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(x + 1.68 * layer(x).relu())
        return x


class Fickle(nn.Module):
    """A block whose shortcut takes part in evaluation alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.layer(x).relu()
        return branch if self.training else x + branch


class TestANetworkOfOnesOwn:
    def test_is_left_as_it_was(self) -> None:
        model = build_huggingface(spec_of(BERT), seed=0)
        model.train()
        embeddings = model.get_submodule("bert.embeddings").eval()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        diagnose(model, {"input_ids": torch.randint(300, (2, 8))})
        assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
        assert model.training
        assert not embeddings.training
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_has_no_gradients_without_a_loss_and_a_verdict_all_the_same(self) -> None:
        model = build_huggingface(spec_of(BERT), seed=0)
        report = diagnose(model, {"input_ids": torch.randint(300, (2, 8))})
        assert report.gradients is None
        assert "targets" in report.unavailable["gradients"]
        assert report.amplification is not None
        assert report.amplification.update == {}
        assert report.verdict is not None
        assert [reason.rule for reason in report.verdict.reasons] == ["amplification"]

    def test_takes_the_loss_that_its_output_has(self) -> None:
        model = build_huggingface(spec_of(GPT2), seed=0)
        tokens = torch.randint(299, (2, 8))
        report = diagnose(model, {"input_ids": tokens, "labels": tokens})
        assert report.gradients is not None
        model.train(False)
        expected = model(input_ids=tokens, labels=tokens).loss.item()
        assert report.gradients.loss == pytest.approx(expected, rel=0.05)  # dropout

    def test_without_a_residual_addition_has_a_finding_in_place_of_branches(self) -> None:
        batch = Batch(inputs={}, arguments=(torch.randn(3, 4),), targets=torch.tensor([0, 1, 2]))
        report = diagnose(Mean(), batch)
        assert report.branches == []
        assert [finding.rule for finding in report.findings] == ["NoResidualAddition"]
        assert report.verdict is None
        assert "no residual addition" in report.unavailable["verdict"]
        assert report.gradients is not None

    def test_that_takes_another_way_in_training_is_refused_in_words(self) -> None:
        with pytest.raises(UnavailableError, match="did not take place"):
            diagnose(Fickle(), torch.randn(3, 4))

    def test_whose_scheme_is_put_together_wrongly_has_a_finding(self) -> None:
        report = diagnose(Swapped(), torch.randn(2, 5, 16), analyses=[Analysis.OMEGA])
        assert [finding.rule for finding in report.findings] == ["AlphaOnBranch"]

    def test_whose_forward_raises_is_named_by_the_module(self) -> None:
        model = nn.Sequential(nn.Linear(4, 5), nn.Linear(4, 4))
        with pytest.raises(ForwardError) as caught:
            diagnose(model, torch.randn(3, 4))
        assert caught.value.path == "1"

    def test_is_called_with_what_its_batch_holds(self) -> None:
        model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)
        x = torch.randn(2, 5, 16)
        for batch in (x, (x,), [x], {"src": x}):
            assert len(diagnose(model, batch, analyses=[Analysis.OMEGA]).branches) == 4

    def test_is_no_batch_and_no_string(self) -> None:
        with pytest.raises(TypeError, match="where a dict"):
            diagnose(Mean(), 5)
        with pytest.raises(TypeError, match=r"nn\.Module was expected"):
            diagnose("model", torch.randn(3, 4))  # type: ignore[arg-type]

    def test_cannot_be_averaged_over_others(self) -> None:
        with pytest.raises(InvalidSpecError, match="one model and one batch"):
            diagnose(Mean(), torch.randn(3, 4), omega=ClinicOmega(seeds=3))
