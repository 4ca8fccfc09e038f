"""Any architecture of the Transformers library, by its config.

The config is what stands in a model's `config.json`, pasted unchanged. Here its shape is checked:
that it is finite, bounded and free of code. What it means is for the library to say, which the core
asks (`admin_core.models.huggingface`). Neither torch nor Transformers is loaded.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from admin_core.spec.model import Scheme
from admin_core.spec.parts import Part

MAX_DEPTH = 16
"""Objects and lists inside each other."""

MAX_VALUES = 100_000
"""Numbers, names and truth values of a config, all told."""

MAX_NUMBER = 10**12
"""Magnitude of a whole number."""

MAX_COUNT = 5_000
"""Of layers, heads, experts and the like: each becomes an object, even where no weight is
allocated."""

MAX_LABELS = 100_000
"""Of classes, each of which has a name in the config."""

CODE_FIELDS = ("auto_map", "trust_remote_code", "custom_pipelines")
"""Fields that name code to download and run."""

_COUNTS = re.compile(
    r"(?:^|_)(?:layers?|blocks|depths?|experts|heads?|stages|groups|kernels|codebooks)(?:_|$)"
    r"|^num_\w*convs?\b"
)
_SIZE_OR_INDEX = re.compile(r"dim|size|width|ratio|freq|interval|step|period|offset|idx|index|pool")

_SCHEMES = (Scheme.POST_LN, Scheme.PRE_LN, Scheme.ADMIN)

Trail = tuple[str | int, ...]
"""Where a value stands in the config."""

Refuse = Callable[[Trail, str, str], None]
"""Notes the place, a stable name and a sentence for what is wrong."""


def _walk(value: Any, trail: Trail = ()) -> Iterator[tuple[Trail, Any]]:
    """Every value with its place, outer ones first."""
    yield trail, value
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _walk(inner, (*trail, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _walk(inner, (*trail, position))


def _checked(config: dict[str, Any]) -> dict[str, Any]:
    errors: list[InitErrorDetails] = []

    def refuse(trail: Trail, kind: str, message: str) -> None:
        custom = PydanticCustomError(kind, "{message}", {"message": message})
        errors.append(InitErrorDetails(type=custom, loc=trail, input=None))

    _check_model_type(config, refuse)
    for number, (trail, value) in enumerate(_walk(config)):
        if number > MAX_VALUES:
            refuse((), "config_too_long", f"Holds more than {MAX_VALUES:,} values")
            break
        if len(trail) > MAX_DEPTH:
            refuse(trail[:2], "config_too_deep", f"Nested deeper than {MAX_DEPTH} levels")
            break
        found = _fault(trail, value)
        if found is not None:
            refuse(trail, *found)
    if errors:
        raise ValidationError.from_exception_data("config", errors)
    return config


def _check_model_type(config: Mapping[str, Any], refuse: Refuse) -> None:
    if "model_type" not in config:
        refuse(
            ("model_type",),
            "missing",
            "Names the architecture, such as bert or gpt2, and stands in every config.json",
        )
    elif not isinstance(config["model_type"], str):
        refuse(("model_type",), "string_type", "Input should be a name, such as bert or gpt2")


def _fault(trail: Trail, value: Any) -> tuple[str, str] | None:
    """A stable name and a sentence for what is wrong with one value, taken by itself."""
    name = next((str(step) for step in reversed(trail) if isinstance(step, str)), "")
    if name in CODE_FIELDS and trail[-1] == name and value not in (None, False):
        return (
            "remote_code",
            "Names code to download and run, which this service never does; use a model_type of "
            "the Transformers library itself and leave this field out",
        )
    if isinstance(value, bool | str | Mapping | list | None):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return "finite_number", (
            'Input should be a finite number; where the library means infinity, write {"__float__":'
            ' "Infinity"}'
        )
    if isinstance(value, float):
        return None
    if not isinstance(value, int):
        return "json_type", "Input should be what JSON can say"
    if abs(value) > MAX_NUMBER:
        return "number_too_large", f"Magnitudes end at {MAX_NUMBER:,} in a config"
    if name == "num_labels" and not 0 <= value <= MAX_LABELS:
        return "too_many_labels", f"Labels are counted from 0 to {MAX_LABELS:,}"
    if _COUNTS.search(name) and not _SIZE_OR_INDEX.search(name) and abs(value) > MAX_COUNT:
        return "count_too_large", f"There can be {MAX_COUNT:,} of these at most"
    return None


def _config_schema(schema: dict[str, Any]) -> None:
    schema["properties"] = {
        "model_type": {"type": "string", "examples": ["bert", "gpt2", "t5"]},
        "architectures": {"type": "array", "items": {"type": "string"}},
    }
    schema["required"] = ["model_type"]


Config = Annotated[
    dict[str, Any], AfterValidator(_checked), Field(json_schema_extra=_config_schema)
]


class HuggingFaceSpec(Part):
    """A model of the Transformers library, with fresh weights."""

    kind: Literal["huggingface"]
    config: Config
    """The model's `config.json`, unchanged. `architectures` picks the head, where it names a class
    that this service can make inputs for; `dtype` and `quantization_config` have no effect, as
    fresh weights are float32."""
    scheme: Scheme | None = None
    """`admin` puts an omega on every shortcut of a Post-LN model; `post_ln` and `pre_ln` only say
    what the architecture is already. As it is, unless given."""

    @field_validator("scheme")
    @classmethod
    def _scheme_can_be_had(cls, scheme: Scheme | None) -> Scheme | None:
        if scheme is not None and scheme not in _SCHEMES:
            raise PydanticCustomError(
                "scheme_of_another_model",
                "{scheme} places norms or scales weights while a network is built, and this one "
                "is built by its library; give admin for a Post-LN architecture, or leave this "
                "field out",
                {"scheme": scheme.value},
            )
        return scheme

    @property
    def model_type(self) -> str:
        """The architecture's name in the library."""
        return str(self.config["model_type"])
