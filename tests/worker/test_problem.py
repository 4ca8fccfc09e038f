import pytest

from admin_core.errors import (
    AdminCoreError,
    AnalysisCancelledError,
    DegenerateBranchError,
    InvalidSpecError,
    LimitExceededError,
    NonFiniteError,
)
from worker.problem import problem_of


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (InvalidSpecError("model.d_model", "is odd."), "invalid-request"),
        (LimitExceededError("model", "parameters", 9, 5, "TRIMTAB_X"), "limit-exceeded"),
        (DegenerateBranchError("encoder.layers.0", 0.0), "degenerate-branch"),
        (NonFiniteError("the loss", "float32"), "non-finite"),
        (AnalysisCancelledError("stop"), "diagnosis-refused"),
    ],
)
def test_each_error_of_the_core_has_its_own_kind_of_problem(
    error: AdminCoreError, slug: str
) -> None:
    problem = problem_of(error)
    assert problem.type == f"urn:trimtab:problem:{slug}"
    assert problem.detail == str(error)
    assert problem.status == 422


def test_an_exceeded_limit_names_the_field_and_both_figures() -> None:
    problem = problem_of(LimitExceededError("model", "parameters", 9, 5, "TRIMTAB_X")).as_json()
    assert problem["errors"][0]["field"] == "model"
    assert (problem["requested"], problem["limit"]) == (9, 5)
