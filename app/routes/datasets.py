"""Data sets: upload, look, delete."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from admin_core.data.dataset_facts import CONTENT, DatasetFacts, measure
from admin_core.data.records import RecordFormat, columns_of
from admin_core.spec import ColumnName, Tokenizer, TokenizerName
from app.auth import Caller, CallerDep
from app.deps import SettingsDep, StoreDep
from app.job_view import View, job_path
from app.problems import DATASET_IN_USE, NOT_FOUND, ProblemError, documented
from app.upload import FORMATS, declared_format, save_body
from worker import datasets
from worker.datasets import DatasetInUseError, StoredDataset
from worker.problem import INVALID_REQUEST, FieldError
from worker.settings import Settings
from worker.store import Store

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


class DatasetView(View):
    """A data set that diagnoses and races can name."""

    id: str
    """For `data`: `{"kind": "upload", "id": ...}`."""
    created_at: datetime
    facts: DatasetFacts
    links: dict[str, str]
    """Addresses on this server."""


class DatasetPage(View):
    datasets: list[DatasetView]
    next_cursor: str | None
    """For `?cursor=`, to see older ones; null on the last page."""


_A_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {media_type: {"schema": {"type": "string"}} for media_type in FORMATS},
    }
}


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=DatasetView,
    responses={
        200: {"model": DatasetView, "description": "The same data set was there already."},
        201: {"description": "Made; `Location` says where to look."},
        **documented(400, 403, 413, 415, 422, 500),
    },
    openapi_extra=_A_FILE,
)
async def upload(
    request: Request,
    settings: SettingsDep,
    store: StoreDep,
    caller: CallerDep,
    tokenizer: Annotated[
        TokenizerName, Query(description="`bpe` is trained on the data set by the first job.")
    ] = TokenizerName.BYTES,
    vocab_size: Annotated[
        int | None, Query(description="Of `bpe`, from 257 to 65,536; 8,192 unless given.")
    ] = None,
    column: Annotated[
        list[ColumnName] | None,
        Query(
            max_length=2,
            description="Of JSON lines: the member to read, or, given twice, source and target. "
            "`text`, or `source` and `target`, unless given.",
        ),
    ] = None,
) -> Response:
    """Keep lines of text, two columns of parallel text, or JSON lines, to train on. The same file
    read in the same way is the same data set."""
    record_format = declared_format(request)
    read_as = _tokenizer(tokenizer, vocab_size)
    columns = _columns(record_format, column)
    with datasets.incoming(settings) as folder:
        sha256 = await save_body(request, folder / CONTENT, limit=settings.max_dataset_bytes)
        stored, new = await run_in_threadpool(
            _take, store, settings, caller, folder, record_format, columns, read_as, sha256
        )
    view = _view(stored)
    return JSONResponse(
        view.model_dump(mode="json"),
        status.HTTP_201_CREATED if new else status.HTTP_200_OK,
        {"Location": view.links["self"]},
    )


@router.get("", responses=documented(422, 500))
def list_datasets(
    store: StoreDep,
    caller: CallerDep,
    limit: Annotated[int, Query(ge=1, le=200, description="Data sets on a page.")] = 50,
    cursor: Annotated[
        str | None,
        Query(max_length=36, pattern="^[!-~]*$", description="The `next_cursor` before."),
    ] = None,
) -> DatasetPage:
    """All that were uploaded with the key, newest first."""
    # One more than asked for shows whether there is another page.
    found = datasets.newest(
        store,
        limit=limit + 1,
        before=cursor,
        key_id=None if caller.sees_all else caller.key_id,
    )
    return DatasetPage(
        datasets=[_view(stored) for stored in found[:limit]],
        next_cursor=found[limit - 1].id if len(found) > limit else None,
    )


@router.get("/{dataset_id}", responses=documented(404, 500))
def get_dataset(dataset_id: str, store: StoreDep, caller: CallerDep) -> DatasetView:
    """What a data set is, and how much it holds."""
    return _view(_find(store, caller, dataset_id))


@router.delete(
    "/{dataset_id}", status_code=status.HTTP_204_NO_CONTENT, responses=documented(404, 409, 500)
)
def delete_dataset(
    dataset_id: str, settings: SettingsDep, store: StoreDep, caller: CallerDep
) -> None:
    """Delete, unless a job that is not finished reads it."""
    _find(store, caller, dataset_id)
    try:
        removed = datasets.remove(store, settings, dataset_id)
    except DatasetInUseError as error:
        raise ProblemError(
            DATASET_IN_USE.problem(
                f"A {error.kind} that is not finished reads it; cancel that first, or wait.",
                links={error.kind: job_path(error.job_id, error.kind)},
            )
        ) from None
    if not removed:
        raise _not_found()


def _take(
    store: Store,
    settings: Settings,
    caller: Caller,
    folder: Path,
    record_format: RecordFormat,
    columns: tuple[str, ...],
    tokenizer: Tokenizer,
    sha256: str,
) -> tuple[StoredDataset, bool]:
    with (folder / CONTENT).open("rb") as file:
        columns = columns_of(file, record_format, columns)
        facts = measure(file, record_format, columns, tokenizer, sha256=sha256)
    return datasets.add(store, settings, folder, facts, key_id=caller.key_id)


def _tokenizer(name: TokenizerName, vocab_size: int | None) -> Tokenizer:
    try:
        return Tokenizer(name=name, vocab_size=vocab_size)
    except ValidationError as error:
        raise _refused("vocab_size", str(error.errors()[0]["msg"])) from None


def _columns(record_format: RecordFormat, asked: list[str] | None) -> tuple[str, ...]:
    if asked and record_format is not RecordFormat.JSONL:
        raise _refused("column", "Only JSON lines have columns with names; leave this out")
    if asked and len(set(asked)) < len(asked):
        raise _refused("column", "Name two different members, source and target")
    return tuple(asked or ())


def _refused(field: str, message: str) -> ProblemError:
    error = FieldError(field=field, message=message, type="dataset_parameter")
    return ProblemError(INVALID_REQUEST.problem(f"{field}: {message}", errors=[error]))


def _find(store: Store, caller: Caller, dataset_id: str) -> StoredDataset:
    """The data set; raises a 404 problem if the caller has none of this id."""
    # PostgreSQL refuses text with a zero byte.
    found = None if "\0" in dataset_id else datasets.get(store, dataset_id)
    if found is None or not caller.sees(found.key_id):
        raise _not_found()
    return found


def _not_found() -> ProblemError:
    return ProblemError(
        NOT_FOUND.problem(
            "There is no data set with this id. GET /v1/datasets lists those that there are."
        )
    )


def _view(stored: StoredDataset) -> DatasetView:
    return DatasetView(
        id=stored.id,
        created_at=datetime.fromtimestamp(stored.created_at, UTC),
        facts=DatasetFacts.model_validate(stored.facts),
        links={"self": f"/v1/datasets/{stored.id}"},
    )
