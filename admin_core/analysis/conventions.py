"""The conventions for omega, each as a chain that is told one sub-layer after another.

Notation:
    omega_i   scale on the shortcut of sub-layer i; a chain of its own in each stack
    x_0       the stack's embedding, input of its first sub-layer
    Var       population variance, see `profiling`

    clinic        omega_1 = 1,  omega_{i+1}^2 = Var[omega_i x_{i-1}] + Var[f_i(x_{i-1})], where each
                  omega is applied in the pass that measures it: the authors' released code
    paper         a pass with every omega 1, then omega_i^2 = sum_{j<i} Var[f_j]. The empty sum of
                  omega_1 is 0, which deletes the embedding, so that something else stands there:
                  embedding_variance lets j begin at 0 with Var[x_0]; one sets omega_1 = 1 alone
    closed_form   the same omega everywhere, from the number of sub-layers (`admin_core.schemes`)

Sources: Liu et al., EMNLP 2020, arXiv:2004.08249; Transformer-Clinic; admin-torch.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from admin_core.schemes import closed_form_omega
from admin_core.spec import ClosedFormOmega, FirstValue, OmegaSpec, PaperOmega


@runtime_checkable
class OmegaChain(Protocol):
    """The omegas of one stack, in forward order."""

    def applied(self) -> Tensor | None:
        """The scale on the next sub-layer's shortcut in this pass; None for none."""

    def found(self, shortcut_variance: Tensor, branch_variance: Tensor) -> Tensor:
        """omega_i of that sub-layer, given Var[x_{i-1}] and Var[f_i(x_{i-1})] of the pass."""


class ClinicChain:
    """omega_1 = 1, omega_{i+1}^2 = Var[omega_i x_{i-1}] + Var[f_i]; each applied at once."""

    def __init__(self) -> None:
        self.omega = torch.ones((), dtype=torch.float64)

    def applied(self) -> Tensor:
        return self.omega

    def found(self, shortcut_variance: Tensor, branch_variance: Tensor) -> Tensor:
        omega = self.omega.to(shortcut_variance.device)
        self.omega = (omega.square() * shortcut_variance + branch_variance).sqrt()
        return omega


class PaperChain:
    """omega_i^2 = sum_{j<i} Var[f_j], none applied; see `FirstValue` for omega_1."""

    def __init__(self, first_value: FirstValue) -> None:
        self.first_value = first_value
        self.squared: Tensor | None = None

    def applied(self) -> None:
        return None

    def found(self, shortcut_variance: Tensor, branch_variance: Tensor) -> Tensor:
        if self.squared is None:
            counts = self.first_value is FirstValue.EMBEDDING_VARIANCE
            self.squared = shortcut_variance if counts else torch.zeros_like(shortcut_variance)
            omega = self.squared.sqrt() if counts else torch.ones_like(self.squared)
        else:
            omega = self.squared.sqrt()
        self.squared = self.squared + branch_variance
        return omega


class ClosedFormChain:
    """One omega for every sub-layer, applied in the pass."""

    def __init__(self, omega: float) -> None:
        self.omega = torch.tensor(omega, dtype=torch.float64)

    def applied(self) -> Tensor:
        return self.omega

    def found(self, shortcut_variance: Tensor, branch_variance: Tensor) -> Tensor:
        return self.omega.to(shortcut_variance.device)


def make_chain(omega: OmegaSpec, *, num_sublayers: int) -> OmegaChain:
    """A fresh chain for one stack by the convention that was asked for."""
    match omega:
        case PaperOmega():
            return PaperChain(omega.first_value)
        case ClosedFormOmega():
            return ClosedFormChain(closed_form_omega(num_sublayers, omega.scale))
        case _:
            return ClinicChain()


def first_value_rule(omega: OmegaSpec) -> str:
    """How omega_1 comes about, in words for a report."""
    match omega:
        case PaperOmega(first_value=FirstValue.EMBEDDING_VARIANCE):
            return "omega_1^2 = Var[x_0], the embedding's, which also enters every later omega"
        case ClosedFormOmega():
            return f"omega_1 = omega, the closed form {omega.scale.value} like all others"
        case _:
            return "omega_1 = 1 in each stack"
