from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from admin_core.data.batches import make_batch
from admin_core.errors import InvalidSpecError, LimitExceededError
from admin_core.models.transformer import build_transformer
from admin_core.race_size import RaceLimits, check_race_limits, race_flops, step_flops, total_steps
from admin_core.race_spec import RaceSpec
from admin_core.size import Limits
from admin_core.spec import TransformerSpec
from admin_core.training.loss import batch_loss
from tests.admin_core.specs import small

ROOMY = {"max_runs": 10**9, "max_steps": 10**9, "flops_per_second": 1e11}


def limits(parameters: int = 10**9, tokens: int = 10**9, **changes: Any) -> RaceLimits:
    job = Limits(max_parameters=parameters, max_tokens=tokens)
    return RaceLimits(**{"job": job, **ROOMY, **changes})


def spec(**changes: Any) -> RaceSpec:
    model = small("decoder_only").model_dump(mode="json", exclude_unset=True)
    training = {"steps": 100, "batch_size": 4, "sequence_length": 32}
    body = {"model": model, "training": training, "arms": ["post_ln", "admin"], "seeds": 3}
    return RaceSpec.model_validate(body | changes)


def test_steps_are_counted_over_arms_and_seeds() -> None:
    arms = ["post_ln", {"name": "long", "patch": {"training": {"steps": 400}}}]
    assert total_steps(spec(arms=arms)) == 3 * (100 + 400)


@pytest.mark.parametrize("architecture", ["decoder_only", "encoder_only", "encoder_decoder"])
def test_the_estimate_is_near_what_torch_counts(architecture: str) -> None:
    wide = small(architecture, d_model=64, vocab_size=256, dropout=0.0)
    body = {
        "model": wide.model_dump(mode="json", exclude_unset=True),
        "training": {"batch_size": 4, "sequence_length": 32},
    }
    run = spec(**body).run(0)
    assert isinstance(run.model, TransformerSpec)
    model = build_transformer(run.model, seed=0)
    batch = make_batch(run.data, run.model, batch_size=4, sequence_length=32, seed=0)
    with (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        batch_loss(model, batch).backward()  # type: ignore[no-untyped-call]
    assert step_flops(run) == pytest.approx(counter.get_total_flops(), rel=0.1)


def test_a_race_within_its_limits_passes() -> None:
    check_race_limits(spec(budget_seconds=60), limits())


def test_too_many_steps_are_refused_with_their_number() -> None:
    with pytest.raises(LimitExceededError, match=r"^arms: needs 600 training steps.*limit of 599"):
        check_race_limits(spec(), limits(max_steps=599))


def test_more_runs_than_allowed_are_refused_with_both_figures() -> None:
    check_race_limits(spec(), limits(max_runs=6))
    with pytest.raises(LimitExceededError, match="arms: needs 6 runs, above the limit of 5"):
        check_race_limits(spec(), limits(max_runs=5))


def test_an_arm_that_is_too_large_is_named() -> None:
    arms = ["post_ln", {"name": "wide", "patch": {"model": {"d_model": 512}}}]
    with pytest.raises(LimitExceededError, match=r"^arms\.1\.patch\.model: needs .* parameters"):
        check_race_limits(spec(arms=arms), limits(parameters=100_000))


def test_a_budget_that_cannot_suffice_is_refused_with_the_estimate() -> None:
    too_small = spec(budget_seconds=0.5)
    seconds = race_flops(too_small) / 1e8
    assert seconds > 0.5
    with pytest.raises(InvalidSpecError, match="budget_seconds: 2 arms and 3 seeds are 600") as e:
        check_race_limits(too_small, limits(flops_per_second=1e8))
    assert f"at least {seconds:,.0f} s" in str(e.value)
