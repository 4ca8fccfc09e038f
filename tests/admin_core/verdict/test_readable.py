from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from torch import Tensor

from admin_core.data.batch import IGNORED, Batch
from admin_core.race_spec import RunSpec
from admin_core.residual import ResidualBranch, at_states
from admin_core.sources import source_of
from admin_core.training.run_batches import RunBatches
from admin_core.verdict.readable import RIDGE, readable
from tests.admin_core.verdict.test_probe import CPU, run_spec

Pair = tuple[Batch, Batch]


def made(run: RunSpec) -> tuple[torch.nn.Module, list[ResidualBranch], Pair]:
    source = source_of(run, CPU)
    model = source.build(0)
    batches = RunBatches(run, 0, source)
    return model, list(source.branches(model)), (batches.training(0), batches.training(1))


def read(run: RunSpec) -> float:
    model, branches, batches = made(run)
    return readable(model, branches, batches, seed=0)


def states(model: torch.nn.Module, last: ResidualBranch, batch: Batch) -> Tensor:
    seen: list[Tensor] = []
    with torch.no_grad(), at_states([last], lambda _, state: seen.append(state)):
        model.eval()(**batch.inputs)
    return seen[0].flatten(0, 1)


def answered(batches: Iterable[Batch], target: Tensor) -> Pair:
    """The same inputs, with the answers that `target` gives to each token."""
    first, second = (
        Batch(inputs=b.inputs, targets=target[next(iter(b.inputs.values()))]) for b in batches
    )
    return first, second


class TestWhatCanBeReadOff:
    def test_is_the_share_that_a_ridge_regression_tells_of_the_other_batch(self) -> None:
        model, branches, batches = made(run_spec())
        shares = []
        for fitted, held in (batches, batches[::-1]):
            u, v = (
                F.normalize(x - x.mean(-1, keepdim=True), dim=-1).double().numpy()
                for x in (states(model, branches[-1], b) for b in (fitted, held))
            )
            y, z = (F.one_hot(b.targets.flatten(), 320).double().numpy() for b in (fitted, held))
            said = Ridge(alpha=RIDGE * len(u)).fit(u, y).predict(v)
            shares.append(1 - ((z - said) ** 2).sum() / ((z - y.mean(0)) ** 2).sum())
        assert readable(model, branches, batches, seed=0) == pytest.approx(sum(shares) / 2)

    def test_is_more_where_the_token_at_hand_decides_the_answer(self) -> None:
        model, branches, batches = made(run_spec("pre_ln"))
        decided = answered(batches, torch.arange(320) % 2)
        drawn = torch.randint(2, (2, 8, 16), generator=torch.Generator().manual_seed(0))
        chance = tuple(
            Batch(inputs=b.inputs, targets=t) for b, t in zip(batches, drawn, strict=True)
        )
        told = readable(model, branches, decided, seed=0)
        assert told > 0.1
        assert readable(model, branches, (chance[0], chance[1]), seed=0) < 0.05 < told

    def test_is_lost_in_a_deep_post_ln_model(self) -> None:
        told = []
        for layers in (1, 24):
            model, branches, batches = made(run_spec("post_ln", layers=layers))
            decided = answered(batches, torch.arange(320) % 2)
            told.append(readable(model, branches, decided, seed=0))
        assert told[0] > 0.1
        assert told[1] < told[0] / 4

    def test_is_nothing_where_all_places_look_the_same(self) -> None:
        model, branches, batches = made(run_spec())
        for weight in model.parameters():
            torch.nn.init.constant_(weight, 0.01)
        decided = answered(batches, torch.arange(320) % 2)
        assert readable(model, branches, decided, seed=0) <= 0

    def test_is_nothing_where_answers_are_not_at_the_places_of_the_last_states(self) -> None:
        model, branches, batches = made(run_spec())
        first, second = (Batch(inputs=b.inputs, targets=b.targets[:, :-1]) for b in batches)
        assert readable(model, branches, (first, second), seed=0) == 0

    def test_leaves_places_out_that_have_no_answer(self) -> None:
        model, branches, batches = made(run_spec())
        kept = tuple(
            Batch(inputs=b.inputs, targets=torch.where(b.targets % 2 == 0, b.targets, IGNORED))
            for b in batches
        )
        assert readable(model, branches, (kept[0], kept[1]), seed=0) != readable(
            model, branches, batches, seed=0
        )


def test_a_model_is_left_as_it_was() -> None:
    model, branches, batches = made(run_spec())
    before = [weight.clone() for weight in model.train().parameters()]
    readable(model, branches, batches, seed=0)
    assert model.training
    assert all(torch.equal(w, old) for w, old in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize("architecture", ["encoder_only", "encoder_decoder"])
def test_every_architecture_has_a_value(architecture: str) -> None:
    run = run_spec()
    model = {"architecture": architecture, "d_model": 32, "num_heads": 2, "encoder_layers": 2}
    if architecture == "encoder_decoder":
        model["decoder_layers"] = 2
    run = RunSpec.model_validate({**run.model_dump(exclude={"model"}), "model": model})
    assert read(run) != 0
