import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from admin_core.data.batches import make_batch
from admin_core.data.text import Split
from admin_core.errors import AnalysisCancelledError, AnalysisReleasedError, CheckpointError
from admin_core.models.transformer import build_transformer
from admin_core.progress import Progress
from admin_core.race_report import RacePoint, SeedResult
from admin_core.sources import source_of
from admin_core.spec import Optimizer, Scheme, TransformerSpec
from admin_core.training.arm import profile_admin, train_arm
from admin_core.training.checkpoints import Checkpoint
from admin_core.training.loss import batch_loss
from tests.admin_core.training.arms import arm

TIMES = {"tokens_per_second", "seconds"}


def without_times(result: SeedResult) -> dict[str, Any]:
    return result.model_dump(exclude=TIMES)


class TestARun:
    def test_is_the_same_twice_and_not_with_another_seed(self) -> None:
        run = arm()
        once, twice = train_arm(run, seed=0), train_arm(run, seed=0)
        assert without_times(once) == without_times(twice)
        assert train_arm(run, seed=1).losses != once.losses

    def test_neither_reads_nor_moves_the_processes_own_random_state(self) -> None:
        torch.manual_seed(5)
        before = torch.get_rng_state()
        losses = train_arm(arm(), seed=0).losses
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(6)
        assert train_arm(arm(), seed=0).losses == losses

    def test_begins_with_the_loss_of_fresh_weights_on_the_first_batch(self) -> None:
        run = arm(model={"scheme": "pre_ln", "dropout": 0.0})
        assert isinstance(run.model, TransformerSpec)
        batch = make_batch(
            run.data, run.model, batch_size=4, sequence_length=16, seed=3, split=Split.TRAINING
        )
        loss = batch_loss(build_transformer(run.model, seed=3), batch).item()
        assert train_arm(run, seed=3).losses[0] == pytest.approx(loss)

    @pytest.mark.parametrize("optimizer", list(Optimizer))
    def test_learns_with_every_optimizer(self, optimizer: Optimizer) -> None:
        rate = 0.3 if optimizer in (Optimizer.SGD, Optimizer.RADAM) else 1e-2
        training = {"optimizer": optimizer, "learning_rate": rate, "steps": 40, "clip_norm": 1.0}
        losses = train_arm(arm(training=training, model={"scheme": "pre_ln"}), seed=0).losses
        assert min(losses[-5:]) < losses[0] - 1

    def test_trains_with_everything_that_a_step_can_have(self) -> None:
        training = {
            "accumulation": 2,
            "clip_norm": 1.0,
            "label_smoothing": 0.1,
            "autocast": "bf16",
            "weight_decay": 0.1,
            "optimizer": "adamw",
            "schedule": "cosine",
        }
        result = train_arm(arm(training=training), seed=0)
        assert result.steps == len(result.losses) == 20
        assert result.losses[-1] < result.losses[0]

    def test_of_an_encoder_decoder_denoises(self) -> None:
        model = {"architecture": "encoder_decoder", "encoder_layers": 1, "decoder_layers": 1}
        data = {"kind": "text", "objective": "denoising"}
        result = train_arm(arm(model=model, data=data), seed=0)
        assert result.losses[-1] < result.losses[0]

    def test_tells_each_step_its_loss_and_what_was_seen(self) -> None:
        points: list[RacePoint] = []
        shares: list[Progress] = []
        result = train_arm(arm(), seed=0, on_point=points.append, on_progress=shares.append)
        assert [point.loss for point in points] == result.losses
        assert [point.step for point in points if point.watch is not None] == [1, 5, 10, 15, 20]
        measured = [p.step for p in points if p.validation_loss is not None]
        assert measured == [point.step for point in result.validation] == list(range(2, 21, 2))
        assert [progress.share for progress in shares] == [step / 20 for step in range(1, 21)]
        assert all(point.tokens_per_second > 0 for point in points)

    def test_knows_its_unigram_loss(self) -> None:
        assert 3.0 < train_arm(arm(), seed=0).unigram_loss < 3.4


class TestAdmin:
    def test_is_profiled_on_the_runs_own_first_batch(self) -> None:
        result = train_arm(arm(), seed=0)
        omegas = list(result.omegas.values())
        assert len(omegas) == 4
        assert omegas[0] == 1.0
        assert omegas == sorted(omegas)
        assert omegas[-1] > 1

    def test_leaves_the_stacks_of_other_schemes_as_they_are(self) -> None:
        run = arm(
            model={
                "architecture": "encoder_decoder",
                "encoder_layers": 1,
                "decoder_layers": 1,
                "scheme": {"encoder": "post_ln", "decoder": "admin"},
            }
        )
        assert isinstance(run.model, TransformerSpec)
        assert run.model.scheme_of(next(iter(run.model.layers))) is Scheme.POST_LN
        source = source_of(run, torch.device("cpu"))
        model = source.build(0)
        omegas = profile_admin(source, model, source.branches(model), source.batch(0), seed=0)
        assert len(omegas) == 3
        assert all(path.startswith("decoder.") for path in omegas)

    def test_starts_from_the_weights_that_post_ln_starts_from(self) -> None:
        first = [
            train_arm(arm(model={"scheme": scheme, "dropout": 0.0}), seed=0).losses[0]
            for scheme in ("admin", "post_ln")
        ]
        assert first[0] != first[1]  # the omegas
        assert first[0] == pytest.approx(first[1], rel=0.5)


