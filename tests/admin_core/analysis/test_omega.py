import pytest
import torch
import torch.nn.functional as F

from admin_core.analysis.omega import apply_omegas, omega_section
from admin_core.analysis.profiling import profile
from admin_core.applicability import PRETRAINED
from admin_core.data.batches import make_batch
from admin_core.models.transformer import build_transformer
from admin_core.residual import SubLayerBranch, residual_branches
from admin_core.sources import source_of
from admin_core.spec import DiagnosisSpec, OutputChangeScale, Stack
from tests.admin_core.specs import small


def test_every_feature_takes_the_omega_that_was_found() -> None:
    spec = small(scheme={"encoder": "admin", "decoder": "post_ln"})
    model = build_transformer(spec, seed=0)
    branches = residual_branches(model)
    batch = make_batch(
        DiagnosisSpec(model=spec).data, spec, batch_size=2, sequence_length=8, seed=0
    )
    profiles = profile(model, branches, batch, admin_stacks=list(Stack), seed=0)

    apply_omegas(profiles)

    for found in profiles:
        assert isinstance(found.branch, SubLayerBranch)
        omegas = list(found.branch.sublayer.add.parameters())
        assert len(omegas) == (found.branch.stack is Stack.ENCODER)
        for omega in omegas:
            assert omega.tolist() == pytest.approx([found.omega] * 16)


@pytest.mark.parametrize("omega", [1.0, 2.5, 14.0])
def test_scaling_the_branch_by_its_inverse_is_the_same_function(omega: float) -> None:
    shortcut, branch = torch.randn(8, 64), torch.randn(8, 64)
    scaled_shortcut = F.layer_norm(omega * shortcut + branch, (64,))
    scaled_branch = F.layer_norm(shortcut + branch / omega, (64,))
    # Up to the norm's epsilon, 1e-5 against a variance near 1.
    torch.testing.assert_close(scaled_shortcut, scaled_branch, rtol=0, atol=5e-5)


def section(**fields: object) -> dict[str, object]:
    spec = DiagnosisSpec.model_validate({"model": small(scheme="admin").model_dump()} | fields)
    source = source_of(spec, torch.device("cpu"))
    found = omega_section(spec.omega, source.applicability([]), source.comparators([]))
    return found.model_dump()


def test_the_report_records_how_the_omegas_were_found() -> None:
    options = {"batches": 3, "seeds": 2, "padding": "masked", "dropout": False}
    found = section(omega={"convention": "closed_form", "scale": "O(1)", **options})
    assert found["scale"] is OutputChangeScale.CONSTANT
    assert {name: found[name] for name in options} == options
    assert found["applicable"] is True


def test_the_report_says_why_there_are_none() -> None:
    found = section(model=small("decoder_only", scheme="pre_ln").model_dump())
    assert found["applicable"] is False
    assert "no norm follows the addition" in str(found["reason"])
    assert found["comparators"]


def test_trained_weights_take_no_omegas() -> None:
    spec = DiagnosisSpec(model=small(scheme="admin"))
    assert not omega_section(spec.omega, PRETRAINED, {}).applicable
