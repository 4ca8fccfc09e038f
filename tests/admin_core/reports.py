"""Real reports of tiny models, made once."""

from functools import cache

from admin_core.diagnosis import diagnose_spec
from admin_core.race import race
from admin_core.race_report import RaceReport
from admin_core.race_spec import RaceSpec
from admin_core.report import Report
from admin_core.spec import DiagnosisSpec

HOSTILE = "<img src=x onerror=alert(1)> & `]]>|**b** @all \x07"
"""A name that no format may take for anything but a name."""

TINY = {"d_model": 16, "num_heads": 2, "scheme": "admin"}


@cache
def diagnosis() -> Report:
    """Of an encoder-decoder, with every section."""
    spec = {
        "model": {
            **TINY,
            "architecture": "encoder_decoder",
            "encoder_layers": 3,
            "decoder_layers": 2,
        },
        "training": {"batch_size": 2, "sequence_length": 8},
    }
    return diagnose_spec(DiagnosisSpec.model_validate(spec))


@cache
def raced() -> RaceReport:
    """Two arms with two seeds; the second arm's name is hostile."""
    spec = {
        "model": {**TINY, "architecture": "decoder_only", "decoder_layers": 2},
        "training": {"steps": 12, "warmup_steps": 2, "batch_size": 2, "sequence_length": 8},
        "arms": ["post_ln", {"name": HOSTILE}],
        "seeds": 2,
        "monitoring": {"every": 4},
        "validation": {"batches": 1},
    }
    return race(RaceSpec.model_validate(spec))


def deep_diagnosis(depth: int) -> Report:
    """The same report with its sub-layers repeated, and its dependency as large as one can be."""
    report = diagnosis()
    assert report.gradients is not None
    assert report.dependency is not None
    first = report.branches[0]
    gradient = report.gradients.branches[0]
    numbers = range(1, depth + 1)
    section = next(iter(report.dependency.values()))
    depths = [max(1, round(n * depth / 256)) for n in range(1, 257)]
    large = section.model_copy(
        update={
            "depths": depths,
            "branches": [0, *depths],
            "beta": [[0.1] * (row + 2) + [0.0] * (255 - row) for row in range(256)],
        }
    )
    branches = [first.model_copy(update={"index": i, "omega": i**0.5}) for i in numbers]
    gradients = [gradient.model_copy(update={"index": i}) for i in numbers]
    return report.model_copy(
        update={
            "branches": branches,
            "gradients": report.gradients.model_copy(update={"branches": gradients}),
            "dependency": {first.stack: large},
        }
    )
