"""Data sets of the Hugging Face hub, or of a local folder laid out like it.

Only plain files of rows are read: Parquet, JSON lines, CSV, text. Which ones is decided here, from
their names, and never by what a data set says of itself: neither scripts nor addresses in its
card are followed. No token of the operator is shown to the hub. No torch is loaded here.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from admin_core.data.dataset_facts import CONTENT, FACTS, measure
from admin_core.data.records import (
    CONTROL_CHARACTER,
    MAX_LINE_BYTES,
    MAX_LINES,
    PARALLEL_COLUMNS,
    TEXT_COLUMN,
    RecordFormat,
    member,
)
from admin_core.errors import DatasetFileError, HubError, InvalidSpecError
from admin_core.progress import OnProgress, Progress, ignore_progress
from admin_core.spec import HubData

BUILDER_OF = {".parquet": "parquet", ".jsonl": "json", ".csv": "csv", ".txt": "text"}
"""The library's reader for each kind of file, the preferred first."""

PLAIN_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_./-]*")
"""Of a file; patterns, schemes and hops between archives need other characters."""

FETCHING = "fetching-"
"""Begins the name of a folder that is being filled."""

ROWS_AT_ONCE = 1_000


def fetch(
    data: HubData,
    folders: Path,
    *,
    root: Path | None,
    allow_hub: bool,
    max_bytes: int,
    on_progress: OnProgress = ignore_progress,
) -> Path:
    """The folder, in `folders`, of the data set as `open_dataset` wants it; fetched if need be.

    Running text is taken line by line, parallel text row by row, until it is `max_bytes` long.
    Rows without text are left out, and so are control characters.

    Args:
        root: a folder with data sets as ``namespace/name``, which is looked at before the hub.
        allow_hub: whether the hub may be asked.

    Raises:
        InvalidSpecError: there is no such data set, split or column, or it may not be fetched.
    """
    # How sequences are made of the text decides nothing here.
    wanted = data.model_dump_json(exclude={"lengths", "objective"})
    folder = folders / f"hub-{hashlib.sha256(wanted.encode()).hexdigest()[:32]}"
    if folder.is_dir():
        return folder
    rows = _rows(data, root, allow_hub)
    unfinished = Path(tempfile.mkdtemp(prefix=FETCHING, dir=folders))
    try:
        _write(data, rows, unfinished, max_bytes, on_progress)
        try:
            os.rename(unfinished, folder)
        except OSError:
            # Another job was faster.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def check_available(data: HubData, *, root: Path | None, allow_hub: bool) -> None:
    """Return if the data set may be looked for.

    Raises:
        InvalidSpecError: the hub may not be asked, or the library is missing.
    """
    if find_spec("datasets") is None:
        raise InvalidSpecError(
            "data.kind",
            "is hub, which needs the package datasets; install it with pip install "
            "'.[datasets]' in Trimtab's checkout",
        )
    if not allow_hub and _local(data, root) is None:
        raise InvalidSpecError(
            "data.kind",
            "is hub, and the hub may not be asked from here; set TRIMTAB_ALLOW_HUB=true to allow "
            "it, or upload the text",
        )


