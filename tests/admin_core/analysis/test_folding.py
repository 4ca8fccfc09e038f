from typing import Any

import pytest
import torch
from torch import Tensor

from admin_core.analysis.folding import fold
from admin_core.analysis.omega_state import omega_state
from admin_core.data.batch import Batch
from admin_core.data.batches import make_batch
from admin_core.errors import FoldingError, InvalidSpecError, TiedEmbeddingError
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.residual import residual_branches
from admin_core.seeds import ambient
from admin_core.spec import (
    Optimizer,
    Positions,
    Scheme,
    SyntheticData,
    SyntheticName,
    TrainingSpec,
    TransformerSpec,
)
from admin_core.training.loss import batch_loss
from admin_core.training.optimizers import make_optimizer
from tests.admin_core.specs import small

UNTIED: dict[str, Any] = {"tied_embeddings": False, "positions": "learned", "max_positions": 12}


def drawn(spec: TransformerSpec, *, step: int = 0) -> Batch:
    data = SyntheticData(kind="synthetic", name=SyntheticName.UNIFORM)
    return make_batch(data, spec, batch_size=4, sequence_length=10, seed=0, step=step)


def with_random_omegas(spec: TransformerSpec, *, first: bool) -> Transformer:
    """A fresh model whose omegas, norms and biases lie off their initial values; the first omega
    of each stack only where `first`."""
    torch.manual_seed(0)
    model = build_transformer(spec, seed=0)
    indices = {f"{branch.path}.add.omega": branch.index for branch in residual_branches(model)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and (first or indices.get(name) != 1):
                parameter.add_(0.2 * torch.randn(len(parameter)))
                if name in indices:
                    parameter.add_(indices[name] ** 0.5)
    return model


def trained(spec: TransformerSpec, *, freeze_first: bool = False) -> Transformer:
    """A model after 50 steps of Adam on everything, or on all but the first omegas."""
    torch.manual_seed(0)
    model = build_transformer(spec, seed=0)
    if freeze_first:
        for branch in residual_branches(model):
            if branch.index == 1:
                branch.sublayer.add.requires_grad_(False)
    optimizer = make_optimizer(model, TrainingSpec(optimizer=Optimizer.ADAM, learning_rate=3e-3))
    for step in range(50):
        optimizer.zero_grad()
        batch_loss(model, drawn(spec, step=step)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    later = [omega for name, omega in omega_state(residual_branches(model)).items()][1:]
    assert all(omega.std() > 1e-3 for omega in later if (omega != 1).any()), "omegas per feature"
    return model


@torch.no_grad()
def logits(model: Transformer, spec: TransformerSpec) -> Tensor:
    return model.eval()(**drawn(spec, step=99).inputs)  # type: ignore[no-any-return]


def assert_folds(model: Transformer, spec: TransformerSpec, *, untie: bool = False) -> Transformer:
    expected = logits(model, spec)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    folded, folded_spec = fold(model, spec, untie=untie)

    torch.testing.assert_close(logits(folded, spec), expected, rtol=1e-5, atol=1e-5)
    assert Scheme.ADMIN not in map(folded_spec.scheme_of, folded_spec.layers)
    build_transformer(folded_spec, seed=1).load_state_dict(folded.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name} of the folded model was changed"
    return folded


@pytest.mark.parametrize("architecture", ["encoder_only", "decoder_only", "encoder_decoder"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm": "rms_norm"},
        {"activation": "swiglu"},
        {"num_kv_heads": 2, "qk_norm": True},
        {"positions": "rotary"},
        {"initialisation": "t5"},
    ],
    ids=str,
)
def test_a_folded_model_gives_the_same_outputs(architecture: str, changes: dict[str, Any]) -> None:
    spec = small(architecture, scheme="admin", **changes)
    assert_folds(with_random_omegas(spec, first=False), spec)


@pytest.mark.parametrize(
    "scheme",
    [{"encoder": "admin", "decoder": "pre_ln"}, {"encoder": "post_ln", "decoder": "admin"}],
)
def test_a_hybrid_folds_where_it_is_admin(scheme: dict[str, str]) -> None:
    spec = small(scheme=scheme)
    assert_folds(with_random_omegas(spec, first=False), spec)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_first_omega_folds_into_an_embedding_of_its_own(positions: str) -> None:
    spec = small(scheme="admin", **UNTIED | {"positions": positions})
    assert_folds(with_random_omegas(spec, first=True), spec)


@pytest.mark.parametrize(
    "changes", [{}, {"initialisation": "t5"}, {"positions": "rotary"}], ids=str
)
@pytest.mark.parametrize("architecture", ["encoder_only", "decoder_only", "encoder_decoder"])
def test_a_first_omega_folds_into_tied_embeddings_by_untying_them(
    architecture: str, changes: dict[str, Any]
) -> None:
    spec = small(architecture, scheme="admin", **changes)
    model = with_random_omegas(spec, first=True)
    assert_folds(model, spec, untie=True)


class TestAfterTraining:
    def test_an_untied_model_folds(self) -> None:
        spec = small(scheme="admin", **UNTIED)
        assert_folds(trained(spec), spec)

    def test_a_tied_model_folds_by_untying(self) -> None:
        spec = small(scheme="admin")
        model = trained(spec)
        with pytest.raises(TiedEmbeddingError, match=r"encoder\.embedding\.tokens.*`untie`"):
            fold(model, spec)
        folded = assert_folds(model, spec, untie=True)
        assert folded.output is not None

    def test_a_tied_model_folds_where_the_first_omega_stayed_one(self) -> None:
        spec = small(scheme="admin")
        assert_folds(trained(spec, freeze_first=True), spec)


def test_dropout_acts_on_a_folded_model_as_before() -> None:
    spec = small(
        scheme="admin", dropout=0.3, attention_dropout=0.2, activation_dropout=0.1, **UNTIED
    )
    model = with_random_omegas(spec, first=True)
    folded, _ = fold(model, spec)
    outputs = []
    for either in (model.train(), folded.train()):
        with ambient(0, "dropout", torch.device("cpu")), torch.no_grad():
            outputs.append(either(**drawn(spec).inputs))
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)


def test_fixed_positions_cannot_take_a_first_omega() -> None:
    spec = small(scheme="admin", tied_embeddings=False)
    with pytest.raises(TiedEmbeddingError, match="fixed sinusoids"):
        fold(with_random_omegas(spec, first=True), spec)


def test_untying_changes_no_more_than_it_must() -> None:
    spec = small(scheme="admin")
    _, folded_spec = fold(with_random_omegas(spec, first=False), spec, untie=True)
    assert folded_spec == spec.model_copy(update={"scheme": Scheme.POST_LN})
    _, folded_spec = fold(with_random_omegas(spec, first=True), spec, untie=True)
    assert (folded_spec.tied_embeddings, folded_spec.positions) == (False, Positions.LEARNED)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_an_omega_that_carries_nothing_cannot_be_folded(value: float) -> None:
    spec = small(scheme="admin")
    model = build_transformer(spec, seed=0)
    name = "decoder.layers.1.cross_attention.add.omega"
    with torch.no_grad():
        model.get_parameter(name)[3] = value
    with pytest.raises(FoldingError, match=f"{name}.*{value} at feature 3"):
        fold(model, spec)


def test_a_model_without_omegas_has_nothing_to_fold() -> None:
    spec = small(scheme="pre_ln")
    with pytest.raises(InvalidSpecError, match="no Admin stack"):
        fold(build_transformer(spec, seed=0), spec)
