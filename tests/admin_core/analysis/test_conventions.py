import math

import pytest
import torch

from admin_core.analysis.conventions import first_value_rule, make_chain
from admin_core.spec import ClinicOmega, ClosedFormOmega, FirstValue, OmegaSpec, PaperOmega

VARIANCES = [(1.5, 0.2), (1.0, 0.4), (1.0, 0.3)]
"""Var[x_{i-1}] and Var[f_i] of three sub-layers."""

EMBEDDING = PaperOmega(convention="paper", first_value=FirstValue.EMBEDDING_VARIANCE)
ONE = PaperOmega(convention="paper", first_value=FirstValue.ONE)
O_1 = ClosedFormOmega.model_validate({"convention": "closed_form", "scale": "O(1)"})


@pytest.mark.parametrize(
    ("omega", "squares"),
    [
        (ClinicOmega(), [1.0, 1.5 + 0.2, 1.5 + 0.2 + 0.4]),
        (EMBEDDING, [1.5, 1.5 + 0.2, 1.5 + 0.2 + 0.4]),
        (ONE, [1.0, 0.2, 0.2 + 0.4]),
        (O_1, [3.0, 3.0, 3.0]),
    ],
    ids=["clinic", "paper, embedding variance", "paper, one", "closed form"],
)
def test_each_convention_accumulates_what_it_says(omega: OmegaSpec, squares: list[float]) -> None:
    chain = make_chain(omega, num_sublayers=3)
    found = [chain.found(torch.tensor(x), torch.tensor(f)) for x, f in VARIANCES]
    assert [float(omega) for omega in found] == pytest.approx([math.sqrt(s) for s in squares])


def test_the_clinic_chain_scales_its_shortcuts_by_what_it_has_found() -> None:
    chain = make_chain(ClinicOmega(), num_sublayers=3)
    for x, f in VARIANCES:
        applied = chain.applied()
        assert applied is not None
        assert float(applied) == float(chain.found(torch.tensor(x), torch.tensor(f)))


def test_the_paper_profiles_the_unscaled_network() -> None:
    assert make_chain(EMBEDDING, num_sublayers=3).applied() is None


@pytest.mark.parametrize(
    ("omega", "words"),
    [
        (ClinicOmega(), "omega_1 = 1"),
        (ONE, "omega_1 = 1"),
        (EMBEDDING, "Var[x_0]"),
        (O_1, "O(1)"),
    ],
)
def test_the_rule_for_the_first_omega_can_be_told(omega: OmegaSpec, words: str) -> None:
    assert words in first_value_rule(omega)
