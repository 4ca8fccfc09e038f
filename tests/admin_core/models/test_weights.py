from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from admin_core.errors import WeightsError
from admin_core.models.transformer import build_transformer
from admin_core.models.weights import load_weights
from tests.admin_core.specs import small


def saved(path: Path, **changes: torch.Tensor | None) -> Path:
    """A file of the small model's weights of seed 1, with tensors replaced or left out."""
    weights: dict[str, torch.Tensor] = {
        name: parameter.detach()
        for name, parameter in build_transformer(small(), seed=1).named_parameters()
    }
    for name, tensor in changes.items():
        weights.pop(name, None)
        if tensor is not None:
            weights[name] = tensor
    save_file(weights, path)
    return path


FIRST = "encoder.layers.0.feed_forward.branch.output.bias"


def test_every_parameter_is_the_files(tmp_path: Path) -> None:
    model = build_transformer(small(), seed=0)
    load_weights(model, saved(tmp_path / "weights.safetensors"))
    expected = build_transformer(small(), seed=1).state_dict()
    torch.testing.assert_close(model.state_dict(), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({FIRST: None}, f"lacks {FIRST}"),
        ({"encoder.surplus": torch.zeros(2)}, "the model lacks, encoder.surplus"),
        ({FIRST: torch.zeros(3)}, rf"another shape for {FIRST} \(3,\) for \(16,\)"),
    ],
    ids=["missing", "superfluous", "misshapen"],
)
def test_a_file_that_does_not_fit_changes_nothing(
    tmp_path: Path, changes: dict[str, torch.Tensor | None], message: str
) -> None:
    model = build_transformer(small(), seed=0)
    with pytest.raises(WeightsError, match=message):
        load_weights(model, saved(tmp_path / "weights.safetensors", **changes))
    expected = build_transformer(small(), seed=0).state_dict()
    torch.testing.assert_close(model.state_dict(), expected, rtol=0, atol=0)


def test_a_file_of_something_else_is_no_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="no safetensors file"):
        load_weights(build_transformer(small(), seed=0), path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.safetensors"):
        load_weights(build_transformer(small(), seed=0), tmp_path / "gone.safetensors")
