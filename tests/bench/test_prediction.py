"""The prediction benchmark's own code, on the data in the repository."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from admin_core.verdict.failure_model import failure_model
from bench.prediction.draw import draw
from bench.prediction.families import FAMILIES
from bench.prediction.features import measured
from bench.prediction.fit import boosted, clearness, matrix
from bench.prediction.in_doubt import in_doubt
from bench.prediction.measures import auroc, expected_calibration_error, reliability
from bench.prediction.outcomes import stored
from bench.prediction.rows import rows
from bench.prediction.verdicts import probability

ROWS = rows()


class TestTheData:
    def test_hold_hundreds_of_runs_of_both_fates(self) -> None:
        assert len(ROWS) > 1000
        assert 0.2 < sum(row.failed for row in ROWS) / len(ROWS) < 0.5

    def test_are_what_the_draws_give(self) -> None:
        for row in ROWS[::20]:
            run, seed = draw(row.family, row.number)
            assert (
                run.model.model_dump(mode="json", exclude_unset=True).items()
                <= row.spec["model"].items()
            )
            assert seed == row.number

    def test_have_the_features_that_probes_find(self) -> None:
        # Of a task that is drawn, because the embedded text is another in other Pythons.
        drawn = [row for row in stored() if row["family"] == "encoder/pre_ln"]
        calm = min(drawn, key=lambda row: row["spec"]["training"]["learning_rate"])
        kept = next(
            row.features
            for row in ROWS
            if (row.family, row.number) == (calm["family"], calm["number"])
        )
        found = measured(calm)["features"]
        assert found.keys() == kept.keys()
        for name, values in found.items():
            assert values == pytest.approx(kept[name], abs=0.02), name

    def test_split_by_family(self) -> None:
        assert all(row.split == FAMILIES[row.family].split for row in ROWS)


class TestFurtherConfigurations:
    def test_are_trained_where_the_verdict_is_sure_of_neither_fate(self) -> None:
        drawn = [row for row in ROWS if row.spec["data"]["kind"] == "synthetic"]
        sure = max(drawn, key=probability)
        unsure = min(drawn, key=lambda row: abs(probability(row) - 0.5))
        assert not in_doubt(sure.family, sure.number)
        assert in_doubt(unsure.family, unsure.number)


class TestTheFit:
    def test_is_what_the_file_holds(self) -> None:
        chosen = [row for row in ROWS if row.split == "calibration"]
        x, _, _ = matrix(chosen)
        model = boosted().fit(x, clearness(chosen))
        scores = [failure_model().score(list(features)) for features in x]
        assert scores == pytest.approx(list(model.predict(x)), abs=1e-6)

    @pytest.mark.parametrize("split", ["test", "second test"])
    def test_ranks_the_test_families_better_than_any_feature_alone(self, split: str) -> None:
        tested = [row for row in ROWS if row.split == split]
        failed = [row.failed for row in tested]
        ours = auroc([probability(row) for row in tested], failed)
        assert ours is not None
        assert ours > 0.9
        for name in tested[0].features:
            alone = auroc([row.features[name][0] for row in tested], failed)
            assert alone is not None
            assert max(alone, 1 - alone) < ours


class TestMeasures:
    def test_auroc_is_that_of_the_field(self) -> None:
        source = np.random.default_rng(0)
        scores, failed = source.normal(size=60).round(1), source.random(60) < 0.4
        assert auroc(list(scores), list(failed)) == pytest.approx(roc_auc_score(failed, scores))

    def test_auroc_is_unknown_where_all_did_the_same(self) -> None:
        assert auroc([0.1, 0.2], [True, True]) is None

    def test_calibration_error_is_zero_where_shares_are_as_foretold(self) -> None:
        probabilities = [0.25] * 4 + [0.75] * 4
        failed = [True, False, False, False, True, True, True, False]
        assert expected_calibration_error(probabilities, failed) == pytest.approx(0)
        assert reliability(probabilities, failed) == [(4, 0.25, 0.25), (4, 0.75, 0.75)]
