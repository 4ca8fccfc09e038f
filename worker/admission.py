"""Whether a job may be asked for at all, told before anything is allocated for it."""

from admin_core.job_size import JobSizeLimits, check_diagnosis_size, check_run_size
from admin_core.race_size import check_race_limits
from admin_core.race_spec import RaceSpec
from admin_core.size import check_limits, is_streamed
from admin_core.spec import DiagnosisSpec
from worker.settings import Settings


def check_diagnosis(spec: DiagnosisSpec, settings: Settings) -> None:
    """Return if the diagnosis is within every limit.

    Raises:
        LimitExceededError: it is not; says what it needs, and the limit.
        InvalidSpecError: the Transformers library has no such architecture.
    """
    check_limits(spec, settings.limits)
    check_diagnosis_size(
        spec,
        _size_limits(settings, settings.device_kind_for(spec.model)),
        streamed=is_streamed(spec, settings.limits),
    )


def check_race(spec: RaceSpec, settings: Settings) -> None:
    """Return if the race is within every limit, and each of its runs.

    Raises:
        LimitExceededError, InvalidSpecError: as for a diagnosis; or the budget cannot suffice.
    """
    check_race_limits(spec, settings.race_limits)
    runs = [spec.run(arm) for arm in range(len(spec.arms))]
    limits = _size_limits(settings, settings.device_kind_for(*(run.model for run in runs)))
    for arm, run in enumerate(runs):
        check_run_size(run, limits, field=f"arms.{arm}.patch.model")


def _size_limits(settings: Settings, device_kind: str) -> JobSizeLimits:
    return JobSizeLimits(
        # What a GPU holds is known to its worker alone.
        max_bytes=settings.memory_limit if device_kind == "cpu" else None,
        max_seconds=settings.job_time_limit_seconds,
        flops_per_second=settings.race_limits.flops_per_second,
    )
