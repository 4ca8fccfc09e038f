import subprocess
import sys

from worker.jobs import JobName


def test_every_job_that_can_be_asked_for_has_a_task() -> None:
    # In another process, as the module opens the database that the environment names.
    program = "from worker.tasks import celery_app; print(*celery_app.tasks)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    # A loop of the caller's own is no work of ours.
    assert set(JobName) - {JobName.RUN, JobName.REPORT} <= set(run.stdout.split())
