import pytest

from admin_core.diagnosis import diagnose_spec
from admin_core.report import Outcome, Quantity, Verdict
from admin_core.spec import DiagnosisSpec, Subject
from admin_core.verdict.forecast import outside_calibration


def spec(scheme: str, layers: int, learning_rate: float, **rest: object) -> DiagnosisSpec:
    return DiagnosisSpec.model_validate(
        {
            "model": {
                "architecture": "decoder_only",
                "decoder_layers": layers,
                "d_model": 48,
                "num_heads": 2,
                "scheme": scheme,
            },
            "training": {
                "learning_rate": learning_rate,
                "warmup_steps": 10,
                "steps": 200,
                "batch_size": 8,
                "sequence_length": 32,
            },
            "analyses": ["verdict"],
            **rest,
        }
    )


def verdict(asked: DiagnosisSpec) -> Verdict:
    found = diagnose_spec(asked).verdict
    assert found is not None
    return found


class TestAVerdict:
    def test_calls_a_post_ln_model_at_a_high_rate_unstable_and_says_why(self) -> None:
        found = verdict(spec("post_ln", 6, 2e-2))
        assert found.outcome is Outcome.UNSTABLE
        assert found.failure_probability is not None
        assert found.failure_probability > 0.5
        assert sum(reason.share or 0 for reason in found.reasons) == pytest.approx(1)
        assert found.reasons[0].share == max(reason.share or 0 for reason in found.reasons)

    def test_calls_a_shallow_pre_ln_model_at_a_sound_rate_less_likely_to_fail(self) -> None:
        found = verdict(spec("pre_ln", 4, 3e-3))
        assert found.failure_probability is not None
        assert found.failure_probability < 0.45
        assert found.outcome is not Outcome.UNSTABLE

    def test_is_the_same_for_the_same_spec(self) -> None:
        asked = spec("admin", 2, 3e-3)
        assert verdict(asked) == verdict(asked)

    @pytest.mark.slow
    def test_has_edges_when_they_are_asked_for(self) -> None:
        found = verdict(spec("post_ln", 2, 3e-3, analyses=["edges"]))
        assert {edge.quantity for edge in found.edges} == set(Quantity)


class TestOutsideTheCalibratedRange:
    def test_there_is_no_probability_and_the_verdict_says_what_lies_outside(self) -> None:
        wide = spec("post_ln", 2, 1e-3)
        wide = wide.model_copy(update={"model": wide.model.model_copy(update={"d_model": 512})})
        found = verdict(wide)
        assert found.failure_probability is None
        assert "model.d_model = 512 lies outside" in found.outside_calibration[0]
        assert found.reasons[0].rule in ("amplification", "update")

    def test_lies_a_run_that_is_longer_than_those_behind_the_probability(self) -> None:
        asked = spec("post_ln", 6, 1e-3)
        longer = asked.training.model_copy(update={"warmup_steps": 4_000, "steps": 100_000})
        said = outside_calibration(Subject(model=asked.model, training=longer))
        assert [line.split(" = ")[0] for line in said] == [
            "training.steps",
            "training.warmup_steps",
        ]
        assert outside_calibration(asked) == []
