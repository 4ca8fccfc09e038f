from collections.abc import Callable
from typing import NamedTuple, cast

import pytest

from admin_core.merge_patch import merge_patch
from admin_core.report import Prescription
from admin_core.spec import Scheme, Subject
from admin_core.verdict.failure_model import failure_model
from admin_core.verdict.forecast import Forecaster, patched
from admin_core.verdict.prescriptions import LEVEL, candidates, prescribe


def subject(scheme: object = "post_ln", **training: object) -> Subject:
    return Subject.model_validate(
        {
            "model": {
                "architecture": "encoder_decoder",
                "encoder_layers": 4,
                "decoder_layers": 4,
                "d_model": 64,
                "num_heads": 2,
                "scheme": scheme,
            },
            "training": {"learning_rate": 8e-3, "warmup_steps": 10, "steps": 200, **training},
        }
    )


class TestCandidates:
    def test_begin_with_admin_where_a_stack_is_post_ln(self) -> None:
        first = next(candidates(subject()))
        assert first.patch == {"model": {"scheme": Scheme.ADMIN}}
        assert "Admin in the encoder and the decoder" in first.change

    def test_leave_a_stack_alone_that_is_not_post_ln(self) -> None:
        first = next(candidates(subject({"encoder": "post_ln", "decoder": "pre_ln"})))
        assert first.patch["model"]["scheme"] == {"encoder": "admin", "decoder": "pre_ln"}

    @pytest.mark.parametrize("scheme", ["post_ln", "pre_ln", "admin", "rezero"])
    def test_are_patches_that_can_be_posted_as_they_are(self, scheme: str) -> None:
        given = subject(scheme)
        for candidate in candidates(given):
            changed = patched(given, candidate.patch)
            assert changed != given
            body = merge_patch(given.model_dump(mode="json"), candidate.patch)
            assert Subject.model_validate(body) == changed

    def test_offer_no_admin_and_no_pre_ln_to_a_pre_ln_model(self) -> None:
        assert not [c for c in candidates(subject("pre_ln")) if "model" in c.patch]

    def test_do_not_make_a_warm_up_of_most_of_the_run(self) -> None:
        warmups = [
            c.patch["training"]["warmup_steps"]
            for c in candidates(subject(warmup_steps=90))
            if "warmup_steps" in c.patch.get("training", {})
        ]
        assert all(steps <= 100 for steps in warmups)

    def test_end_with_a_usual_recipe_for_what_nothing_smaller_mends(self) -> None:
        *_, last = candidates(subject(optimizer="sgd", momentum=0.9, learning_rate=1.0))
        assert last.patch["training"]["optimizer"] == "adam"
        assert last.patch["model"] == {"scheme": Scheme.PRE_LN}

    @pytest.mark.parametrize(("steps", "longer"), [(200, {400}), (400, {600}), (600, set())])
    def test_offer_a_longer_run_within_the_calibrated_range_alone(
        self, steps: int, longer: set[int]
    ) -> None:
        assert failure_model().calibrated["training.steps"].high == 600
        trainings = [c.patch.get("training", {}) for c in candidates(subject(steps=steps))]
        assert {t["steps"] for t in trainings if "steps" in t} == longer


class Foretold(NamedTuple):
    failure_probability: float


class Foreteller:
    """Knows the future from the learning rate and the number of probes alone."""

    def __init__(self, probability: Callable[[float, int], float]) -> None:
        self.probability = probability

    def forecast(self, subject: Subject, *, probes: int = 1) -> Foretold:
        return Foretold(self.probability(subject.training.learning_rate, probes))


def prescribed(probability: Callable[[float, int], float]) -> list[Prescription]:
    return prescribe(subject(), cast("Forecaster", Foreteller(probability)))


class TestPrescriptions:
    def test_are_the_smallest_changes_that_are_foretold_to_train(self) -> None:
        found = prescribed(lambda rate, _: 0.05 if rate < 4e-3 else 0.9)
        assert len(found) == 3
        assert found[0].patch == {"training": {"learning_rate": 2.67e-3}}
        assert all(each.failure_probability == 0.05 for each in found)

    def test_are_none_where_nothing_comes_below_the_level(self) -> None:
        assert prescribed(lambda *_: LEVEL) == []

    def test_are_not_what_one_lucky_probe_speaks_for(self) -> None:
        assert prescribed(lambda _, probes: 0.05 if probes == 1 else 0.3) == []
        assert len(prescribed(lambda _, probes: 0.3 if probes == 1 else 0.05)) == 3

    def test_are_not_looked_for_where_the_first_probe_is_hopeless(self) -> None:
        asked: list[int] = []

        def probability(_: float, probes: int) -> float:
            asked.append(probes)
            return 0.5

        assert prescribed(probability) == []
        assert set(asked) == {1}
