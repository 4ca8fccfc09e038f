"""Jobs in a few words: what a list says of them, and where their pages are."""

from collections.abc import Mapping
from typing import Any

from worker.jobs import JobName

SCHEMES = {
    "post_ln": "Post-LN",
    "pre_ln": "Pre-LN",
    "admin": "Admin",
    "deepnorm": "DeepNorm",
    "sub_ln": "Sub-LN",
    "rezero": "ReZero",
    "t_fixup": "T-Fixup",
    "sandwich_ln": "Sandwich-LN",
    "peri_ln": "Peri-LN",
}

ARCHITECTURES = {
    "encoder_decoder": "encoder-decoder",
    "encoder_only": "encoder",
    "decoder_only": "decoder",
}


def page_path(job_id: str, kind: str = JobName.DIAGNOSIS) -> str:
    """Where the job's page is."""
    folders = {JobName.RACE: "races", JobName.RUN: "runs"}
    return f"/{folders.get(JobName(kind), 'diagnoses')}/{job_id}"


def described(kind: str, spec: Mapping[str, Any]) -> str:
    """What a job is of: ``18-18 encoder-decoder, Post-LN, width 128``. A spec of another version
    that says something else is no reason to fail."""
    match kind:
        case JobName.RUN:
            return str(spec.get("name", "a training loop"))
        case JobName.REPORT:
            return str(spec.get("model", "a network of your own"))
        case JobName.RACE:
            return f"{_model(spec.get('model'), with_scheme=False)}: {_arms(spec)}"
    return _model(spec.get("model"), with_scheme=True)


def _arms(spec: Mapping[str, Any]) -> str:
    arms = [str(arm.get("name", "?")) for arm in spec.get("arms", ()) if isinstance(arm, Mapping)]
    named = [SCHEMES.get(arm, arm) for arm in arms]
    shown = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
    seeds = len(spec.get("seeds", ()))
    return f"{shown}, {seeds} seed{'s' if seeds != 1 else ''} each"


def _model(model: object, *, with_scheme: bool) -> str:
    if not isinstance(model, Mapping):
        return "a model"
    if model.get("kind") == "huggingface":
        return _huggingface(model)
    architecture = str(model.get("architecture"))
    stacks = (model.get("encoder_layers"), model.get("decoder_layers"))
    layers = [str(count) for count in stacks if count is not None]
    size = "-".join(layers) if len(layers) > 1 else f"{''.join(layers)}-layer"
    parts = [f"{size} {ARCHITECTURES.get(architecture, architecture)}"]
    if with_scheme:
        parts.append(scheme_words(model.get("scheme")))
    parts.append(f"width {model.get('d_model')}")
    return ", ".join(parts)


def scheme_words(scheme: object) -> str:
    """``Post-LN``, or ``Post-LN encoder with Pre-LN decoder``."""
    if isinstance(scheme, Mapping):
        encoder, decoder = (SCHEMES.get(str(scheme.get(s)), "?") for s in ("encoder", "decoder"))
        return f"{encoder} encoder with {decoder} decoder"
    return SCHEMES.get(str(scheme), str(scheme))


def _huggingface(model: Mapping[str, Any]) -> str:
    config = model.get("config")
    if not isinstance(config, Mapping):
        return "an architecture of Transformers"
    architectures = config.get("architectures")
    name = str(architectures[0]) if isinstance(architectures, list) and architectures else None
    parts = [name or str(config.get("model_type"))]
    for field, unit in (("num_hidden_layers", "layers"), ("n_layer", "layers")):
        if isinstance(config.get(field), int):
            parts.append(f"{config[field]} {unit}")
            break
    for field in ("hidden_size", "n_embd", "d_model"):
        if isinstance(config.get(field), int):
            parts.append(f"width {config[field]}")
            break
    if model.get("scheme"):
        parts.append(scheme_words(model["scheme"]))
    return ", ".join(parts)[:200]
