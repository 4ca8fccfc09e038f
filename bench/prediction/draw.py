"""Configurations, drawn at random from a family; the family and the number decide each."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from admin_core.race_spec import RunSpec
from admin_core.verdict.prescriptions import RECIPE_BETAS, RECIPE_CLIP
from bench.prediction.families import FAMILIES, Family

LAYERS = (2, 3, 4, 6, 8, 12, 18, 24)
ADAM_RATES = (3e-4, 3e-2)
SGD_RATES = (3e-3, 3.0)
HOT_RATES = (1e-2, 3e-1)
RECIPE_RATES = (1e-3, 4e-3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What is drawn differently from one series of runs to the next."""

    first: int
    """Number of its first configuration in each family."""
    widths: tuple[int, ...]
    steps: tuple[int, ...]
    warmup_steps: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    sequence_lengths: tuple[int, ...]
    adam_rates: tuple[float, float] = ADAM_RATES
    max_states: int
    """Layers times tokens times features: what a run on one core has the time for."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What is not drawn."""


SHORT = Campaign(
    first=0,
    widths=(32, 48, 64, 96),
    steps=(150, 200, 300),
    warmup_steps=(0, 10, 30, 60, 100),
    batch_sizes=(8, 16, 16, 32),
    sequence_lengths=(16, 32, 32, 64),
    max_states=24 * 16 * 32 * 64,
)
LONG = Campaign(
    first=100,
    widths=(32, 48, 64, 96, 128, 256),
    steps=(200, 300, 400, 600),
    warmup_steps=(0, 10, 30, 100, 200),
    batch_sizes=(8, 8, 16),
    sequence_lengths=(16, 32, 32),
    max_states=12 * 8 * 32 * 64,
)
"""Twice as long, so that a probe of a twenty-fifth sees twice as much."""
HOT = Campaign(
    first=2_000,
    widths=(32, 48, 64, 96, 128),
    steps=(200, 300, 400),
    warmup_steps=(0, 10, 30, 100, 200),
    batch_sizes=(8, 8, 16),
    sequence_lengths=(16, 32),
    adam_rates=HOT_RATES,
    max_states=12 * 8 * 32 * 64,
)
"""At rates at which most models fail and some do not, where the edge of many lies."""


RECIPE = Campaign(
    first=3_000,
    widths=(32, 48, 64, 96, 128),
    steps=(400, 600),
    warmup_steps=(40, 60),
    batch_sizes=(8, 8, 16),
    sequence_lengths=(16, 32, 32),
    adam_rates=RECIPE_RATES,
    max_states=12 * 8 * 32 * 64,
    training={
        "optimizer": "adam",
        "betas": list(RECIPE_BETAS),
        "schedule": "inverse_sqrt",
        "clip_norm": RECIPE_CLIP,
    },
)
"""Trained as one would who knows how, so that what a prescription comes to is known."""

FIRST_TRIAL = Campaign(
    first=4_000,
    widths=(64,),
    steps=(200,),
    warmup_steps=(10, 100),
    batch_sizes=(16,),
    sequence_lengths=(32,),
    adam_rates=(3e-4, 1e-2),
    max_states=24 * 16 * 32 * 64,
    training={"optimizer": "adam"},
)
"""What a reader of the paper tries first: `bench.prediction.trial` is on this ground."""

CAMPAIGNS = (SHORT, LONG, HOT, RECIPE, FIRST_TRIAL)

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
    campaign = max((c for c in CAMPAIGNS if c.first <= number), key=lambda c: c.first)
    while True:
        spec, states = _draw(family, campaign, random_source)
        if states <= campaign.max_states:
            return RunSpec.model_validate({"name": f"{family_name}/{number}", **spec}), number


def _draw(family: Family, campaign: Campaign, source: random.Random) -> tuple[dict[str, Any], int]:
    """A spec, and how many numbers its states hold in one step."""
    d_model = source.choice(campaign.widths)
    if family.config is None:
        model, layers = _built_in(family, source, d_model)
    else:
        layers, heads = source.choice(LAYERS), source.choice((1, 2, 4))
        config = family.config(source, layers, d_model, heads)
        model = {"kind": "huggingface", "config": config}
    training = _training(family, campaign, source)
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


def _training(family: Family, campaign: Campaign, source: random.Random) -> dict[str, Any]:
    steps = source.choice(campaign.steps)
    optimizer = campaign.training.get("optimizer") or source.choice(family.optimizers)
    training: dict[str, Any] = {
        "optimizer": optimizer,
        "learning_rate": _log_uniform(
            source, SGD_RATES if optimizer == "sgd" else campaign.adam_rates
        ),
        "schedule": source.choice(("constant", "linear", "cosine", "inverse_sqrt")),
        "warmup_steps": source.choice(campaign.warmup_steps),
        "steps": steps,
        "batch_size": source.choice(campaign.batch_sizes),
        "sequence_length": source.choice(campaign.sequence_lengths),
        "clip_norm": source.choice((None, None, 1.0, 0.1)),
    }
    if optimizer == "sgd":
        training["momentum"] = source.choice((0.0, 0.9))
    else:
        training["betas"] = [0.9, source.choice((0.9, 0.98, 0.98, 0.999))]
    if optimizer == "adamw":
        training["weight_decay"] = source.choice((0.01, 0.1))
    return training | dict(campaign.training)


def _log_uniform(source: random.Random, between: tuple[float, float]) -> float:
    low, high = between
    exact = math.exp(source.uniform(math.log(low), math.log(high)))
    return float(f"{exact:.3g}")
