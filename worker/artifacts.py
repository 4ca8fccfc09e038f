"""Files that jobs leave, in a folder for each, named by the job's id.

The folder is in `TRIMTAB_HOME`, or wherever `TRIMTAB_ARTIFACTS_URL` says, as in
``s3://bucket/trimtab``: fsspec knows the way to it. Work is done on a local file; elsewhere, a copy
of it is brought before and kept after, so that a job can go on at another machine.
"""

import shutil
from pathlib import Path, PurePosixPath

import structlog
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from worker import jobs
from worker.settings import Settings
from worker.store import Store

log = structlog.get_logger(__name__)


class Artifacts:
    """The files of all jobs."""

    def __init__(self, settings: Settings) -> None:
        url = settings.artifacts_url
        self._files: AbstractFileSystem | None = None
        self._root = ""
        self._here = settings.artifacts
        if url is not None:
            files, root = url_to_fs(url)
            if isinstance(files, LocalFileSystem):
                self._here = Path(root)
            else:
                self._files, self._root = files, str(root)

    @property
    def are_here(self) -> bool:
        """Whether they are in a folder, and nowhere else."""
        return self._files is None

    def bring(self, job_id: str) -> Path:
        """The folder where a job may leave files, with those in it that were kept of it."""
        folder = self._here / job_id
        folder.mkdir(parents=True, exist_ok=True)
        if self._files is not None:
            try:
                self._bring_what_was_kept(self._files, job_id, folder)
            except Exception:
                # Whatever the way there raises. Work that begins again beats work that ends here.
                log.exception("no checkpoint could be brought", job_id=job_id)
        return folder

    def _bring_what_was_kept(self, files: AbstractFileSystem, job_id: str, folder: Path) -> None:
        files.invalidate_cache()
        try:
            kept = files.ls(self._elsewhere(job_id), detail=False)
        except FileNotFoundError:
            return
        for path in kept:
            name = PurePosixPath(path).name
            # A file that came in part would take the place of a whole one that is here.
            files.get_file(path, str(folder / f"{name}.coming"))
            (folder / f"{name}.coming").replace(folder / name)

    def keep(self, job_id: str) -> None:
        """Let other machines have the job's files as they are now."""
        if self._files is not None:
            for path in (self._here / job_id).iterdir():
                self._files.put_file(str(path), self._elsewhere(job_id, path.name))

    def remove_those_of_finished(self, store: Store) -> None:
        """Remove what is left of all jobs that are finished, or not known any more."""
        found = self._job_ids()
        for job_id in jobs.finished_among(store, found) if found else ():
            self.remove(job_id)

    def remove_if_finished(self, store: Store, job_id: str) -> None:
        """Remove what this job has left here, if it is finished."""
        if not (self._here / job_id).is_dir():
            return
        if jobs.finished_among(store, [job_id]):
            self.remove(job_id)

    def remove(self, job_id: str) -> None:
        """Remove what is left of this job."""
        # An attempt that does not know yet that its job is over may write there just now.
        shutil.rmtree(self._here / job_id, ignore_errors=True)
        if self._files is not None:
            try:
                self._files.rm(self._elsewhere(job_id), recursive=True)
            except FileNotFoundError:
                pass

    def _job_ids(self) -> set[str]:
        here = self._here.iterdir() if self._here.is_dir() else ()
        found = {folder.name for folder in here}
        if self._files is not None:
            self._files.invalidate_cache()
            try:
                listed = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                listed = []
            found |= {PurePosixPath(path).name for path in listed}
        return found

    def _elsewhere(self, job_id: str, name: str = "") -> str:
        return "/".join(part for part in (self._root.rstrip("/"), job_id, name) if part)
