import pytest

from tests.admin_core.test_race_statistics import raced

CONVERGED, STALLED, DIVERGED = (2.0, "converged"), (3.2, "stalled"), (None, "diverged")


def arm(name: str, predicted: float | None) -> dict[str, object]:
    return {"name": name, "predicted_failure_probability": predicted}


class TestPredictionsMet:
    def test_says_of_each_arm_whether_what_was_predicted_came_true(self) -> None:
        report = raced(
            {
                "patient": [STALLED, DIVERGED, CONVERGED],
                "prescription": [CONVERGED, CONVERGED, CONVERGED],
            },
            arms=[arm("patient", 0.83), arm("prescription", 0.04)],
        )
        assert (
            "patient was predicted to fail with probability 0.83, and failed in 2 of 3 seeds: the "
            "prediction came true." in report.conclusion
        )
        assert (
            "prescription was predicted to fail with probability 0.04, and failed in 0 of 3 seeds: "
            "the prediction came true." in report.conclusion
        )
        assert [arm.predicted_failure_probability for arm in report.arms] == [0.83, 0.04]

    @pytest.mark.parametrize(
        ("predicted", "seeds", "said"),
        [
            (0.9, [CONVERGED] * 3, "failed in 0 of 3 seeds: the prediction did not come true"),
            (0.1, [STALLED] * 2, "failed in 2 of 2 seeds: the prediction did not come true"),
            (0.9, [DIVERGED], "failed in 1 of its one seed: the prediction came true"),
            (0.9, [STALLED, CONVERGED], "neither for the prediction nor against it"),
            (0.5, [STALLED], "neither for the prediction nor against it"),
        ],
    )
    def test_speaks_where_most_seeds_do(
        self, predicted: float, seeds: list[tuple[float | None, str]], said: str
    ) -> None:
        assert said in raced({"a": seeds}, arms=[arm("a", predicted)]).conclusion

    def test_a_spike_that_was_recovered_from_is_no_failure(self) -> None:
        report = raced({"a": [(2.0, "spiked")]}, arms=[arm("a", 0.2)])
        assert "failed in 0 of its one seed: the prediction came true" in report.conclusion

    def test_says_nothing_where_nothing_was_predicted(self) -> None:
        report = raced({"a": [CONVERGED]})
        assert "predict" not in report.conclusion
        assert report.arms[0].predicted_failure_probability is None
