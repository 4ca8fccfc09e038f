import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from admin_core.race_spec import RaceSpec
from admin_core.spec import Scheme, StackSchemes

MODEL = {"architecture": "encoder_decoder", "encoder_layers": 2, "decoder_layers": 2}
BODY: dict[str, Any] = {
    "model": {**MODEL, "d_model": 16, "num_heads": 2},
    "training": {"steps": 100, "warmup_steps": 10},
    "arms": ["post_ln", "admin"],
}


def race(**changes: Any) -> RaceSpec:
    return RaceSpec.model_validate_json(json.dumps(BODY | changes))


def problems(**changes: Any) -> dict[str, str]:
    """The message of each field that is refused."""
    with pytest.raises(ValidationError) as caught:
        race(**changes)
    return {".".join(map(str, e["loc"])): e["msg"] for e in caught.value.errors()}


class TestArms:
    def test_may_be_named_by_their_schemes(self) -> None:
        spec = race()
        assert [arm.name for arm in spec.arms] == ["post_ln", "admin"]
        assert spec.run(0).model.scheme is Scheme.POST_LN
        assert spec.run(1).model.scheme is Scheme.ADMIN

    def test_patch_the_model_and_the_training_and_leave_the_rest(self) -> None:
        patch = {
            "model": {"scheme": {"encoder": "post_ln", "decoder": "pre_ln"}},
            "training": {"learning_rate": 0.5, "steps": None},
        }
        run = race(arms=[{"name": "hybrid", "patch": patch}]).run(0)
        assert run.model.scheme == StackSchemes(encoder=Scheme.POST_LN, decoder=Scheme.PRE_LN)
        assert run.model.d_model == 16
        assert run.training.learning_rate == 0.5
        assert run.training.warmup_steps == 10
        assert run.training.steps == 100_000  # the default, since null took the race's away

    def test_without_a_patch_are_the_race_as_it_is(self) -> None:
        run = race(arms=[{"name": "base"}]).run(0)
        assert run.model == race().model

    def test_that_patch_a_field_that_does_not_exist_are_refused_with_its_path(self) -> None:
        arms = ["post_ln", "admin", {"name": "wide", "patch": {"model": {"widht": 64}}}]
        assert problems(arms=arms) == {"arms.2.patch.model.widht": "Extra inputs are not permitted"}

    def test_that_would_not_fit_together_are_refused_with_the_reason(self) -> None:
        arms = [{"name": "odd", "patch": {"model": {"num_heads": 3}}}]
        assert problems(arms=arms) == {
            "arms.0.patch.model.num_heads": "3 heads do not divide d_model = 16"
        }

    def test_may_patch_nothing_but_model_and_training(self) -> None:
        arms = [{"name": "other data", "patch": {"data": {"name": "pydoc"}}}]
        assert list(problems(arms=arms)) == ["arms.0.patch.data"]

    def test_of_one_name_are_refused(self) -> None:
        assert problems(arms=["admin", "post_ln", "admin"]) == {
            "arms.2.name": "arms.0 has this name already; give each arm its own"
        }

    @pytest.mark.parametrize("arms", [[], "post_ln", ["no_such_scheme"], [5]])
    def test_of_no_known_form_are_refused(self, arms: Any) -> None:
        assert all(path.startswith("arms") for path in problems(arms=arms))

    def test_of_an_unknown_scheme_are_told_which_there_are(self) -> None:
        found = problems(arms=["admin", "no_such_scheme"])
        assert list(found) == ["arms.1"]
        assert "post_ln, pre_ln, admin" in found["arms.1"]

    def test_braces_in_a_message_are_kept(self) -> None:
        arms = [{"name": "a", "patch": {"model": {"{odd}": 1}}}]
        assert list(problems(arms=arms)) == ["arms.0.patch.model.{odd}"]

    def test_have_a_schema_that_shows_their_short_forms(self) -> None:
        arms = json.dumps(RaceSpec.model_json_schema()["properties"]["arms"])
        assert "Scheme" in arms
        assert "Sensitivity" in arms


class TestTheSensitivityGrid:
    def test_is_the_papers_five_by_three_for_each_scheme(self) -> None:
        spec = race(arms={"sensitivity": {}})
        assert len(spec.arms) == 3 * 15
        cells = {
            (run.model.scheme, run.training.learning_rate, run.training.betas[1])
            for run in map(spec.run, range(45))
        }
        assert len(cells) == 45
        assert (Scheme.ADMIN, 1e-4, 0.999) in cells

    def test_may_be_any_grid(self) -> None:
        grid = {"schemes": ["admin"], "learning_rates": [1e-3, 1e-2], "beta2s": [0.98]}
        assert [arm.name for arm in race(arms={"sensitivity": grid}).arms] == [
            "admin lr=0.001 beta2=0.98",
            "admin lr=0.01 beta2=0.98",
        ]

    def test_is_refused_with_its_own_path(self) -> None:
        assert "arms.sensitivity.beta2s.0" in problems(arms={"sensitivity": {"beta2s": [1.0]}})


class TestSeeds:
    def test_may_be_counted_or_named(self) -> None:
        assert race(seeds=2).seeds == (0, 1)
        assert race(seeds=[7, 3]).seeds == (7, 3)
        assert race().seeds == (0, 1, 2)

    @pytest.mark.parametrize("seeds", [0, -1, [], True, [-1], 10**9, 1.5, "3"])
    def test_that_make_no_sense_are_refused(self, seeds: Any) -> None:
        assert all(path.startswith("seeds") for path in problems(seeds=seeds))

    def test_are_named_once(self) -> None:
        assert problems(seeds=[4, 5, 4]) == {"seeds.2": "Name each seed once"}


def test_a_budget_is_shared_out_evenly() -> None:
    assert race(budget_seconds=60, seeds=3).run(0).budget_seconds == 10


def test_stopping_at_a_target_needs_a_target() -> None:
    assert problems(stop={"at_target": True}) == {"target_loss": "Needed by stop.at_target"}


def test_denoising_needs_an_encoder_and_a_decoder() -> None:
    body = {
        "data": {"kind": "text", "objective": "denoising"},
        "model": {
            "architecture": "decoder_only",
            "decoder_layers": 1,
            "d_model": 4,
            "num_heads": 1,
        },
    }
    assert list(problems(**body)) == ["model.architecture"]


@pytest.mark.parametrize("name", ["depth", "paper-table1", "sensitivity"])
def test_an_example_is_a_race(name: str) -> None:
    body = Path(__file__).parents[2] / "examples" / f"{name}.json"
    spec = RaceSpec.model_validate_json(body.read_text())
    assert len({spec.run(i).model_dump_json() for i in range(len(spec.arms))}) == len(spec.arms)


def test_survives_json() -> None:
    spec = race(arms={"sensitivity": {}}, seeds=2, budget_seconds=5)
    again = RaceSpec.model_validate_json(spec.model_dump_json())
    assert again.run(3) == spec.run(3)
    assert again.seeds == spec.seeds


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(number: str) -> None:
    body = json.dumps(BODY)[:-1] + f', "target_loss": {number}}}'
    with pytest.raises(ValidationError):
        RaceSpec.model_validate_json(body)
    body = json.dumps(BODY).replace(
        '["post_ln", "admin"]',
        f'[{{"name": "a", "patch": {{"training": {{"learning_rate": {number}}}}}}}]',
    )
    with pytest.raises(ValidationError):
        RaceSpec.model_validate_json(body)


def test_a_race_is_described_checked_and_compared_without_torch() -> None:
    modules = "race_spec, race_size, race_report, race_statistics"
    code = f"import sys\nfrom admin_core import {modules}\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
