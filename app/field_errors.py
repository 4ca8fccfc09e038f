"""Which fields of a request are wrong, by the path that its sender knows."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from admin_core.race_spec import RaceSpec
from admin_core.report import Report
from admin_core.spec import DiagnosisSpec
from admin_core.spec.pushed import PushedSpec
from admin_core.watched_run import RunEnd, StepPoints, WatchedRunSpec
from app.verification import Verification
from worker.problem import FieldError

MOST_ERRORS = 100
"""That are told; whoever has more has other things to look at first."""
LONGEST_PATH = 200
"""Characters; an unknown field's name is the sender's own, and may be long."""


def field_errors(errors: Iterable[Any], body: object) -> list[FieldError]:
    """Pydantic's errors, without what was sent, one for each field.

    Args:
        errors: as `ValidationError.errors()` gives them.
        body: what was validated.
    """
    found: dict[str, FieldError] = {}
    for error in errors:
        # A hostile body breaks a rule in each of its members.
        if len(found) == MOST_ERRORS:
            break
        path = error_path(error["loc"], body)
        # A union reports once for each of its members; the first is the likeliest.
        found.setdefault(
            path, FieldError(field=path, message=_message(error), type=str(error["type"]))
        )
    # Of a union, one member may say that an object is none of its names, and another what is
    # wrong inside the object; only the latter helps.
    return [e for path, e in found.items() if not any(p.startswith(f"{path}.") for p in found)]


def summary(errors: Sequence[FieldError]) -> str:
    """The first error as a sentence, with the number of the others."""
    first = errors[0]
    where = first.field or "The body"
    others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}: {first.message}{others}"


def error_path(location: Sequence[str | int], body: object) -> str:
    """`location` as a dotted path, without the names that pydantic adds for members of a union."""
    path = []
    here = body
    for step in location:
        if isinstance(here, Mapping) and step in here:
            here = here[step]
        elif isinstance(here, Sequence) and isinstance(step, int) and step < len(here):
            here = here[step]
        elif isinstance(step, int) or step in _fields():
            here = None
        else:
            continue
        path.append(str(step))
    return ".".join(path)[:LONGEST_PATH]


def _message(error: Any) -> str:
    if error["type"] == "union_tag_invalid":
        # Pydantic's own message repeats the tag.
        return f"Input should be one of {error['ctx']['expected_tags']}"
    if error["type"] in ("model_type", "model_attributes_type"):
        return "Input should be an object"
    return str(error["msg"])


def _names(schema: object) -> set[str]:
    """Names of all fields anywhere in a JSON schema."""
    if isinstance(schema, list):
        return set().union(*map(_names, schema))
    if not isinstance(schema, dict):
        return set()
    own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return own.union(*map(_names, schema.values()))


_FORMS = (
    *(DiagnosisSpec, RaceSpec, Verification, PushedSpec, Report),
    *(WatchedRunSpec, StepPoints, RunEnd),
)


@cache
def _fields() -> set[str]:
    """Names of all fields that any of them has."""
    return {"spec", "report"} | _names([form.model_json_schema() for form in _FORMS])
