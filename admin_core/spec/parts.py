"""What all parts of a spec share: numbers that are numbers, closed and finite objects, and errors
that name their field."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


def _no_disguised_number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise PydanticCustomError("number_type", "Input should be a number, written as a number")
    return value


Count = Annotated[int, BeforeValidator(_no_disguised_number), Field(ge=1)]
Whole = Annotated[int, BeforeValidator(_no_disguised_number), Field(ge=0)]
Real = Annotated[float, BeforeValidator(_no_disguised_number)]
Probability = Annotated[Real, Field(ge=0, lt=1)]


class Part(BaseModel):
    """Base of all specs: immutable, closed to unknown fields, finite."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True
    )


def refuse(path: tuple[str, ...], value: object, kind: str, message: str) -> ValidationError:
    """A validation error at `path` below the field under validation, where pydantic would say
    only the field itself."""
    return ValidationError.from_exception_data(
        "spec",
        [
            InitErrorDetails(
                # Braces would be read as a template.
                type=PydanticCustomError(kind, "{message}", {"message": message}),
                loc=path,
                input=value,
            )
        ],
    )