class TestARunEnds:
    def test_when_its_loss_is_not_finite_with_the_step_and_the_losses_before_it(self) -> None:
        training = {"learning_rate": 1e6, "optimizer": "sgd", "warmup_steps": 0, "steps": 50}
        result = train_arm(arm(training=training, model={"scheme": "rezero"}), seed=0)
        assert result.outcome == "diverged"
        assert result.stopped == "non_finite"
        assert result.diverged_at_step == result.steps == len(result.losses) + 1
        assert result.validation[-1].loss is None
        json.loads(result.model_dump_json(), parse_constant=pytest.fail)
        assert "non_finite" in {finding.rule for finding in result.monitor.findings}

    def test_when_it_is_hopeless_if_that_was_asked_for(self) -> None:
        training = {"learning_rate": 1e-9, "steps": 60}
        stopping = arm(training=training, stop={"hopeless_after": 0.5})
        result = train_arm(stopping, seed=0)
        assert (result.stopped, result.steps, result.outcome) == ("hopeless", 30, "stalled")
        assert train_arm(arm(training=training), seed=0).stopped is None

    def test_when_it_has_reached_its_target_if_that_was_asked_for(self) -> None:
        whole = train_arm(arm(), seed=0)
        target = sum(whole.losses[2:12]) / 10 + 1e-6
        result = train_arm(arm(stop={"at_target": True}, target_loss=target), seed=0)
        assert (result.stopped, result.steps) == ("target", 12)

    def test_when_its_budget_is_used_up(self) -> None:
        result = train_arm(arm(budget_seconds=1e-6, seeds=1), seed=0)
        assert (result.stopped, result.steps) == ("budget", 1)

    def test_when_the_caller_wants_it_to(self) -> None:
        def cancel(progress: Progress) -> None:
            if progress.share >= 0.5:
                raise AnalysisCancelledError

        with pytest.raises(AnalysisCancelledError):
            train_arm(arm(), seed=0, on_progress=cancel)

    @pytest.mark.parametrize(
        ("why", "saved"), [(AnalysisReleasedError, True), (AnalysisCancelledError, False)]
    )
    def test_when_it_is_to_be_gone_on_with_it_is_saved_first(
        self, why: type[AnalysisCancelledError], saved: bool, tmp_path: Path
    ) -> None:
        def leave(progress: Progress) -> None:
            if progress.share >= 0.5:
                raise why

        checkpoint = Checkpoint(path=tmp_path / "run.safetensors", every_seconds=3600)
        with pytest.raises(why):
            train_arm(arm(), seed=0, on_progress=leave, checkpoint=checkpoint)
        assert checkpoint.path.exists() == saved
        points: list[RacePoint] = []
        result = train_arm(arm(), seed=0, on_point=points.append, checkpoint=checkpoint)
        assert points[0].step == (11 if saved else 1)
        assert without_times(result) == without_times(train_arm(arm(), seed=0))


KILLED = """
import sys
from pathlib import Path
from admin_core.training.arm import train_arm
from admin_core.training.checkpoints import Checkpoint
from admin_core.race_spec import RunSpec

def tell(point):
    print(point.step, flush=True)
    if point.step == 14:
        sys.stdin.read()  # until it is killed

train_arm(
    RunSpec.model_validate_json(sys.argv[1]),
    seed=0,
    on_point=tell,
    checkpoint=Checkpoint(path=Path(sys.argv[2]), every_seconds=0),
)
"""


class TestACheckpoint:
    @pytest.mark.parametrize("optimizer", ["adam", "schedule_free"])
    def test_lets_a_killed_run_end_as_one_that_was_never_killed(
        self, optimizer: str, tmp_path: Path
    ) -> None:
        run = arm(training={"optimizer": optimizer}, model={"dropout": 0.2})
        path = tmp_path / "run.safetensors"
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, run.model_dump_json(), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        )
        assert child.stdin is not None
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) == 14:
                break
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdin.close()
        child.stdout.close()

        steps: list[int] = []
        resumed = train_arm(
            run,
            seed=0,
            on_point=lambda point: steps.append(point.step),
            checkpoint=Checkpoint(path=path),
        )
        assert steps[0] > 10
        assert without_times(resumed) == without_times(train_arm(run, seed=0))

    def test_of_another_run_is_refused(self, tmp_path: Path) -> None:
        checkpoint = Checkpoint(path=tmp_path / "run.safetensors", every_seconds=0)
        train_arm(arm(), seed=0, checkpoint=checkpoint)
        with pytest.raises(CheckpointError, match="belongs to another run"):
            train_arm(arm(), seed=1, checkpoint=checkpoint)
