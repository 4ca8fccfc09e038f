"""The slow version and the model are the same function."""

from typing import Any

import pytest
import torch

from admin_core.data.batches import make_batch
from admin_core.models.transformer import build_transformer
from admin_core.residual import at_additions, at_states, residual_branches
from admin_core.spec import Architecture, Scheme, SyntheticData, SyntheticName, TransformerSpec
from tests.admin_core.slow import slow_pass

UNIFORM = SyntheticData(kind="synthetic", name=SyntheticName.UNIFORM)


def assert_same(options: dict[str, Any], *, padded: bool = False) -> None:
    spec = TransformerSpec(**{"d_model": 12, "num_heads": 3, "vocab_size": 20} | options)
    model = build_transformer(spec, seed=0).eval()
    batch = make_batch(UNIFORM, spec, batch_size=2, sequence_length=5, seed=0)
    inputs = dict(batch.inputs)
    if padded:
        inputs["source_padding"] = torch.arange(5).expand(2, 5) >= torch.tensor([[5], [3]])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # gates and biases at 0, gains at 1 would hide what they do
        for parameter in model.parameters():
            if parameter.ndim < 2:
                parameter.add_(torch.rand(parameter.shape, generator=generator) / 4)
    branches = residual_branches(model)
    outputs: list[torch.Tensor] = []
    states: list[torch.Tensor] = []
    with (
        torch.no_grad(),
        at_additions(branches, lambda branch, x, f: outputs.append(f)),
        at_states(branches, lambda branch, x: states.append(x)),
    ):
        model.states(**inputs)

    slow = slow_pass(model, inputs)

    assert [record.path for record in slow] == [branch.path for branch in branches]
    assert [record.index for record in slow] == [branch.index for branch in branches]
    for record, output, state in zip(slow, outputs, states, strict=True):
        torch.testing.assert_close(record.f.float(), output, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(record.state.float(), state, rtol=1e-5, atol=1e-5)


def layers_of(architecture: Architecture) -> dict[str, Any]:
    encoder = None if architecture is Architecture.DECODER_ONLY else 2
    decoder = None if architecture is Architecture.ENCODER_ONLY else 2
    return {"architecture": architecture, "encoder_layers": encoder, "decoder_layers": decoder}


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("architecture", list(Architecture))
def test_the_model_does_what_the_slow_version_does(
    architecture: Architecture, scheme: Scheme
) -> None:
    assert_same({**layers_of(architecture), "scheme": scheme})


def test_padding_is_attended_to_by_neither() -> None:
    assert_same(layers_of(Architecture.ENCODER_DECODER), padded=True)


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "rms_norm", "activation": "swiglu", "positions": "rotary", "num_kv_heads": 1},
        {"activation": "gelu", "positions": "learned", "parallel": True},
        {"qk_norm": True, "tied_embeddings": False},
    ],
    ids=lambda options: "-".join(options),
)
def test_every_option_of_the_model_has_a_slow_version(options: dict[str, Any]) -> None:
    assert_same(
        {**layers_of(Architecture.DECODER_ONLY), "scheme": Scheme.PRE_LN, "max_positions": 8}
        | options
    )
