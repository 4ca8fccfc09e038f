"""Files that jobs leave, in a folder for each, named by the job's id."""

import shutil
from pathlib import Path

from worker import jobs
from worker.settings import Settings
from worker.store import Store


def folder_of(settings: Settings, job_id: str) -> Path:
    """The folder of one job; it is there when this returns."""
    folder = settings.artifacts / job_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remove_those_of_finished(store: Store, settings: Settings) -> None:
    """Remove the folders of all jobs that are finished, or not known any more."""
    if not settings.artifacts.is_dir():
        return
    ids = [folder.name for folder in settings.artifacts.iterdir()]
    for job_id in jobs.finished_among(store, ids) if ids else ():
        # An attempt that does not know yet that its job is over may write there just now.
        shutil.rmtree(settings.artifacts / job_id, ignore_errors=True)


def remove_those_of(settings: Settings, job_id: str) -> None:
    """Remove the folder of one job, if it has one."""
    shutil.rmtree(settings.artifacts / job_id, ignore_errors=True)
