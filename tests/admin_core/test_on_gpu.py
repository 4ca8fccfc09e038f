"""What a GPU answers, held against the CPU: a seed means the same weights and data on both."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from admin_core.data.batches import make_batch
from admin_core.diagnosis import diagnose, diagnose_spec
from admin_core.errors import AnalysisReleasedError
from admin_core.models.huggingface import build_huggingface
from admin_core.models.transformer import build_transformer
from admin_core.progress import Progress
from admin_core.report import Report
from admin_core.residual import discover
from admin_core.residual.omega import apply_omega, remove_omega
from admin_core.spec import Analysis, ClinicOmega, DiagnosisSpec, Optimizer, TextData
from admin_core.training.arm import train_arm
from admin_core.training.checkpoints import Checkpoint
from admin_core.training.loss import batch_loss
from admin_core.training.monitor import Monitor
from tests.admin_core.huggingface import BART, BERT, GPT2, T5, spec_of
from tests.admin_core.specs import EVERY_PART, small
from tests.admin_core.test_streamed_diagnosis import STREAMED, assert_same_numbers
from tests.admin_core.training.arms import arm
from tests.admin_core.training.test_arm import without_times
from tests.admin_core.training.test_arm_of_any_model import run_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")

GPU = "cuda:0"
MEASURED = ["omega", "amplification", "dependency", "gradients"]
SHARE = 2e-3
"""By which a number of the two devices may differ: they add in another order, in 24 bits."""


def diagnosis(**changes: Any) -> DiagnosisSpec:
    # Dropout would draw from the device's own stream.
    fields: dict[str, Any] = {
        "model": small(dropout=0.0, attention_dropout=0.0),
        "training": {"batch_size": 4, "sequence_length": 16},
        "analyses": MEASURED,
        "seed": 3,
    }
    return DiagnosisSpec.model_validate(fields | changes)


def numbers(report: Report) -> dict[str, float]:
    """The report's measured numbers by their path."""
    told = report.model_dump(
        mode="json", include={"branches", "omega", "amplification", "dependency", "gradients"}
    )
    found: dict[str, float] = {}

    def walk(path: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, part in value.items():
                walk(f"{path}.{key}", part)
        elif isinstance(value, list):
            for i, part in enumerate(value):
                walk(f"{path}.{i}", part)
        elif isinstance(value, float):
            found[path] = value

    walk("", told)
    return found


def assert_alike(one: Report, other: Report) -> None:
    ours, theirs = numbers(one), numbers(other)
    assert ours.keys() == theirs.keys()
    apart = {
        path: (ours[path], theirs[path])
        for path in ours
        if ours[path] != pytest.approx(theirs[path], rel=SHARE, abs=1e-5)
    }
    assert not apart


class TestADiagnosis:
    @pytest.mark.parametrize("parts", EVERY_PART, ids=str)
    def test_measures_what_it_measures_on_a_cpu(self, parts: Mapping[str, Any]) -> None:
        model = small(**parts, dropout=0.0, attention_dropout=0.0)
        spec = diagnosis(model=model)
        on_gpu = diagnose_spec(spec, device=GPU)
        assert on_gpu.environment.device == GPU
        assert_alike(on_gpu, diagnose_spec(spec))

    @pytest.mark.parametrize("config", [BERT, GPT2, BART, T5], ids=["bert", "gpt2", "bart", "t5"])
    def test_of_an_architecture_of_transformers_too(self, config: dict[str, Any]) -> None:
        omega = {"dropout": False}
        spec = diagnosis(model=spec_of(config), analyses=["omega", "amplification"], omega=omega)
        on_gpu, on_cpu = numbers(diagnose_spec(spec, device=GPU)), numbers(diagnose_spec(spec))
        for path in [path for path in on_gpu if path.startswith(".amplification.update.")]:
            del on_gpu[path], on_cpu[path]  # with dropout, which the config asks for
        assert on_gpu == pytest.approx(on_cpu, rel=SHARE, abs=1e-5)

    def test_is_the_same_twice_with_dropout(self) -> None:
        spec = diagnosis(model=small(dropout=0.3, attention_dropout=0.3))
        assert numbers(diagnose_spec(spec, device=GPU)) == numbers(diagnose_spec(spec, device=GPU))

    def test_foretells_what_it_foretells_on_a_cpu(self) -> None:
        model = small("decoder_only", dropout=0.0, d_model=32, scheme="post_ln")
        training = {"batch_size": 8, "sequence_length": 32, "steps": 200, "warmup_steps": 20}
        spec = diagnosis(model=model, training=training, analyses=["omega", "verdict"])
        on_gpu, on_cpu = diagnose_spec(spec, device=GPU).verdict, diagnose_spec(spec).verdict
        assert on_gpu is not None
        assert on_cpu is not None
        assert on_gpu.failure_probability is not None
        assert on_gpu.failure_probability == pytest.approx(on_cpu.failure_probability, abs=0.05)


class TestAModelThatIsNotHeldWhole:
    @pytest.mark.parametrize("parts", EVERY_PART, ids=str)
    def test_has_the_numbers_of_the_one_that_is(self, parts: Mapping[str, Any]) -> None:
        spec = diagnosis(model=small(**parts), analyses=["omega", "amplification"])
        streamed = diagnose_spec(spec, device=GPU, limits=STREAMED)
        assert_same_numbers(streamed, diagnose_spec(spec, device=GPU))

    def test_leaves_no_memory_behind(self) -> None:
        spec = diagnosis(model=small(d_model=256), analyses=["omega"])
        diagnose_spec(spec, device=GPU, limits=STREAMED)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        diagnose_spec(spec, device=GPU, limits=STREAMED)
        assert torch.cuda.memory_allocated() <= before


class TestANetworkOfSomebody:
    def network(self) -> tuple[nn.Module, dict[str, torch.Tensor]]:
        model: nn.Module = build_huggingface(spec_of(BERT), seed=0)
        model.eval().to(torch.device(GPU))
        tokens = torch.arange(32, device=GPU).reshape(2, 16) % 90 + 1
        return model, {"input_ids": tokens}

    def test_is_diagnosed_where_it_lies(self) -> None:
        model, inputs = self.network()
        analyses = (Analysis.OMEGA, Analysis.AMPLIFICATION)
        report = diagnose(model, inputs, analyses=analyses, omega=ClinicOmega(dropout=False))
        assert report.environment.device == GPU
        assert all(branch.omega for branch in report.branches)

    def test_takes_omegas_and_gives_them_back(self) -> None:
        model, inputs = self.network()
        found = discover(model, inputs)
        with torch.no_grad():
            before = model(**inputs).logits
            apply_omega(found.branches, [1.0] * len(found.branches))
            same = model(**inputs).logits
            remove_omega(model)
            after = model(**inputs).logits
        assert torch.allclose(before, same, atol=1e-5)
        assert torch.equal(before, after)


class TestARun:
    def test_goes_as_on_a_cpu(self) -> None:
        run = arm(model={"dropout": 0.0}, training={"steps": 10})
        on_gpu, on_cpu = train_arm(run, seed=0, device=GPU), train_arm(run, seed=0)
        assert on_gpu.losses == pytest.approx(on_cpu.losses, rel=5e-3)
        assert on_gpu.omegas == pytest.approx(on_cpu.omegas, rel=SHARE)

    def test_is_the_same_twice(self) -> None:
        run = arm(model={"dropout": 0.2})
        once, twice = (train_arm(run, seed=0, device=GPU) for _ in range(2))
        assert without_times(once) == without_times(twice)

    @pytest.mark.parametrize("optimizer", list(Optimizer))
    @pytest.mark.parametrize("autocast", ["none", "bf16"])
    def test_learns_with_every_optimizer(self, optimizer: Optimizer, autocast: str) -> None:
        rate = 0.3 if optimizer in (Optimizer.SGD, Optimizer.RADAM) else 1e-2
        training = {
            "optimizer": optimizer,
            "learning_rate": rate,
            "steps": 40,
            "clip_norm": 1.0,
            "autocast": autocast,
        }
        run = arm(training=training, model={"scheme": "pre_ln"})
        losses = train_arm(run, seed=0, device=GPU).losses
        assert min(losses[-5:]) < losses[0] - 1

    @pytest.mark.parametrize("optimizer", ["adam", "schedule_free"])
    def test_that_was_interrupted_ends_as_one_that_was_not(
        self, optimizer: str, tmp_path: Path
    ) -> None:
        run = arm(training={"optimizer": optimizer}, model={"dropout": 0.2})

        def leave(progress: Progress) -> None:
            if progress.share >= 0.5:
                raise AnalysisReleasedError

        checkpoint = Checkpoint(path=tmp_path / "run.safetensors", every_seconds=3600)
        with pytest.raises(AnalysisReleasedError):
            train_arm(run, seed=0, device=GPU, on_progress=leave, checkpoint=checkpoint)
        steps: list[int] = []
        resumed = train_arm(
            run,
            seed=0,
            device=GPU,
            on_point=lambda point: steps.append(point.step),
            checkpoint=checkpoint,
        )
        assert steps[0] == 11
        assert without_times(resumed) == without_times(train_arm(run, seed=0, device=GPU))

    def test_of_an_architecture_of_transformers_learns(self) -> None:
        losses = train_arm(run_of(GPT2), seed=0, device=GPU).losses
        assert losses[-1] < losses[0] - 0.5


def test_a_loop_of_ones_own_is_watched_on_a_gpu() -> None:
    spec = small(dropout=0.0, vocab_size=300)
    model = build_transformer(spec, seed=0, device=torch.device(GPU))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with Monitor(model, optimizer, every=1) as monitor:
        for step in range(3):
            batch = make_batch(
                TextData(), spec, batch_size=3, sequence_length=8, seed=0, step=step
            ).to(torch.device(GPU))
            loss = batch_loss(model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            monitor.step(loss)
    assert [point.step for point in monitor.points] == [1, 2, 3]
