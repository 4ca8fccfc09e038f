"""What a file of text holds, line by line, or the line that is wrong. No torch is loaded here.

    text    UTF-8 lines; blank ones are left out
    tsv     UTF-8 lines of two columns with a tab between them: source, target
    jsonl   one JSON object a line, with a member for the text, or two for source and target

A record is what one line gives: one text, or a source and its target.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from io import BufferedIOBase

from pydantic_core import from_json

from admin_core.errors import DatasetFileError

MAX_LINES = 1_000_000
MAX_LINE_BYTES = 2**20

TEXT_COLUMN = ("text",)
PARALLEL_COLUMNS = ("source", "target")

Record = tuple[str, ...]
"""One text, or a source and its target."""

CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0e-\x1f]")
"""All but white space. Their bytes stand for masks and cut-out spans, so that no text may hold
them."""


class RecordFormat(StrEnum):
    TEXT = "text"
    TSV = "tsv"
    JSONL = "jsonl"


def is_held_out(number: int) -> bool:
    """Whether the record of this number, from 0, is for validation: every tenth is."""
    return number % 10 == 1


def columns_of(
    file: BufferedIOBase, record_format: RecordFormat, asked: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The names of the file's columns, one or two. The file is read again from its beginning.

    Args:
        asked: the members of JSON objects that are wanted; ``text``, or ``source`` and ``target``,
            whichever the first line has, unless given.

    Raises:
        DatasetFileError: the file is empty, or its first line is wrong.
    """
    if record_format is RecordFormat.TEXT:
        return TEXT_COLUMN
    if record_format is RecordFormat.TSV:
        return PARALLEL_COLUMNS
    file.seek(0)
    for number, line in _lines(file):
        if asked:
            return asked
        row = _object(number, line)
        for columns in (TEXT_COLUMN, PARALLEL_COLUMNS):
            if row.keys() >= set(columns):
                return columns
        raise DatasetFileError(
            number,
            "has neither a member text nor the members source and target; name the members to read "
            "with ?column=",
        )
    raise DatasetFileError(None, "The file is empty.")


def read_records(
    file: BufferedIOBase, record_format: RecordFormat, columns: tuple[str, ...]
) -> Iterator[Record]:
    """Every record, from the file's beginning.

    Raises:
        DatasetFileError: a line is too long or one too many, no UTF-8, ragged, no JSON object,
            lacks a column, or holds a control character.
    """
    file.seek(0)
    for number, line in _lines(file):
        if record_format is RecordFormat.TEXT:
            record: Record = (line,)
            if not line.strip():
                continue
        elif record_format is RecordFormat.TSV:
            record = _cells(number, line)
        else:
            row = _object(number, line)
            record = tuple(_text(number, row, column) for column in columns)
        for column, text in zip(columns, record, strict=True):
            _check_text(number, column, text)
        yield record


def _lines(file: BufferedIOBase) -> Iterator[tuple[int, str]]:
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 3):
        number += 1
        if number > MAX_LINES:
            raise DatasetFileError(
                number, f"is one too many; a data set has {MAX_LINES:,} lines at most"
            )
        line = raw.removesuffix(b"\n").removesuffix(b"\r")
        if len(line) > MAX_LINE_BYTES:
            raise DatasetFileError(
                number, f"is longer than {MAX_LINE_BYTES:,} bytes; break it into several"
            )
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            yield number, line.decode()
        except UnicodeDecodeError as error:
            raise DatasetFileError(
                number,
                f"is not UTF-8: byte {error.start + 1} of it is 0x{line[error.start]:02x}; save "
                "the file as UTF-8",
            ) from None


def _cells(number: int, line: str) -> Record:
    cells = tuple(line.split("\t"))
    if len(cells) != len(PARALLEL_COLUMNS):
        columns = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
        raise DatasetFileError(
            number, f"has {columns}; 2 are expected, a source and its target with a tab between"
        )
    return cells


def _object(number: int, line: str) -> Mapping[str, object]:
    try:
        row = from_json(line)
    except ValueError as error:
        # The parser counts lines within this one.
        reason = re.sub(r" at line 1 column (\d+)$", r" at character \1", str(error))
        raise DatasetFileError(number, f"is not JSON: {reason}") from None
    if not isinstance(row, dict):
        raise DatasetFileError(number, "is no JSON object; one is expected on each line")
    return row


def member(row: Mapping[str, object], column: str) -> object:
    """What a row holds under a name, in which dots lead into members of members.

    Raises:
        KeyError: nothing.
    """
    found: object = row
    # A name may itself hold dots.
    for name in [column] if column in row else column.split("."):
        if not isinstance(found, Mapping):
            raise KeyError(column)
        found = found[name]
    return found


def _text(number: int, row: Mapping[str, object], column: str) -> str:
    try:
        found = member(row, column)
    except KeyError:
        raise DatasetFileError(number, f"has no member {column}") from None
    if not isinstance(found, str):
        raise DatasetFileError(number, f"has a member {column} that is no string")
    return found


def _check_text(number: int, column: str, text: str) -> None:
    if not text.strip():
        raise DatasetFileError(number, f"has an empty {column}")
    control = CONTROL_CHARACTER.search(text)
    if control:
        raise DatasetFileError(
            number,
            f"holds the control character U+{ord(control.group()):04X}; remove it",
        )
