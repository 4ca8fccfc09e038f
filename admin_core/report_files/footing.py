"""The one line under every report: what the numbers depend on."""

from admin_core.race_report import RaceReport
from admin_core.report import Report
from admin_core.report_files.tables import joined


def footing(report: Report | RaceReport) -> str:
    """Versions, device, seed and time."""
    environment = report.environment
    if isinstance(report, Report):
        seconds = sum(report.environment.durations_seconds.values())
        size = f"{report.environment.num_parameters:,} parameters"
        how = joined([size, f"{report.environment.dtype}, seed {report.environment.seed}"])
    else:
        seconds = sum(seed.seconds for arm in report.arms for seed in arm.seeds)
        how = f"{sum(len(arm.seeds) for arm in report.arms):,} runs"
    return joined(
        [
            f"Trimtab {environment.trimtab}",
            how,
            f"torch {environment.torch} on {environment.device}",
            f"{seconds:.1f} s",
        ]
    )
