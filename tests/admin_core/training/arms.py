"""Small arms that the tests of races share."""

from typing import Any

from admin_core.race_spec import RaceSpec, RunSpec


def arm(**changes: Any) -> RunSpec:
    """A two-layer Admin model on text, twenty steps, with `changes` to the race."""
    body: dict[str, Any] = {
        "model": {
            "architecture": "decoder_only",
            "decoder_layers": 2,
            "d_model": 16,
            "num_heads": 2,
            "scheme": "admin",
        },
        "training": {
            "learning_rate": 3e-3,
            "warmup_steps": 5,
            "steps": 20,
            "batch_size": 4,
            "sequence_length": 16,
        },
        "arms": [{"name": "arm"}],
        "monitoring": {"every": 5},
        "validation": {"batches": 1},
    }
    for name, change in changes.items():
        both = isinstance(change, dict) and isinstance(body.get(name), dict)
        body[name] = {**body[name], **change} if both else change
    return RaceSpec.model_validate(body).run(0)
