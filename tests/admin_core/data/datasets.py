"""Small data sets for tests."""

import hashlib
import io
from pathlib import Path

from admin_core.data.dataset_facts import CONTENT, FACTS, DatasetFacts, measure
from admin_core.data.records import RecordFormat, columns_of
from admin_core.spec import Tokenizer, TokenizerName

BYTES = Tokenizer()
BPE = Tokenizer(name=TokenizerName.BPE, vocab_size=300)

PROSE = "".join(f"On day {day} the ship sailed {day * 7} miles.\n" for day in range(100))
"""A hundred lines, no two the same."""

PAIRS = "".join(f"ship {number}\tnavire {number * 3} é\n" for number in range(40))
"""Forty lines of two columns."""


def facts_of(
    content: str | bytes,
    form: RecordFormat = RecordFormat.TEXT,
    tokenizer: Tokenizer = BYTES,
    asked: tuple[str, ...] = (),
) -> DatasetFacts:
    raw = content.encode() if isinstance(content, str) else content
    file = io.BytesIO(raw)
    digest = hashlib.sha256(raw).hexdigest()
    return measure(file, form, columns_of(file, form, asked), tokenizer, sha256=digest)


def write(
    folder: Path,
    content: str = PROSE,
    form: RecordFormat = RecordFormat.TEXT,
    tokenizer: Tokenizer = BYTES,
) -> Path:
    """A data set's folder, as an upload leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONTENT).write_bytes(content.encode())
    (folder / FACTS).write_text(facts_of(content, form, tokenizer).model_dump_json())
    return folder
