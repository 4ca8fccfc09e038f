import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from admin_core.diagnosis import Stages, diagnose_spec
from admin_core.errors import (
    AnalysisCancelledError,
    DegenerateBranchError,
    InvalidSpecError,
    NoSuchDeviceError,
)
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.progress import Progress
from admin_core.report import Outcome, Report
from admin_core.spec import Analysis, DiagnosisSpec, TransformerSpec
from tests.admin_core.specs import EVERY_PART, small

SECTIONS = {
    Analysis.OMEGA: {"omega"},
    Analysis.AMPLIFICATION: {"amplification"},
    Analysis.DEPENDENCY: {"dependency"},
    Analysis.GRADIENTS: {"gradients", "stability_rules", "numeric_range"},
    Analysis.VERDICT: {"verdict"},
    Analysis.EDGES: {"verdict"},
}


def request(**changes: Any) -> DiagnosisSpec:
    fields: dict[str, Any] = {
        "model": small().model_dump(),
        "training": {"batch_size": 4, "sequence_length": 16},
    }
    return DiagnosisSpec.model_validate(fields | changes)


def without_durations(report: Report) -> dict[str, Any]:
    body = report.model_dump(mode="json")
    body["environment"].pop("durations_seconds")
    return body


class TestAReport:
    @pytest.mark.parametrize("architecture", ["encoder_decoder", "encoder_only", "decoder_only"])
    @pytest.mark.parametrize("part", EVERY_PART, ids=str)
    def test_is_made_of_every_model_and_survives_json(
        self, architecture: str, part: dict[str, Any]
    ) -> None:
        model = small(architecture, **part)
        report = diagnose_spec(request(model=model.model_dump(exclude_none=True)))
        text = report.model_dump_json()
        assert Report.model_validate_json(text) == report
        json.loads(text, parse_constant=pytest.fail)  # called for NaN and infinity

    def test_is_the_same_for_the_same_spec(self) -> None:
        one, two = diagnose_spec(request()), diagnose_spec(request())
        assert without_durations(one) == without_durations(two)

    def test_is_another_for_another_seed(self) -> None:
        one, two = diagnose_spec(request()), diagnose_spec(request(seed=1))
        assert one.branches != two.branches

    @pytest.mark.parametrize("analysis", list(Analysis))
    def test_holds_what_was_asked_for_and_nothing_else(self, analysis: Analysis) -> None:
        report = diagnose_spec(request(analyses=[analysis]))
        asked = {name for name in set().union(*SECTIONS.values()) if getattr(report, name)}
        assert asked == SECTIONS[analysis]
        assert len(report.branches) == 10

    def test_says_what_its_numbers_depend_on(self) -> None:
        environment = diagnose_spec(request(seed=5)).environment
        assert environment.seed == 5
        assert environment.device == "cpu"
        assert environment.num_tokens == 64
        assert environment.data_sha256 is not None
        assert set(environment.durations_seconds) == {
            "build",
            "branches",
            "omega",
            "dependency",
            "gradients",
            "output change",
            "probe",
        }


def test_omega_alone_costs_one_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    decode = Transformer.decode

    def counted(*arguments: Any, **named: Any) -> Any:
        passes.append(1)
        return decode(*arguments, **named)

    monkeypatch.setattr(Transformer, "decode", counted)
    diagnose_spec(request(analyses=["omega"]))
    assert len(passes) == 1


class TestTheVerdict:
    """On models of the paper, from measurement: nothing in it knows the scheme's name."""

    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize(
        ("scheme", "outcome"),
        [
            ("post_ln", Outcome.UNSTABLE),
            ({"encoder": "post_ln", "decoder": "pre_ln"}, Outcome.UNSTABLE),
            ("pre_ln", Outcome.STABLE),
            ("admin", Outcome.STABLE),
        ],
        ids=str,
    )
    def test_of_18_layers(self, scheme: Any, outcome: Outcome, seed: int) -> None:
        model = {
            "architecture": "encoder_decoder",
            "encoder_layers": 18,
            "decoder_layers": 18,
            "d_model": 64,
            "num_heads": 2,
            "scheme": scheme,
        }
        training = {"batch_size": 8, "sequence_length": 32}
        spec = request(model=model, training=training, seed=seed, analyses=["verdict"])
        verdict = diagnose_spec(spec).verdict
        assert verdict is not None
        assert verdict.outcome is outcome


class TestProgress:
    def test_rises_to_the_whole(self) -> None:
        seen: list[Progress] = []
        diagnose_spec(request(), on_progress=seen.append)
        shares = [progress.share for progress in seen]
        assert shares == sorted(shares)
        assert shares[0] == 0
        assert shares[-1] == 1

    def test_rises_through_a_probe_of_any_length_and_stays_below_its_end(self) -> None:
        seen: list[Progress] = []
        stages = Stages({"build": 1.0, "probe": 99.0}, seen.append)
        with stages.stage("build"):
            pass
        with stages.stage("probe"):
            for _ in range(200):
                stages.step()
        shares = [progress.share for progress in seen]
        assert shares == sorted(shares)
        assert shares[10] > shares[3] > 0
        assert 0.99 < shares[-1] < 1

    def test_may_stop_the_work(self) -> None:
        def stop(progress: Progress) -> None:
            if progress.stage == "gradients":
                raise AnalysisCancelledError("cancelled")

        with pytest.raises(AnalysisCancelledError):
            diagnose_spec(request(), on_progress=stop)


class TestWhatCannotBeDiagnosed:
    def test_a_device_that_is_not_there_is_named(self) -> None:
        with pytest.raises(NoSuchDeviceError, match="cuda:97"):
            diagnose_spec(request(), device="cuda:97")

    def test_a_branch_that_dropout_silences_is_named(self) -> None:
        model = small("encoder_only", dropout=1 - 1e-9).model_dump(exclude_none=True)
        with pytest.raises(DegenerateBranchError, match="encoder.layers.0.self_attention"):
            diagnose_spec(request(model=model))


class TestGivenWeights:
    def test_are_diagnosed_without_omegas(self, tmp_path: Path) -> None:
        spec = request(model=small(scheme="admin").model_dump(exclude_none=True))
        assert isinstance(spec.model, TransformerSpec)
        trained = build_transformer(spec.model, seed=7)
        path = tmp_path / "trained.safetensors"
        save_file({name: p.detach() for name, p in trained.named_parameters()}, path)
        report = diagnose_spec(spec, weights=path)
        assert report.omega is not None
        assert not report.omega.applicable
        assert "trained" in (report.omega.reason or "")
        assert all(branch.omega is None for branch in report.branches)
        fresh = diagnose_spec(spec)
        assert report.dependency != fresh.dependency

    def test_are_one_model_and_no_average(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSpecError, match=r"omega\.seeds"):
            diagnose_spec(request(omega={"seeds": 2}), weights=tmp_path / "any.safetensors")
