"""POST /v1/estimates: what a diagnosis will show, at once and without a job."""

from fastapi import APIRouter
from pydantic import ConfigDict
from starlette.concurrency import run_in_threadpool

from admin_core.applicability import applicability
from admin_core.errors import InvalidSpecError
from admin_core.report import Role
from admin_core.spec import DiagnosisSpec, Stack, TransformerSpec
from app.body import JsonRoute
from app.job_view import View
from app.problems import documented

router = APIRouter(prefix="/v1", tags=["diagnoses"], route_class=JsonRoute)


class BranchEstimateView(View):
    """One sub-layer, by the formula."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    index: int
    stack: Stack
    path: str
    role: Role
    shortcut_variance: float
    branch_variance: float
    omega: float | None
    """Null in a stack that takes none."""
    dependency: float


class Estimate(View):
    """What follows from the spec alone; no weight was drawn."""

    branches: list[BranchEstimateView]
    convention: str
    """Of the omegas."""
    applicable: bool
    """Whether any stack takes omegas."""
    reason: str | None
    """Why others do not."""


@router.post("/estimates", response_model=Estimate, responses=documented(400, 413, 415, 422, 500))
async def estimate(spec: DiagnosisSpec) -> Estimate:
    """Branch variances and omegas of a built-in Transformer from a formula, typically within 10 %
    of what a diagnosis measures, in milliseconds. Takes what `POST /v1/diagnoses` takes."""
    model = spec.model
    if not isinstance(model, TransformerSpec):
        raise InvalidSpecError(
            "model.kind", "the formula knows the built-in transformer alone; diagnose this model"
        )
    takes = applicability(model)
    # Loads numpy.
    from admin_core.estimate.branches import estimate_branches

    # Numbers of ten thousand sub-layers take seconds.
    rows = await run_in_threadpool(estimate_branches, spec, model)
    return Estimate(
        branches=[BranchEstimateView.model_validate(row) for row in rows],
        convention=spec.omega.convention,
        applicable=bool(takes.stacks),
        reason=takes.reason,
    )
