"""The omegas of a diagnosis, as a file that other code bases load."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from admin_core.omega_files import OmegaFormat, omega_file
from admin_core.report import Report
from app.auth import CallerDep
from app.deps import StoreDep, Wait, WaitingDep
from app.job_answers import DIAGNOSES, finished_job
from app.problems import documented

router = APIRouter(prefix="/v1", tags=["diagnoses"])

FILES = {
    OmegaFormat.JSON: ("application/json", "omega.json"),
    OmegaFormat.CLINIC: ("text/plain; charset=utf-8", "profile.ratio.init"),
    OmegaFormat.DEEPNMT: ("text/plain; charset=utf-8", "profile.init"),
    OmegaFormat.SAFETENSORS: ("application/octet-stream", "omega.safetensors"),
}
"""Media type, and the file's name in the code base that reads it."""

_ANY_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/plain": {"schema": {"type": "string"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.get(
    "/diagnoses/{job_id}/omega",
    response_class=Response,
    responses={**_ANY_FILE, **documented(404, 409, 422, 424, 500, 503)},
)
async def get_omega(
    job_id: str,
    store: StoreDep,
    waiting: WaitingDep,
    caller: CallerDep,
    file_format: Annotated[
        OmegaFormat,
        Query(
            alias="format",
            description="`clinic`: Transformer-Clinic's two columns. `deepnmt`: one column. "
            "`safetensors`: one tensor a shortcut addition.",
        ),
    ] = OmegaFormat.JSON,
    wait: Wait = 0,
) -> Response:
    """Every omega in forward order, the encoder first; 409 where there are none."""
    job = await finished_job(store, waiting, caller, job_id, DIAGNOSES, wait)
    content = omega_file(Report.model_validate(job.report), file_format)
    media_type, name = FILES[file_format]
    return Response(
        content,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
