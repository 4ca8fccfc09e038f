import resource
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from admin_core import blocks
from admin_core.diagnosis import diagnose_spec
from admin_core.errors import AnalysisCancelledError, CheckpointError
from admin_core.models.streamed import StreamedTransformer
from admin_core.models.transformer import build_transformer
from admin_core.progress import Progress
from admin_core.report import Report
from admin_core.residual import residual_branches
from admin_core.size import Limits, check_limits, is_streamed, num_parameters, streamed_bytes
from admin_core.spec import DiagnosisSpec, TransformerSpec
from admin_core.training.checkpoints import Checkpoint
from tests.admin_core.specs import EVERY_PART, small

STREAMED = Limits(max_parameters=1, max_tokens=10**6, max_streamed_bytes=10**9)


def diagnosis(model: TransformerSpec, **changes: Any) -> DiagnosisSpec:
    fields: dict[str, Any] = {
        "model": model,
        "training": {"batch_size": 2, "sequence_length": 6},
        "amplification": {"draws": 2, "also": ["gaussian"]},
        "analyses": ["omega", "amplification"],
        "seed": 3,
    }
    return DiagnosisSpec.model_validate(fields | changes)


def assert_same_numbers(streamed: Report, whole: Report) -> None:
    assert streamed.branches == whole.branches
    assert streamed.omega == whole.omega
    assert streamed.amplification is not None
    assert whole.amplification is not None
    assert streamed.amplification.random == whole.amplification.random
    assert streamed.amplification.gaussian == whole.amplification.gaussian


class TestTheSameNumbers:
    @pytest.mark.parametrize("parts", EVERY_PART, ids=str)
    def test_as_of_the_model_held_whole_bit_for_bit(self, parts: Mapping[str, Any]) -> None:
        spec = diagnosis(small(**parts))
        assert_same_numbers(diagnose_spec(spec, limits=STREAMED), diagnose_spec(spec))

    @pytest.mark.parametrize("architecture", ["encoder_only", "decoder_only"])
    def test_in_a_model_of_one_stack(self, architecture: str) -> None:
        spec = diagnosis(small(architecture, scheme="admin"))
        assert_same_numbers(diagnose_spec(spec, limits=STREAMED), diagnose_spec(spec))

    @pytest.mark.parametrize(
        "omega",
        [
            {"seeds": 2, "batches": 2},
            {"convention": "paper", "first_value": "embedding_variance", "dropout": False},
            {"convention": "closed_form", "scale": "O(1)", "padding": "masked"},
        ],
        ids=str,
    )
    def test_by_every_convention(self, omega: Mapping[str, Any]) -> None:
        data = {"kind": "text", "name": "pydoc", "lengths": "varied"}
        spec = diagnosis(small(scheme="admin"), omega=omega, data=data)
        assert_same_numbers(diagnose_spec(spec, limits=STREAMED), diagnose_spec(spec))

    def test_where_matrices_are_drawn_in_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(blocks, "BLOCK", 100)
        spec = diagnosis(small(scheme={"encoder": "post_ln", "decoder": "t_fixup"}))
        assert_same_numbers(diagnose_spec(spec, limits=STREAMED), diagnose_spec(spec))

    @pytest.mark.parametrize("ahead", [False, True])
    def test_weights_are_those_of_the_model_built_whole(self, *, ahead: bool) -> None:
        spec = small(scheme="deepnorm", tied_embeddings=False)
        branches = residual_branches(build_transformer(spec, seed=1))
        streamed = StreamedTransformer(spec, seed=1, device=torch.device("cpu"))
        streamed.ahead = ahead
        sublayers = streamed.sublayers([branch.path for branch in branches])
        for branch, sublayer in zip(branches, sublayers, strict=True):
            held = dict(sublayer.named_parameters())
            for name, weight in branch.sublayer.named_parameters():
                assert torch.equal(held[name], weight)
            if not ahead:
                held_elsewhere = set(streamed.shapes.parameters()) - set(held.values())
                assert all(weight.is_meta for weight in held_elsewhere)
        assert all(weight.is_meta for weight in streamed.shapes.parameters())

    def test_what_is_drawn_ahead_gives_the_same_numbers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = diagnosis(small(scheme="admin"))
        expected = diagnose_spec(spec, limits=STREAMED)
        made = StreamedTransformer.__init__

        def ahead(self: StreamedTransformer, *args: Any, **named: Any) -> None:
            made(self, *args, **named)
            self.ahead = True

        monkeypatch.setattr(StreamedTransformer, "__init__", ahead)
        assert_same_numbers(diagnose_spec(spec, limits=STREAMED), expected)


