from collections.abc import Callable
from typing import NamedTuple, cast

import pytest

from admin_core.merge_patch import merge_patch
from admin_core.report import Prescription
from admin_core.spec import HuggingFaceSpec, Scheme, Subject
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
        offered = candidates(subject("pre_ln"))
        assert not [c for c in offered if "scheme" in c.patch.get("model", {})]

    def test_do_not_make_a_warm_up_of_most_of_the_run(self) -> None:
        warmups = [
            c.patch["training"]["warmup_steps"]
            for c in candidates(subject(warmup_steps=90))
            if "warmup_steps" in c.patch.get("training", {})
        ]
        assert all(steps <= 100 for steps in warmups)

    def test_try_a_usual_recipe_before_another_network(self) -> None:
        found = list(candidates(subject(optimizer="sgd", momentum=0.9, learning_rate=1.0)))
        first = next(i for i, c in enumerate(found) if "optimizer" in c.patch.get("training", {}))
        networks = [
            i
            for i, c in enumerate(found)
            if {"positions", "encoder_layers"} & c.patch.get("model", {}).keys()
        ]
        assert found[first].patch.keys() == {"training"}
        assert found[first].patch["training"]["optimizer"] == "adam"
        assert networks
        assert first < min(networks)

    def test_end_with_all_of_it_in_a_shallower_network(self) -> None:
        *_, last = candidates(subject(optimizer="sgd", momentum=0.9, learning_rate=1.0))
        assert last.patch["training"]["optimizer"] == "adam"
        assert last.patch["training"]["steps"] == 400
        assert last.patch["model"] == {
            "scheme": Scheme.PRE_LN,
            "positions": "rotary",
            "encoder_layers": 2,
            "decoder_layers": 2,
        }
        assert (
            "encoder_layers = 2 in place of 4 and decoder_layers = 2 in place of 4" in last.change
        )

    def test_shorten_the_stacks_that_a_config_of_transformers_names(self) -> None:
        config = {"model_type": "bart", "encoder_layers": 12, "decoder_layers": 3, "d_model": 64}
        given = Subject.model_validate({"model": {"kind": "huggingface", "config": config}})
        *_, last = candidates(given)
        assert last.patch["model"] == {"config": {"encoder_layers": 4, "decoder_layers": 2}}
        changed = patched(given, last.patch).model
        assert isinstance(changed, HuggingFaceSpec)
        assert changed.config == config | last.patch["model"]["config"]

    def test_are_offered_once_each(self) -> None:
        patches = [str(c.patch) for c in candidates(subject("pre_ln"))]
        assert len(set(patches)) == len(patches)

    @pytest.mark.parametrize(("steps", "longer"), [(200, 400), (400, 600)])
    def test_offer_a_longer_run_within_the_calibrated_range_alone(
        self, steps: int, longer: int
    ) -> None:
        assert int(failure_model().calibrated["training.steps"].high) == 600
        assert lengths(subject(steps=steps)) == {longer}
        assert lengths(subject(steps=600)) == set()


def lengths(given: Subject) -> set[int]:
    """What is offered in place of the subject's steps."""
    trainings = [c.patch.get("training", {}) for c in candidates(given)]
    return {training["steps"] for training in trainings if "steps" in training}


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
