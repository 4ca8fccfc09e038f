from pathlib import Path
from typing import Any

import pytest

from admin_core.progress import Progress
from admin_core.race import conclude, race
from admin_core.race_report import RacePoint
from admin_core.race_spec import RaceSpec
from admin_core.training.arm import train_arm

BODY: dict[str, Any] = {
    "model": {"architecture": "decoder_only", "decoder_layers": 2, "d_model": 16, "num_heads": 2},
    "training": {
        "learning_rate": 1e-2,
        "warmup_steps": 5,
        "steps": 12,
        "batch_size": 4,
        "sequence_length": 16,
    },
    "arms": ["post_ln", "admin"],
    "seeds": 2,
    "validation": {"batches": 1},
}
SPEC = RaceSpec.model_validate(BODY)


def test_runs_every_arm_with_every_seed_and_tells_of_each_step() -> None:
    points: list[tuple[str, int, RacePoint]] = []
    shares: list[Progress] = []
    report = race(SPEC, on_point=lambda *point: points.append(point), on_progress=shares.append)
    assert [(arm.name, [seed.seed for seed in arm.seeds]) for arm in report.arms] == [
        ("post_ln", [0, 1]),
        ("admin", [0, 1]),
    ]
    assert len(points) == 2 * 2 * 12
    assert [share for _, share in shares] == sorted(share for _, share in shares)
    assert shares[-1].share == pytest.approx(1.0)
    of_one = [point.loss for name, seed, point in points if (name, seed) == ("admin", 1)]
    assert of_one == report.arms[1].seeds[1].losses


def test_is_concluded_from_runs_that_took_place_elsewhere_and_in_any_order() -> None:
    results = [train_arm(SPEC.run(arm), seed=seed) for arm in (1, 0) for seed in (1, 0)]
    apart, together = conclude(SPEC, results), race(SPEC)
    for one, other in zip(apart.arms, together.arms, strict=True):
        assert [seed.losses for seed in one.seeds] == [seed.losses for seed in other.seeds]
        assert one.behind_best == other.behind_best
    assert apart.conclusion == together.conclusion


def test_that_was_stopped_goes_on_from_its_checkpoints(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(name: str, seed: int, point: RacePoint) -> None:
        if (name, seed, point.step) == ("admin", 0, 9):
            raise Stop

    with pytest.raises(Stop):
        race(SPEC, on_point=stop, checkpoints=tmp_path)
    resumed = race(SPEC, checkpoints=tmp_path)
    whole = race(SPEC)
    for one, other in zip(resumed.arms, whole.arms, strict=True):
        assert [seed.losses for seed in one.seeds] == [seed.losses for seed in other.seeds]


@pytest.mark.slow
def test_shows_the_papers_headline_in_half_a_minute() -> None:
    """18 decoder layers on real text: Post-LN never leaves the unigram loss, Admin does."""
    deep = RaceSpec.model_validate(
        BODY
        | {
            "model": {
                "architecture": "decoder_only",
                "decoder_layers": 18,
                "d_model": 64,
                "num_heads": 2,
            },
            "training": {
                "learning_rate": 1e-3,
                "schedule": "constant",
                "warmup_steps": 50,
                "steps": 200,
                "batch_size": 16,
                "sequence_length": 32,
            },
            "seeds": 1,
        }
    )
    post_ln, admin = race(deep).arms
    assert post_ln.outcome == "stalled"
    assert post_ln.final_loss is not None
    assert post_ln.final_loss > 3.0
    assert admin.outcome == "converged"
    assert admin.final_loss is not None
    assert admin.final_loss < 2.75
    assert admin.behind_best is not None
    assert admin.behind_best.best == "admin"
