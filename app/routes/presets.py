"""GET /v1/presets: model specs by name."""

from fastapi import APIRouter

from app.job_view import View
from app.presets import PRESETS, Preset

router = APIRouter(prefix="/v1", tags=["presets"])


class Presets(View):
    presets: list[Preset]


@router.get("/presets")
async def list_presets() -> Presets:
    """Models of the paper, and well-known shapes; each `model` can be posted as it is."""
    return Presets(presets=PRESETS)