def files_of_split(paths: Iterable[str], data: HubData) -> list[str]:
    """Those of a data set's files that hold the wanted part, all of one kind.

    The split's name is a word of the path: ``data/train-00000-of-00002.parquet``. With a config,
    one of the folders on the path has its name.

    Raises:
        InvalidSpecError: there are none, or those of several configs.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        plain = PLAIN_PATH.fullmatch(path) and ".." not in path
        words = re.split(r"[^A-Za-z0-9]+", path)
        in_config = data.config is None or data.config in PurePosixPath(path).parent.parts
        if plain and data.split in words and in_config:
            found[PurePosixPath(path).suffix].append(path)
    files = next((found[suffix] for suffix in BUILDER_OF if suffix in found), [])
    if not files:
        where = "" if data.config is None else f" in the config {data.config}"
        raise InvalidSpecError(
            "data.split",
            f"the data set has no file of rows whose name says {data.split}{where}; Parquet, "
            "JSON lines, CSV and text can be read",
        )
    folders = sorted({str(PurePosixPath(file).parent) for file in files})
    if len(folders) > 1:
        raise InvalidSpecError(
            "data.config", f"the data set has several: {', '.join(folders[:20])}; name one"
        )
    return files


def _rows(data: HubData, root: Path | None, allow_hub: bool) -> Iterator[Mapping[str, Any]]:
    check_available(data, root=root, allow_hub=allow_hub)
    local = _local(data, root)
    if local is not None:
        paths = [file.relative_to(local).as_posix() for file in local.rglob("*") if file.is_file()]
        base = str(local)
    else:
        paths, base = _listed(data)
    files = files_of_split(paths, data)

    return _read(data, files, base)


def _read(data: HubData, files: list[str], base: str) -> Iterator[Mapping[str, Any]]:
    rows = _stream(data, files, base)
    while True:
        try:
            row = next(rows, None)
        except Exception as error:
            # Each kind of file, and the network, has errors of its own.
            raise HubError(data.name, f"its rows ended with {type(error).__name__}") from error
        if row is None:
            return
        yield row


def _stream(data: HubData, files: list[str], base: str) -> Iterator[Mapping[str, Any]]:
    import datasets

    # The library would tell its makers of every reader that it starts, local files or not.
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    stream = datasets.load_dataset(
        BUILDER_OF[PurePosixPath(files[0]).suffix],
        data_files={data.split: [f"{base}/{file}" for file in files]},
        split=data.split,
        # Nothing is written to the library's own cache, and no more is read than is taken.
        streaming=True,
        token=False,
    )
    # Parquet may declare columns as pictures or sound, whose rows name files and addresses that
    # decoding would open. Other files declare nothing.
    yield from stream if stream.features is None else stream.decode(False)


def _listed(data: HubData) -> tuple[list[str], str]:
    """The files of a data set on the hub, and the address that they are below."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        found = HfApi(token=False).dataset_info(data.name, revision=data.revision, timeout=30)
    except HfHubHTTPError as error:
        raise InvalidSpecError(
            "data.name",
            f"the hub does not give {data.name} at {data.revision}: "
            f"status {error.response.status_code}; look at its name and revision there",
        ) from None
    except Exception as error:
        # Without a network, or with a setting that forbids it, the library has many.
        raise HubError(data.name, f"the hub does not answer ({type(error).__name__})") from error
    paths = [sibling.rfilename for sibling in found.siblings or []]
    return paths, f"hf://datasets/{data.name}@{found.sha}"


def _local(data: HubData, root: Path | None) -> Path | None:
    """The data set's folder below `root`, if it is there; the name holds nothing that leads out."""
    if root is None:
        return None
    folder = (root / data.name).resolve()
    return folder if folder.is_dir() and folder.is_relative_to(root.resolve()) else None


def _write(
    data: HubData,
    rows: Iterable[Mapping[str, Any]],
    folder: Path,
    max_bytes: int,
    on_progress: OnProgress,
) -> None:
    columns = TEXT_COLUMN if len(data.columns) == 1 else PARALLEL_COLUMNS
    digest = hashlib.sha256()
    size = lines = 0
    with (folder / CONTENT).open("w+b") as file:
        for number, row in enumerate(rows):
            if number % ROWS_AT_ONCE == 0:
                on_progress(Progress("data set", 0.0))
            texts = [_text(row, column) for column in data.columns]
            records = [(line,) for line in texts[0].splitlines()] if len(texts) == 1 else [texts]
            for record in records:
                line = _line(columns, record)
                if line is None:
                    continue
                if size + len(line) > max_bytes or lines == MAX_LINES:
                    break
                file.write(line)
                digest.update(line)
                size += len(line)
                lines += 1
            else:
                continue
            break
        try:
            facts = measure(
                file, RecordFormat.JSONL, columns, data.tokenizer, sha256=digest.hexdigest()
            )
        except DatasetFileError as error:
            raise InvalidSpecError("data.columns", f"hold too little text: {error}") from None
    (folder / FACTS).write_text(facts.model_dump_json())


def _text(row: Mapping[str, Any], column: str) -> str:
    try:
        found = member(row, column)
    except KeyError:
        raise InvalidSpecError(
            "data.columns",
            f"the data set has no column {column}; it has {', '.join(sorted(row))[:500]}",
        ) from None
    if found is not None and not isinstance(found, str):
        raise InvalidSpecError("data.columns", f"the column {column} holds no text")
    return found or ""


def _line(columns: tuple[str, ...], record: Iterable[str]) -> bytes | None:
    """A line of JSON, or none where a text is missing or too long."""
    texts = [CONTROL_CHARACTER.sub("", text) for text in record]
    if not all(text.strip() for text in texts):
        return None
    line = json.dumps(dict(zip(columns, texts, strict=True)), ensure_ascii=False).encode() + b"\n"
    return line if len(line) <= MAX_LINE_BYTES else None
