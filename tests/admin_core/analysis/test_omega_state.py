import admin_torch
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from admin_core.analysis.omega_state import load_omega_state, omega_state
from admin_core.errors import OmegaFileError
from admin_core.models.sublayer import ScaledShortcutAddition
from admin_core.models.transformer import build_transformer
from admin_core.omega_files import tensor_name, write_safetensors
from admin_core.residual import SubLayerBranch, residual_branches
from tests.admin_core.specs import small

D_MODEL = 16


def admin_branches() -> list[SubLayerBranch]:
    return residual_branches(build_transformer(small(scheme="admin"), seed=0))


def test_a_trained_omega_comes_back_bit_for_bit() -> None:
    branches, others = admin_branches(), admin_branches()
    for branch in branches:
        nn.init.normal_(branch.sublayer.add.get_parameter("omega"))
    load_omega_state(others, omega_state(branches))
    for name, omega in omega_state(branches).items():
        assert torch.equal(omega_state(others)[name], omega)


@pytest.mark.parametrize("num_features", [1, D_MODEL])
def test_a_file_loads_into_a_model_of_admin_torch_modules(num_features: int) -> None:
    branches = admin_branches()
    omegas = [1 + k / 2 for k in range(len(branches))]
    theirs = nn.Module()
    for branch in branches:
        module: nn.Module = theirs
        for name in f"{branch.path}.add".split(".")[:-1]:
            if name not in dict(module.named_children()):
                module.add_module(name, nn.Module())
            module = module.get_submodule(name)
        as_parameter = num_features > 1
        add = admin_torch.as_module(10, as_parameter=as_parameter, embed_dim=D_MODEL)
        module.add_module("add", add)

    state = safetensors.torch.load(write_safetensors(branches, omegas, num_features=num_features))
    theirs.load_state_dict(state)
    load_omega_state(branches, theirs.state_dict())

    shortcut, output = torch.randn(2, 3, D_MODEL), torch.randn(2, 3, D_MODEL)
    for branch, omega in zip(branches, omegas, strict=True):
        ours = branch.sublayer.add(shortcut, output)
        assert torch.equal(ours, theirs.get_submodule(f"{branch.path}.add")(shortcut, output))
        torch.testing.assert_close(ours, omega * shortcut + output)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (torch.ones(3), r"has the shape \(3,\), where \(1,\) or \(16,\) fits"),
        (torch.ones(1, 1), r"has the shape \(1, 1\)"),
        (torch.full((1,), torch.nan), "something else than finite real numbers"),
        (torch.ones(1, dtype=torch.long), "something else than finite real numbers"),
        (None, "is missing; 10 omegas belong"),
    ],
)
def test_a_wrong_tensor_is_named_and_changes_nothing(wrong: Tensor | None, complaint: str) -> None:
    branches = admin_branches()
    state = {name: 2 * omega for name, omega in omega_state(branches).items()}
    name = tensor_name(branches[7])
    if wrong is None:
        del state[name]
    else:
        state[name] = wrong
    with pytest.raises(OmegaFileError, match=f"{name}.*{complaint}"):
        load_omega_state(branches, state)
    assert all((omega == 1).all() for omega in omega_state(branches).values())


def test_an_omega_of_no_sublayer_is_named() -> None:
    branches = admin_branches()
    with pytest.raises(OmegaFileError, match=r"'encoder\.layers\.9\.add\.omega'"):
        load_omega_state(
            branches, omega_state(branches) | {"encoder.layers.9.add.omega": torch.ones(1)}
        )


def test_a_model_without_omegas_has_no_state() -> None:
    assert omega_state(residual_branches(build_transformer(small(), seed=0))) == {}


def test_our_addition_is_that_of_admin_torch() -> None:
    ours = ScaledShortcutAddition(D_MODEL)
    theirs = admin_torch.as_module(24, as_parameter=True, embed_dim=D_MODEL)
    ours.load_state_dict(theirs.state_dict())
    shortcut, output = torch.randn(2, 3, D_MODEL), torch.randn(2, 3, D_MODEL)
    assert torch.equal(ours(shortcut, output), theirs(shortcut, output))
