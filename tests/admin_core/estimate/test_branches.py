from collections.abc import Mapping
from typing import Any

import pytest

from admin_core.diagnosis import diagnose_spec
from admin_core.estimate.branches import estimate_branches
from admin_core.estimate.check import unexpected_variances
from admin_core.spec import DiagnosisSpec, TransformerSpec
from tests.admin_core.specs import EVERY_PART, small


def diagnosis(model: TransformerSpec, *, seeds: int = 1, **omega: Any) -> DiagnosisSpec:
    return DiagnosisSpec.model_validate(
        {
            "model": model,
            "training": {"batch_size": 8, "sequence_length": 32},
            "omega": {"seeds": seeds, **omega},
            "analyses": ["omega"],
        }
    )


@pytest.mark.parametrize(
    "parts",
    [
        {"scheme": "post_ln", "dropout": 0.2, "attention_dropout": 0.2, "activation_dropout": 0.2},
        {"scheme": "pre_ln", "activation": "gelu", "initialisation": "gpt2"},
        {"scheme": "deepnorm", "positions": "learned", "initialisation": "t5"},
        {"scheme": "sub_ln", "activation": "swiglu", "norm": "rms_norm", "num_kv_heads": 1},
        {"scheme": "t_fixup", "tied_embeddings": False},
        {"scheme": "peri_ln", "qk_norm": True},
    ],
    ids=lambda parts: parts["scheme"],
)
def test_variances_are_those_of_a_profile_of_several_models(parts: Mapping[str, Any]) -> None:
    model = small(d_model=128, vocab_size=300, **parts)
    spec = diagnosis(model, seeds=4)
    expected = estimate_branches(spec, model)
    for estimate, found in zip(expected, diagnose_spec(spec).branches, strict=True):
        assert (estimate.index, estimate.stack, estimate.path) == (
            found.index,
            found.stack,
            found.path,
        )
        # Four models of this width scatter by a tenth.
        assert estimate.branch_variance == pytest.approx(found.branch_variance, rel=0.3)
        assert estimate.shortcut_variance == pytest.approx(found.shortcut_variance, rel=0.1)


@pytest.mark.parametrize(
    "omega",
    [
        {},
        {"convention": "paper", "first_value": "one"},
        {"convention": "paper", "first_value": "embedding_variance"},
        {"convention": "closed_form", "scale": "O(log n)"},
    ],
    ids=str,
)
def test_omegas_are_within_a_few_percent_by_every_convention(omega: Mapping[str, Any]) -> None:
    model = small(d_model=128, vocab_size=300, scheme="admin")
    spec = diagnosis(model, seeds=2, **omega)
    for estimate, found in zip(
        estimate_branches(spec, model), diagnose_spec(spec).branches, strict=True
    ):
        assert estimate.omega == pytest.approx(found.omega, rel=0.05)


@pytest.mark.parametrize("parts", EVERY_PART, ids=str)
def test_every_part_of_the_model_has_a_formula(parts: Mapping[str, Any]) -> None:
    model = small(**parts)
    for estimate in estimate_branches(diagnosis(model), model):
        assert 0 < estimate.branch_variance < 100
        assert 0 <= estimate.dependency <= 1


def test_a_fresh_model_is_as_expected() -> None:
    model = small(d_model=64, vocab_size=300)
    assert diagnose_spec(diagnosis(model)).findings == []


def test_a_variance_far_from_its_estimate_is_found() -> None:
    model = small(d_model=64, vocab_size=300)
    spec = diagnosis(model)
    rows = diagnose_spec(spec).branches
    rows[3] = rows[3].model_copy(update={"branch_variance": 100 * rows[3].branch_variance})
    (finding,) = unexpected_variances(spec, model, rows)
    assert finding.path == rows[3].path
    assert finding.measured == pytest.approx(100, rel=0.5)
