from pathlib import Path

import pytest
import torch

from admin_core.data.batches import make_batch
from admin_core.errors import CheckpointError
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.spec import Optimizer, Scheme, TextData, TrainingSpec
from admin_core.training.checkpoints import load_checkpoint, save_checkpoint
from admin_core.training.optimizers import make_optimizer
from admin_core.training.step import training_step
from tests.admin_core.specs import small

SPEC = small(scheme=Scheme.ADMIN)
STATE = {"step": 3, "losses": [0.1 + 0.2, 1e-300, 5.551315784454346]}


def fresh(optimizer: Optimizer, seed: int) -> tuple[Transformer, torch.optim.Optimizer]:
    model = build_transformer(SPEC, seed=seed)
    return model, make_optimizer(model, TrainingSpec(optimizer=optimizer, momentum=0.9))


def step(model: Transformer, optimizer: torch.optim.Optimizer, number: int) -> float:
    batch = make_batch(TextData(), SPEC, batch_size=2, sequence_length=8, seed=0, step=number)
    torch.manual_seed(number)
    return training_step(model, optimizer, [batch], TrainingSpec(), learning_rate=1e-3)


@pytest.mark.parametrize("name", list(Optimizer))
def test_what_was_loaded_trains_on_as_what_was_saved(name: Optimizer, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    model, optimizer = fresh(name, seed=0)
    for number in range(7):
        step(model, optimizer, number)
    save_checkpoint(path, model=model, optimizer=optimizer, run="a", state=STATE)

    loaded, its_optimizer = fresh(name, seed=1)
    assert load_checkpoint(path, model=loaded, optimizer=its_optimizer, run="a") == STATE
    for number in range(7, 10):
        assert step(model, optimizer, number) == step(loaded, its_optimizer, number)
    for one, other in zip(model.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(one, other)


def saved(tmp_path: Path) -> Path:
    path = tmp_path / "run.safetensors"
    model, optimizer = fresh(Optimizer.ADAM, seed=0)
    save_checkpoint(path, model=model, optimizer=optimizer, run="a", state=STATE)
    return path


def test_nothing_but_the_checkpoint_is_left_in_its_folder(tmp_path: Path) -> None:
    path = saved(tmp_path)
    saved(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    model, optimizer = fresh(Optimizer.ADAM, seed=0)
    with pytest.raises(CheckpointError, match=r"run\.safetensors.*belongs to another run"):
        load_checkpoint(saved(tmp_path), model=model, optimizer=optimizer, run="b")


@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing"])
def test_a_file_that_cannot_be_read_is_named(damage: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:1_000] if damage == "truncated" else b"not a tensor")
    model, optimizer = fresh(Optimizer.ADAM, seed=0)
    with pytest.raises(CheckpointError, match=r"run\.safetensors.*cannot be read"):
        load_checkpoint(path, model=model, optimizer=optimizer, run="a")
