"""What is known of a data set before it is read as tokens. No torch is loaded here."""

import hashlib
from io import BufferedIOBase

from admin_core.data.records import RecordFormat, is_held_out, read_records
from admin_core.errors import DatasetFileError
from admin_core.spec import Part, Tokenizer, TokenizerName

CONTENT = "content"
"""The file with the lines, in a data set's folder."""

FACTS = "facts.json"
"""The file with the `DatasetFacts`, beside it."""

TOKENS = "tokens"
"""The folder of what a job makes of them, in the same place."""

BEING_MADE = f"{TOKENS}-"
"""Begins the name of that folder while it is being made."""


class DatasetFacts(Part):
    """What a data set is, and how much it holds."""

    sha256: str
    """Of the file's content."""
    size_bytes: int
    """Of the file."""
    format: RecordFormat
    columns: tuple[str, ...]
    """One name for running text, two for parallel text: source, target."""
    tokenizer: Tokenizer
    vocab_size: int
    """Tokens are below this number; models need a vocabulary at least as large."""
    lines: int
    """Records."""
    held_out_lines: int
    """Of these, every tenth: for validation alone."""
    training_tokens: int
    """Of all records that are not held out; in running text, a line feed follows each."""
    held_out_tokens: int
    longest: tuple[int, ...]
    """Tokens of the longest record in each column, without a line feed."""
    tokens_are_exact: bool
    """Whether tokens were counted; a trained tokenizer makes fewer of the bytes that stand here
    until the first job has trained it."""

    @property
    def parallel(self) -> bool:
        """Whether a source and a target stand on each line."""
        return len(self.columns) == 2

    @property
    def dataset_id(self) -> str:
        """The same for the same content, read in the same way."""
        read_as = self.model_dump_json(include={"sha256", "format", "columns", "tokenizer"})
        return f"ds-{hashlib.sha256(read_as.encode()).hexdigest()[:32]}"


def measure(
    file: BufferedIOBase,
    record_format: RecordFormat,
    columns: tuple[str, ...],
    tokenizer: Tokenizer,
    *,
    sha256: str,
) -> DatasetFacts:
    """Read the whole file once; tokens are counted as bytes.

    Raises:
        DatasetFileError: a line is wrong, or there are fewer than two records, of which one can be
            held out.
    """
    tokens = {True: 0, False: 0}
    lines = {True: 0, False: 0}
    longest = [0 for _ in columns]
    for number, record in enumerate(read_records(file, record_format, columns)):
        held_out = is_held_out(number)
        lengths = [len(text.encode()) for text in record]
        lines[held_out] += 1
        tokens[held_out] += sum(lengths) + (len(columns) == 1)
        longest = [max(pair) for pair in zip(longest, lengths, strict=True)]
    if not lines[False]:
        raise DatasetFileError(None, "The file is empty.")
    if not lines[True]:
        raise DatasetFileError(
            None,
            "The file holds a single line with text; give two or more, as every tenth is held out "
            "for validation.",
        )
    return DatasetFacts(
        sha256=sha256,
        size_bytes=file.tell(),
        format=record_format,
        columns=columns,
        tokenizer=tokenizer,
        vocab_size=tokenizer.vocabulary,
        lines=lines[False] + lines[True],
        held_out_lines=lines[True],
        training_tokens=tokens[False],
        held_out_tokens=tokens[True],
        longest=tuple(longest),
        tokens_are_exact=tokenizer.name is TokenizerName.BYTES,
    )
