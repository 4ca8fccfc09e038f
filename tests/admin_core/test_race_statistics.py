import statistics
from typing import Any

import pytest

from admin_core.race_report import ArmResult, RaceEnvironment, RaceReport, SeedResult
from admin_core.race_spec import RaceSpec
from admin_core.race_statistics import compare, standard_error, student_t
from tests.admin_core.specs import small

ENVIRONMENT = RaceEnvironment(trimtab="0", python="3", torch="2", device="cpu", data_sha256=None)


def seed_result(arm: str, seed: int, final: float | None, outcome: str) -> SeedResult:
    losses = [] if final is None else [5.0] * 10 + [final] * 20
    return SeedResult.model_validate(
        {
            "arm": arm,
            "seed": seed,
            "outcome": outcome,
            "diverged_at_step": 31 if outcome == "diverged" else None,
            "stopped": None,
            "steps": 30,
            "losses": losses,
            "final_loss": final,
            "validation": [{"step": 30, "loss": final}],
            "spikes": [],
            "unigram_loss": 3.2,
            "num_parameters": 100,
            "tokens_per_second": 10.0,
            "seconds": 1.0,
            "omegas": {},
            "monitor": {
                "loss_rule": "olmo",
                "points": [],
                "findings": [],
                "findings_left_out": 0,
            },
        }
    )


def raced(arms: dict[str, list[tuple[float | None, str]]], /, **changes: Any) -> RaceReport:
    """A race whose arms ended, seed by seed, at these losses and outcomes."""
    seeds = len(next(iter(arms.values())))
    spec = RaceSpec.model_validate(
        {
            "model": small("decoder_only"),
            "training": {"steps": 30},
            "arms": [{"name": name} for name in arms],
            "seeds": seeds,
            **changes,
        }
    )
    results = [
        seed_result(name, seed, *ends)
        for name, of_arm in arms.items()
        for seed, ends in enumerate(of_arm)
    ]
    return compare(spec, results[::-1], ENVIRONMENT)


def trained(*losses: float) -> list[tuple[float | None, str]]:
    return [(loss, "converged") for loss in losses]


def arm(report: RaceReport, name: str) -> ArmResult:
    return next(arm for arm in report.arms if arm.name == name)


HEADLINE: dict[str, list[tuple[float | None, str]]] = {
    "post_ln": [(3.19, "stalled"), (3.20, "stalled"), (3.21, "stalled")],
    "pre_ln": trained(2.40, 2.50, 2.60),
    "admin": trained(2.35, 2.46, 2.54),
}


class TestAnArm:
    def test_has_the_mean_and_standard_error_of_its_seeds(self) -> None:
        found = arm(raced(HEADLINE), "pre_ln")
        assert found.final_loss == pytest.approx(2.5)
        assert found.standard_error == pytest.approx(statistics.stdev([2.4, 2.5, 2.6]) / 3**0.5)
        assert [seed.seed for seed in found.seeds] == [0, 1, 2]

    def test_is_as_bad_as_its_worst_seed(self) -> None:
        found = arm(raced({"a": [(2.0, "converged"), (3.2, "stalled"), (2.1, "spiked")]}), "a")
        assert found.outcome == "stalled"
        assert found.outcomes == {"converged": 1, "stalled": 1, "spiked": 1}

    def test_that_diverged_in_a_seed_has_the_mean_of_the_others_and_says_how_many(self) -> None:
        found = arm(raced({"a": [(2.0, "converged"), (9.0, "diverged"), (2.2, "converged")]}), "a")
        assert found.final_loss == pytest.approx(2.1)
        assert found.final_loss_seeds == 2

    def test_that_diverged_at_once_everywhere_has_no_loss(self) -> None:
        report = raced({"a": [(None, "diverged")] * 2, "b": trained(2.0, 2.1)})
        assert arm(report, "a").final_loss is None
        assert arm(report, "a").behind_best is None
        assert "a diverged in 2 of 2 seeds." in report.conclusion

    def test_counts_its_steps_to_the_target_if_all_its_seeds_reach_it(self) -> None:
        report = raced(HEADLINE, target_loss=2.55)
        assert arm(report, "admin").steps_to_target == pytest.approx(20)
        assert arm(report, "pre_ln").steps_to_target is None
        assert arm(report, "pre_ln").reached_target == 2

    def test_without_a_given_target_is_held_against_the_worst_that_trained(self) -> None:
        report = raced(HEADLINE)
        assert report.target_loss == pytest.approx(2.5)


class TestDifferences:
    def test_are_taken_seed_by_seed_from_the_best_arm(self) -> None:
        found = arm(raced(HEADLINE), "pre_ln").behind_best
        assert found is not None
        differences = [0.05, 0.04, 0.06]
        assert found.best == "admin"
        assert found.mean == pytest.approx(0.05)
        assert found.standard_error == pytest.approx(statistics.stdev(differences) / 3**0.5)
        reach = 4.303 * statistics.stdev(differences) / 3**0.5
        assert found.interval == pytest.approx((0.05 - reach, 0.05 + reach))

    def test_of_a_single_seed_have_no_interval(self) -> None:
        found = arm(raced({"a": trained(2.0), "b": trained(2.1)}), "b").behind_best
        assert found is not None
        assert found.interval is None
        assert found.standard_error is None


class TestTheConclusion:
    def test_says_what_became_of_each_arm_and_who_is_ahead(self) -> None:
        text = raced(HEADLINE).conclusion
        assert (
            "post_ln stalled in 3 of 3 seeds, final loss 3.200 ± 0.006 against a unigram loss of "
            "3.200." in text
        )
        assert "admin converged in 3 of 3 seeds" in text
        assert "admin ends 0.050 nats below pre_ln (95 % interval 0.025 to 0.075" in text

    def test_does_not_call_a_winner_that_the_seeds_do_not_show(self) -> None:
        text = raced({"a": trained(2.4, 2.5, 2.6), "b": trained(2.5, 2.4, 2.6)}).conclusion
        assert "cannot be told apart" in text
        assert "below" not in text

    def test_of_one_seed_says_that_it_says_little(self) -> None:
        text = raced({"a": trained(2.0), "b": trained(2.1)}).conclusion
        assert "in its one seed" in text
        assert "says nothing of other seeds" in text

    def test_names_no_best_where_none_trained(self) -> None:
        text = raced({"a": [(3.2, "stalled")], "b": [(None, "diverged")]}).conclusion
        assert "No arm trained" in text

    def test_of_one_arm_that_trained_says_so(self) -> None:
        text = raced({"a": [(3.2, "stalled")], "b": trained(2.0)}).conclusion
        assert "b is the only arm that trained in every seed." in text


def test_the_report_is_json_without_nan() -> None:
    assert "NaN" not in raced(HEADLINE).model_dump_json()


def test_student_t_is_near_the_tables() -> None:
    assert student_t(2) == 4.303
    for degrees, quantile in ((11, 2.201), (20, 2.086), (30, 2.042), (1_000, 1.962)):
        assert student_t(degrees) == pytest.approx(quantile, rel=0.001)


def test_one_value_has_no_standard_error() -> None:
    assert standard_error([1.0]) is None
