import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from admin_core.data.batch import IGNORED
from admin_core.verdict.predictions import Predictions, predictions

GENERATOR = torch.Generator().manual_seed(0)


def said(logits: Tensor, targets: Tensor) -> Predictions:
    found = predictions(logits, targets)
    assert found is not None
    return found


class TestPredictions:
    def test_that_are_the_same_everywhere_hold_no_information_and_gain_nothing(self) -> None:
        logits = torch.randn(7, generator=GENERATOR).expand(4, 5, 7)
        found = said(logits, torch.randint(7, (4, 5), generator=GENERATOR))
        assert found.information == pytest.approx(0, abs=1e-5)
        assert found.context_gain == pytest.approx(0, abs=1e-5)

    def test_that_are_right_at_every_place_gain_the_entropy_of_the_answers(self) -> None:
        targets = torch.arange(8).repeat(4)[None]
        found = said(50.0 * F.one_hot(targets, 8), targets)
        assert found.information == pytest.approx(math.log(8), abs=1e-4)
        assert found.context_gain == pytest.approx(math.log(8), abs=1e-4)

    def test_that_are_wrong_everywhere_lose_by_it(self) -> None:
        targets = torch.arange(8).repeat(4)[None]
        assert said(5.0 * F.one_hot((targets + 1) % 8, 8), targets).context_gain < -1

    def test_fit_their_answers_by_as_much_however_small_the_differences_are(self) -> None:
        targets = torch.arange(8).repeat(4)[None]
        strong, weak = (said(size * F.one_hot(targets, 8), targets) for size in (1e-1, 1e-3))
        assert weak.context_gain < 0.1 * strong.context_gain
        assert weak.alignment == pytest.approx(strong.alignment, rel=0.05)
        assert weak.alignment > 2

    def test_that_know_nothing_fit_the_answers_of_other_places_as_well(self) -> None:
        logits = torch.randn(1, 2_000, 8, generator=GENERATOR)
        targets = torch.randint(8, (1, 2_000), generator=GENERATOR)
        assert abs(said(logits, targets).alignment) < 4 / math.sqrt(2_000)

    def test_gain_what_the_loss_falls_below_that_of_their_average(self) -> None:
        logits = torch.randn(3, 6, 9, generator=GENERATOR)
        targets = torch.randint(9, (3, 6), generator=GENERATOR)
        mean = logits.softmax(-1).flatten(0, 1).mean(0).log().expand(18, 9)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        of_average = F.nll_loss(mean, targets.flatten())
        gain = said(logits, targets).context_gain
        assert gain == pytest.approx(float(of_average - loss), abs=1e-5)

    def test_are_looked_at_where_there_is_an_answer_alone(self) -> None:
        logits = torch.randn(2, 5, 4, generator=GENERATOR)
        targets = torch.tensor([[1, IGNORED, 2, IGNORED, 3], 5 * [IGNORED]])
        alone = said(logits[0, ::2][None], targets[0, ::2][None])
        assert said(logits, targets) == alone

    def test_without_an_answer_are_none(self) -> None:
        assert predictions(torch.zeros(1, 2, 3), torch.full((1, 2), IGNORED)) is None
