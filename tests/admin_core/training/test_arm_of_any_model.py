"""Races of architectures of the Transformers library."""

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from admin_core.errors import AnalysisCancelledError, InvalidSpecError
from admin_core.progress import Progress
from admin_core.race_spec import RaceSpec, RunSpec
from admin_core.training.arm import train_arm
from admin_core.training.checkpoints import Checkpoint
from tests.admin_core.huggingface import BERT, GPT2, VIT, WAV2VEC2

TRAINING = {
    **{"learning_rate": 3e-3, "warmup_steps": 5, "steps": 20},
    **{"batch_size": 4, "sequence_length": 16},
}


def race(config: dict[str, Any], *arms: Any, **changes: Any) -> RaceSpec:
    return RaceSpec.model_validate(
        {
            "model": {"kind": "huggingface", "config": config},
            "training": TRAINING,
            "arms": list(arms) or [{"name": "arm"}],
            "monitoring": {"every": 5},
            "validation": {"batches": 1},
        }
        | changes
    )


def run_of(config: dict[str, Any], *arms: Any, **changes: Any) -> RunSpec:
    return race(config, *arms, **changes).run(0)


def test_an_arm_patches_the_config() -> None:
    wider = {"name": "wide", "patch": {"model": {"config": {"intermediate_size": 128}}}}
    plain, wide = (train_arm(race(BERT, "post_ln", wider).run(arm), seed=0) for arm in (0, 1))
    assert wide.num_parameters - plain.num_parameters == 2 * 64 * (2 * 32 + 1)


@pytest.mark.parametrize("config", [BERT, GPT2], ids=["bert", "gpt2"])
def test_the_loss_goes_down_and_is_the_same_again(config: dict[str, Any]) -> None:
    run = run_of(config)
    once, again = train_arm(run, seed=0), train_arm(run, seed=0)
    assert once.losses == again.losses
    assert once.losses[0] == pytest.approx(math.log(300), rel=0.05)
    assert once.losses[-1] < once.losses[0] - 0.1
    assert 2.5 < once.unigram_loss < 3.5
    assert [point.step for point in once.monitor.points] == [1, 5, 10, 15, 20]
    assert once.monitor.points[0].dependency.keys() >= once.omegas.keys()
    assert len(once.monitor.points[0].dependency) == 4


def test_admin_profiles_the_first_batch_and_trains_its_omegas() -> None:
    admin, plain = (train_arm(race(BERT, "admin", "post_ln").run(arm), seed=0) for arm in (0, 1))
    assert list(admin.omegas.values())[0] == 1.0
    assert len(admin.omegas) == 4
    assert plain.omegas == {}
    assert admin.num_parameters == plain.num_parameters + 4 * 32
    assert admin.losses != plain.losses


def test_a_stopped_admin_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    run = run_of(BERT, "admin")
    checkpoint = Checkpoint(path=tmp_path / "run.safetensors", every_seconds=0.0)

    def stop_at_half(progress: Progress) -> None:
        if progress.share >= 0.5:
            raise AnalysisCancelledError("stop")

    with pytest.raises(AnalysisCancelledError):
        train_arm(run, seed=0, checkpoint=checkpoint, on_progress=stop_at_half)
    resumed, whole = train_arm(run, seed=0, checkpoint=checkpoint), train_arm(run, seed=0)
    assert resumed.losses == whole.losses
    assert resumed.validation == whole.validation
    assert resumed.omegas == whole.omegas


def test_a_scheme_that_the_architecture_is_not_is_refused() -> None:
    with pytest.raises(InvalidSpecError, match="its library's choice"):
        train_arm(run_of(BERT, "pre_ln"), seed=0)
    with pytest.raises(InvalidSpecError, match="no stack that takes omegas"):
        train_arm(run_of(GPT2, "admin"), seed=0)
    with pytest.raises(ValidationError, match=r"arms\.0\.patch\.model\.scheme"):
        race(BERT, "deepnorm")


def test_images_are_learned_from_their_patterns() -> None:
    image = VIT | {"image_size": 16, "patch_size": 4, "num_labels": 4}
    result = train_arm(run_of(image, training=TRAINING | {"steps": 60, "batch_size": 16}), seed=0)
    assert 1.2 < result.unigram_loss <= math.log(4)
    assert sum(result.losses[-10:]) / 10 < 0.8 * result.unigram_loss


def test_a_loss_that_is_the_model_s_own_is_held_against_the_untrained_one() -> None:
    own = WAV2VEC2 | {"ctc_loss_reduction": "mean"}
    result = train_arm(run_of(own, training=TRAINING | {"steps": 3}), seed=0)
    assert result.unigram_loss == pytest.approx(result.losses[0], rel=0.5)
