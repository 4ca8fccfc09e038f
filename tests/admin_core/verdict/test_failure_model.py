import json
import math
import random

import pytest

from admin_core.verdict.failure_model import FILE, Tree, failure_model
from admin_core.verdict.features import FEATURES, LARGEST, Cause

MODEL = failure_model()
SOURCE = random.Random(0)
SOME_FEATURES = [[SOURCE.uniform(-3, 3) for _ in FEATURES] for _ in range(50)]


class TestTheFile:
    def test_names_the_features_in_their_order(self) -> None:
        assert MODEL.features == tuple(feature.name for feature in FEATURES)

    def test_says_where_it_comes_from(self) -> None:
        assert MODEL.provenance["command"] == "python -m bench.prediction.fit"
        assert int(MODEL.provenance["runs"]) > 200

    def test_holds_nothing_that_is_not_a_number(self) -> None:
        json.loads(FILE.read_text(), parse_constant=pytest.fail)  # called for NaN and infinity

    def test_has_cut_offs_in_order(self) -> None:
        assert 0 < MODEL.at_risk < MODEL.unstable < 1


class TestTheScore:
    def test_is_the_sum_over_all_trees_of_the_leaf_that_nested_questions_lead_to(self) -> None:
        def leaf(tree: Tree, features: list[float], node: int = 0) -> float:
            if tree.feature[node] < 0:
                return tree.value[node]
            goes_left = features[tree.feature[node]] <= tree.threshold[node]
            return leaf(tree, features, tree.left[node] if goes_left else tree.right[node])

        for features in SOME_FEATURES:
            expected = MODEL.baseline + sum(leaf(tree, features) for tree in MODEL.trees)
            assert MODEL.score(features) == pytest.approx(expected)

    def test_never_falls_as_a_feature_that_can_only_harm_grows(self) -> None:
        for column, feature in enumerate(FEATURES):
            if not feature.monotone:
                continue
            for features in SOME_FEATURES[:10]:
                scores = [
                    MODEL.score([*features[:column], x, *features[column + 1 :]])
                    for x in (-LARGEST, -1, 0, 0.5, 1, 2, LARGEST)
                ]
                assert sorted(scores, reverse=feature.monotone < 0) == pytest.approx(scores)


class TestTheShares:
    def test_add_up_to_the_log_odds_less_those_of_the_average_run(self) -> None:
        average = MODEL.baseline + sum(tree.value[0] for tree in MODEL.trees)
        for features in SOME_FEATURES:
            expected = MODEL.slope * (MODEL.score(features) - average)
            assert sum(MODEL.shares([features]).values()) == pytest.approx(expected)

    def test_of_several_probes_are_the_mean_of_each_ones(self) -> None:
        each = [MODEL.shares([features]) for features in SOME_FEATURES[:3]]
        together = MODEL.shares(SOME_FEATURES[:3])
        for cause in Cause:
            mean = sum(shares[cause] for shares in each) / 3
            assert together[cause] == pytest.approx(mean)


class TestTheProbability:
    def test_is_the_logistic_function_of_the_calibrated_score(self) -> None:
        features = SOME_FEATURES[0]
        log_odds = MODEL.slope * MODEL.score(features) + MODEL.offset
        assert MODEL.probability([features]) == pytest.approx(1 / (1 + math.exp(-log_odds)))

    def test_of_several_probes_is_that_of_their_mean_score(self) -> None:
        one, other = SOME_FEATURES[:2]
        log_odds = MODEL.slope * (MODEL.score(one) + MODEL.score(other)) / 2 + MODEL.offset
        assert MODEL.probability([one, other]) == pytest.approx(1 / (1 + math.exp(-log_odds)))
