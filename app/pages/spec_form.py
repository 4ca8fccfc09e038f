"""A spec as the fields of a form, and back.

The form lies over the JSON beside it: what has a field is the form's, everything else the JSON's.
The script of the page keeps both in step by the same rules, so that without it nothing is lost.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from admin_core.spec import ALL_ANALYSES, Architecture
from app.pages.fields import DATA, HUGGINGFACE, MODEL, SEED, TRAINING, FieldKind, FormField
from app.pages.forms import one

TRANSFORMER, HUGGINGFACE_KIND = "transformer", "huggingface"

Form = dict[str, list[str]]


class NoJsonError(Exception):
    """A text that should be a JSON object is none."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message


def read_json(text: str, field: str) -> dict[str, Any]:
    """The object that was typed.

    Raises:
        NoJsonError: it is none.
    """
    try:
        value = from_json(text)
    except ValueError as error:
        raise NoJsonError(field, f"This cannot be read as JSON: {error}.") from None
    if not isinstance(value, dict):
        raise NoJsonError(field, "This is JSON, but no object: begin with {.")
    return value


def spec_of_form(form: Form) -> dict[str, Any]:
    """What the form asks for, over the JSON beside it; not validated.

    Raises:
        NoJsonError: the JSON or the config is none.
    """
    spec = read_json(one(form, "json") or "{}", "json")
    if one(form, "model.kind") == HUGGINGFACE_KIND:
        spec["model"] = _huggingface(form)
    else:
        spec["model"] = _transformer(form, spec.get("model"))
    training = _object(spec.get("training"))
    betas = [_value(field, one(form, field.path)) for field in TRAINING if "betas" in field.path]
    for field in TRAINING:
        if "betas" not in field.path:
            _put(training, field, form)
    spec["training"] = training | {"betas": betas}
    spec["data"] = _data(form, spec.get("data"))
    _put(spec, SEED, form)
    spec["analyses"] = form.get("analyses", [])
    return spec


def form_of_spec(spec: Mapping[str, Any]) -> Form:
    """The fields of a spec, with the defaults of what it does not say."""
    model = _object(spec.get("model"))
    is_huggingface = model.get("kind") == HUGGINGFACE_KIND
    form = {"model.kind": [HUGGINGFACE_KIND if is_huggingface else TRANSFORMER]}
    flat = {**spec, "model": {} if is_huggingface else model}
    for field in (*MODEL, *TRAINING, *DATA, SEED):
        form[field.path] = [_text(_at(flat, field.steps), field.default)]
    scheme = flat["model"].get("scheme")
    if isinstance(scheme, Mapping):
        form["model.scheme"] = [str(scheme.get("encoder", ""))]
        form["model.scheme.decoder"] = [str(scheme.get("decoder", ""))]
    own = model if is_huggingface else {}
    form["huggingface.scheme"] = [str(own.get("scheme") or "")]
    form["huggingface.config"] = (
        [json.dumps(own["config"], indent=2)] if own.get("config") else [""]
    )
    analyses = spec.get("analyses", ALL_ANALYSES)
    form["analyses"] = (
        [str(each) for each in analyses] if isinstance(analyses, list | tuple) else []
    )
    return form


def place_of(path: str, form: Form) -> str:
    """The field at which an error of the spec is shown; ``json`` where the form has none."""
    known = {field.path for field in (*MODEL, *TRAINING, *DATA, SEED)}
    if one(form, "model.kind") == HUGGINGFACE_KIND and path.startswith("model"):
        return "huggingface.scheme" if path == "model.scheme" else "huggingface.config"
    if path == "model.scheme.encoder":
        return "model.scheme"
    if path == "data":
        return "data.kind"
    if path == "training.betas":
        return "training.betas.0"
    if path.split(".")[0] == "analyses":
        return "analyses"
    return path if path in known else "json"


def _huggingface(form: Form) -> dict[str, Any]:
    config = read_json(one(form, "huggingface.config") or "{}", "huggingface.config")
    scheme = one(form, HUGGINGFACE[0].path)
    return {"kind": HUGGINGFACE_KIND, "config": config} | ({"scheme": scheme} if scheme else {})


def _transformer(form: Form, written: object) -> dict[str, Any]:
    before = _object(written)
    model = before if before.get("kind", TRANSFORMER) == TRANSFORMER else {}
    for field in MODEL:
        if not field.path.startswith("model.scheme"):
            _put(model, field, form)
    # Layers of a stack that the architecture has not stand in a field that is not seen.
    for stack in ("encoder", "decoder"):
        if model.get("architecture") in set(Architecture) - {"encoder_decoder", f"{stack}_only"}:
            model.pop(f"{stack}_layers", None)
    encoder, decoder = one(form, "model.scheme"), one(form, "model.scheme.decoder")
    both = model.get("architecture") == Architecture.ENCODER_DECODER
    model["scheme"] = {"encoder": encoder, "decoder": decoder} if both and decoder else encoder
    return {"kind": TRANSFORMER} | model


def _data(form: Form, written: object) -> dict[str, Any]:
    kind = one(form, "data.kind")
    before = _object(written)
    data = before if before.get("kind") == kind else {}
    match kind:
        case "synthetic":
            return data | {"kind": kind, "name": one(form, "data.name")}
        case "upload":
            return data | {"kind": kind, "id": one(form, "data.id")}
    return data | {"kind": kind or "text"}


def _put(into: dict[str, Any], field: FormField, form: Form) -> None:
    """What the field holds in place of what was there; nothing where it is left empty."""
    if field.path not in form:
        return
    value = _value(field, one(form, field.path))
    if value == "":
        into.pop(field.steps[-1], None)
    else:
        into[field.steps[-1]] = value


def _value(field: FormField, text: str) -> Any:
    """A number where there is one; what is none is left for the spec to refuse."""
    if field.kind is FieldKind.WHOLE and text.isascii() and text.isdigit() and len(text) < 20:
        return int(text)
    if field.kind in (FieldKind.WHOLE, FieldKind.REAL):
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _object(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _at(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list | tuple) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _text(value: object, default: str) -> str:
    if value is None or isinstance(value, Mapping | list | tuple):
        return default
    # As it would be typed: 0.001, and not 1e-3 of a float's own making.
    return f"{value:g}" if isinstance(value, float) else str(value)
