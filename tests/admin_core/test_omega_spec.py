"""The conventions for omega, as they are asked for."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from admin_core.spec import ClinicOmega, OmegaSpec, PaperOmega

OMEGA: TypeAdapter[OmegaSpec] = TypeAdapter(OmegaSpec)


@pytest.mark.parametrize("omega", [{}, {"convention": "clinic"}])
def test_the_authors_released_code_is_the_default(omega: dict[str, Any]) -> None:
    assert OMEGA.validate_python(omega) == ClinicOmega()


def test_passes_can_be_chosen_without_naming_the_default_convention() -> None:
    assert OMEGA.validate_python({"batches": 4, "padding": "masked"}) == ClinicOmega.model_validate(
        {"batches": 4, "padding": "masked"}
    )


def test_the_paper_convention_takes_its_first_value() -> None:
    found = OMEGA.validate_python({"convention": "paper", "first_value": "embedding_variance"})
    assert isinstance(found, PaperOmega)


@pytest.mark.parametrize("zero", [0, 0.0, "0", "zero"])
def test_a_first_value_of_zero_is_refused_because_it_deletes_the_embedding(zero: object) -> None:
    with pytest.raises(ValidationError, match="deletes the embedding"):
        OMEGA.validate_python({"convention": "paper", "first_value": zero})


@pytest.mark.parametrize(
    ("omega", "field"),
    [
        ({"convention": "paper"}, "first_value"),
        ({"convention": "paper", "first_value": 1}, "first_value"),
        ({"convention": "paper", "first_value": "one", "scale": "O(1)"}, "scale"),
        ({"convention": "clinic", "first_value": "one"}, "first_value"),
        ({"convention": "clinic", "scale": "O(1)"}, "scale"),
        ({"convention": "closed_form"}, "scale"),
        ({"convention": "closed_form", "scale": "O(n^2)"}, "scale"),
        ({"convention": "closed_form", "scale": "O(n)", "first_value": "one"}, "first_value"),
        ({"batches": 0}, "batches"),
        ({"batches": "2"}, "batches"),
        ({"seeds": 101}, "seeds"),
        ({"padding": "dropped"}, "padding"),
    ],
)
def test_what_does_not_belong_is_refused_by_name(omega: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        OMEGA.validate_python(omega)
    assert refused.value.errors()[0]["loc"][-1] == field


def test_an_unknown_convention_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValidationError, match="'clinic', 'paper', 'closed_form'"):
        OMEGA.validate_python({"convention": "folklore"})
