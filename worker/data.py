"""From the data that a spec names to the data set that a job reads."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from admin_core.data.dataset_facts import DatasetFacts
from admin_core.data.dataset_fit import check_fit, check_hub_kind
from admin_core.data.hub import check_available, fetch
from admin_core.errors import InvalidSpecError
from admin_core.progress import OnProgress, ignore_progress
from admin_core.race_spec import RaceSpec
from admin_core.spec import DataSpec, DiagnosisSpec, HubData, Subject, UploadData
from worker import datasets
from worker.jobs import no_such_dataset
from worker.settings import Settings
from worker.store import Store

if TYPE_CHECKING:
    from admin_core.data.dataset import Dataset


def check_data(
    spec: DiagnosisSpec | RaceSpec,
    store: Store,
    settings: Settings,
    *,
    sees: Callable[[str], bool] = lambda key_id: True,
) -> None:
    """Return if every model of the spec can be trained on its data, as far as can be told before
    tokens are made.

    Args:
        sees: whether a data set of the key of this id is there for who sends the spec.

    Raises:
        InvalidSpecError: names the field to change.
    """
    facts = None
    if isinstance(spec.data, UploadData):
        found = datasets.get(store, spec.data.id)
        if found is None or not sees(found.key_id):
            raise no_such_dataset()
        facts = DatasetFacts.model_validate(found.facts)
    elif isinstance(spec.data, HubData):
        check_available(spec.data, root=settings.hub_folder, allow_hub=settings.allow_hub)
    else:
        return
    if isinstance(spec, DiagnosisSpec):
        _check(spec, facts, held_out=False)
        return
    for number, arm in enumerate(spec.arms):
        try:
            _check(spec.run(number), facts, held_out=True)
        except InvalidSpecError as error:
            part, _, name = error.field.partition(".")
            if name.partition(".")[0] in getattr(arm.patch, part, {}):
                field = f"arms.{number}.patch.{error.field}"
                raise InvalidSpecError(field, error.reason) from None
            raise


def open_data(
    data: DataSpec, settings: Settings, *, on_progress: OnProgress = ignore_progress
) -> "Dataset | None":
    """The data set of an upload or of the hub, read as tokens; none for other data.

    Raises:
        InvalidSpecError: it is not there, or cannot be had.
        HubError: the hub did not give it.
    """
    if not isinstance(data, UploadData | HubData):
        return None
    # Loads torch.
    from admin_core.data.dataset import open_dataset

    return open_dataset(_folder(data, settings, on_progress), on_progress=on_progress)


def _folder(data: UploadData | HubData, settings: Settings, on_progress: OnProgress) -> Path:
    if isinstance(data, UploadData):
        folder = datasets.folder_of(settings, data.id)
        if not folder.is_dir():
            raise InvalidSpecError(
                "data.id",
                "there are no files of such a data set below TRIMTAB_HOME here; upload it, and let "
                "machines that work together share that folder",
            )
        return folder
    settings.datasets.mkdir(parents=True, exist_ok=True)
    return fetch(
        data,
        settings.datasets,
        root=settings.hub_folder,
        allow_hub=settings.allow_hub,
        max_bytes=settings.max_dataset_bytes,
        on_progress=on_progress,
    )


def _check(spec: Subject, facts: DatasetFacts | None, *, held_out: bool) -> None:
    if facts is not None:
        check_fit(spec, facts, held_out=held_out)
    elif isinstance(spec.data, HubData):
        check_hub_kind(spec, spec.data)