class TestTheReport:
    def test_says_that_the_model_was_streamed_and_what_that_leaves_out(self) -> None:
        spec = DiagnosisSpec(model=small())
        report = diagnose_spec(spec, limits=STREAMED)
        assert report.environment.streamed
        assert report.environment.num_parameters == num_parameters(spec.model)
        assert report.gradients is None
        assert report.dependency is None
        assert {"gradients", "dependency", "verdict.failure_probability"} <= set(report.unavailable)

    def test_judges_by_growth_alone(self) -> None:
        report = diagnose_spec(DiagnosisSpec(model=small()), limits=STREAMED)
        assert report.verdict is not None
        assert report.verdict.failure_probability is None
        assert [reason.rule for reason in report.verdict.reasons] == ["amplification"] * 2

    def test_of_omegas_alone_holds_no_output_change(self) -> None:
        report = diagnose_spec(diagnosis(small(), analyses=["omega"]), limits=STREAMED)
        assert report.amplification is None
        assert report.verdict is None


class TestACheckpoint:
    def stop_and_go_on(self, spec: DiagnosisSpec, path: Path, *, calls: int) -> Report:
        """The report of attempts that each end after so many words of progress."""
        checkpoint = Checkpoint(path=path, every_seconds=0)
        for _ in range(100):
            counter = count(1)

            def stop(_: Progress, counter: "count[int]" = counter) -> None:
                if next(counter) > calls:
                    raise AnalysisCancelledError("stopped by the test")

            try:
                return diagnose_spec(spec, limits=STREAMED, checkpoint=checkpoint, on_progress=stop)
            except AnalysisCancelledError:
                continue
        raise AssertionError("the work never ended")

    def test_goes_on_at_its_layer_to_the_same_numbers(self, tmp_path: Path) -> None:
        spec = diagnosis(small(scheme="admin"), omega={"seeds": 2, "batches": 2})
        # A layer of the decoder takes more than half of these.
        report = self.stop_and_go_on(spec, tmp_path / "profile.safetensors", calls=24)
        assert_same_numbers(report, diagnose_spec(spec))

    def test_of_another_spec_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "profile.safetensors"
        self.stop_and_go_on(diagnosis(small()), path, calls=1000)
        checkpoint = Checkpoint(path=path)
        with pytest.raises(CheckpointError, match="another run"):
            diagnose_spec(diagnosis(small(d_ff=8)), limits=STREAMED, checkpoint=checkpoint)

    def test_progress_names_the_layer_and_never_falls(self) -> None:
        told: list[Progress] = []
        diagnose_spec(diagnosis(small()), limits=STREAMED, on_progress=told.append)
        assert told[0] == Progress("encoder layer 1 of 2", 0.0)
        assert "decoder layer 2 of 2" in {progress.stage for progress in told}
        shares = [progress.share for progress in told]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0


class TestTheLimits:
    GPT3 = TransformerSpec.model_validate(
        {
            "architecture": "decoder_only",
            "decoder_layers": 96,
            "d_model": 12_288,
            "num_heads": 96,
            "vocab_size": 50_257,
            "positions": "learned",
            "max_positions": 2_048,
        }
    )
    SERVICE = Limits(max_parameters=10**9, max_tokens=65_536, max_streamed_bytes=10 * 2**30)

    def test_the_shape_of_gpt3_is_streamed_by_itself(self) -> None:
        spec = DiagnosisSpec(model=self.GPT3)
        assert num_parameters(self.GPT3) == pytest.approx(175e9, rel=0.003)
        check_limits(spec, self.SERVICE)
        assert is_streamed(spec, self.SERVICE)

    def test_a_model_that_fits_is_held_whole(self) -> None:
        assert not is_streamed(DiagnosisSpec(model=small()), self.SERVICE)

    def test_memory_is_that_of_a_sublayer_whatever_the_depth(self) -> None:
        deep, shallow = (small("decoder_only", decoder_layers=n) for n in (5_000, 1))
        assert streamed_bytes(diagnosis(deep), deep) == streamed_bytes(diagnosis(shallow), shallow)


@pytest.mark.slow
def test_a_thousand_sublayers_are_diagnosed_and_their_report_stays_linear() -> None:
    model = small("decoder_only", decoder_layers=500, d_model=4, num_heads=1, scheme="admin")
    spec = diagnosis(model, analyses=["omega", "amplification"], amplification={"draws": 1})
    report = diagnose_spec(spec, limits=STREAMED)
    assert len(report.branches) == 1_000
    assert len(report.model_dump_json()) < 1_000 * 1_500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20
