"""Configurations, drawn at random from a family; the family and the number decide each."""

import math
import random
from typing import Any

from admin_core.race_spec import RunSpec
from bench.prediction.families import FAMILIES, Family

LAYERS = (2, 3, 4, 6, 8, 12, 18, 24)
WIDTHS = (32, 48, 64, 96)
STEPS = (150, 200, 300)
MAX_STATES = 24 * 16 * 32 * 64
"""Layers times tokens times features: what a run on one core has the time for."""

ADAM_RATES = (3e-4, 3e-2)
SGD_RATES = (3e-3, 3.0)
VARIATIONS: dict[str, tuple[Any, ...]] = {
    "norm": ("layer_norm", "layer_norm", "layer_norm", "rms_norm"),
    "activation": ("relu", "relu", "gelu", "swiglu"),
    "positions": ("sinusoidal", "sinusoidal", "learned", "rotary"),
    "tied_embeddings": (True, True, False),
}


def draw(family_name: str, number: int) -> tuple[RunSpec, int]:
    """Configuration `number` of a family, and its seed."""
    random_source = random.Random(f"{family_name}/{number}")
    family = FAMILIES[family_name]
    while True:
        spec, states = _draw(family, random_source)
        if states <= MAX_STATES:
            return RunSpec.model_validate({"name": f"{family_name}/{number}", **spec}), number


def _draw(family: Family, source: random.Random) -> tuple[dict[str, Any], int]:
    """A spec, and how many numbers its states hold in one step."""
    d_model = source.choice(WIDTHS)
    if family.config is None:
        model, layers = _built_in(family, source, d_model)
    else:
        layers, heads = source.choice(LAYERS), source.choice((1, 2, 4))
        config = family.config(source, layers, d_model, heads)
        model = {"kind": "huggingface", "config": config}
    training = _training(family, source)
    spec = {
        "model": model,
        "training": training,
        "data": dict(family.data),
        "validation": {"every": training["steps"], "batches": 1},
        "monitoring": {"every": 0},
    }
    return spec, layers * training["batch_size"] * training["sequence_length"] * d_model


def _built_in(family: Family, source: random.Random, d_model: int) -> tuple[dict[str, Any], int]:
    """A model and its layers, of all stacks together."""
    model: dict[str, Any] = {
        "architecture": family.architecture,
        "d_model": d_model,
        "num_heads": source.choice((1, 2, 4)),
        "d_ff": source.choice((2, 4)) * d_model,
        "scheme": source.choice(family.schemes),
        "dropout": source.choice((0.0, 0.1)),
        "attention_dropout": source.choice((0.0, 0.0, 0.1)),
    }
    model |= {name: source.choice(values) for name, values in VARIATIONS.items()}
    model |= family.model
    layers = source.choice(LAYERS)
    if family.architecture == "encoder_decoder":
        layers = max(2, layers // 2)
        model["encoder_layers"] = source.choice((layers, layers, max(2, layers // 2)))
        model["decoder_layers"] = layers
    else:
        model[family.architecture.replace("only", "layers")] = layers
    return model, model.get("encoder_layers", 0) + model.get("decoder_layers", 0)


def _training(family: Family, source: random.Random) -> dict[str, Any]:
    steps = source.choice(STEPS)
    optimizer = source.choice(family.optimizers)
    training: dict[str, Any] = {
        "optimizer": optimizer,
        "learning_rate": _log_uniform(source, SGD_RATES if optimizer == "sgd" else ADAM_RATES),
        "schedule": source.choice(("constant", "linear", "cosine", "inverse_sqrt")),
        "warmup_steps": source.choice((0, 10, 30, 60, 100)),
        "steps": steps,
        "batch_size": source.choice((8, 16, 16, 32)),
        "sequence_length": source.choice((16, 32, 32, 64)),
        "clip_norm": source.choice((None, None, 1.0, 0.1)),
    }
    if optimizer == "sgd":
        training["momentum"] = source.choice((0.0, 0.9))
    else:
        training["betas"] = [0.9, source.choice((0.9, 0.98, 0.98, 0.999))]
    if optimizer == "adamw":
        training["weight_decay"] = source.choice((0.01, 0.1))
    return training


def _log_uniform(source: random.Random, between: tuple[float, float]) -> float:
    low, high = between
    exact = math.exp(source.uniform(math.log(low), math.log(high)))
    return float(f"{exact:.3g}")
