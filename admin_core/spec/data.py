"""What the model reads and writes."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from admin_core.spec.parts import Count, Part, refuse

BYTES_VOCABULARY = 256
"""Bytes are tokens of their own, so that a vocabulary of bytes has this size."""

LARGEST_VOCABULARY = 65_536
"""Of a tokenizer that is trained on a data set; its tokens are kept as 16-bit numbers."""

USUAL_BPE_VOCABULARY = 8_192

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
"""A member of each row; dots lead into members of members."""


class Prose(Part):
    """What all running text has in common, whoever wrote it."""

    lengths: Literal["full", "varied"] = "full"
    """Whether every sequence fills its batch's length, or is cut at a random place between half
    of it and all of it, with padding behind, as a batch of sentences is."""

    objective: Literal["continuation", "denoising"] = "continuation"
    """What an encoder-decoder writes: the text that follows, or the spans that were cut out of its
    source. The other architectures have one objective each."""


class TextData(Prose):
    """Real English text that every CPython ships, as bytes."""

    kind: Literal["text"] = "text"
    name: Literal["pydoc"] = "pydoc"


class UploadData(Prose):
    """A data set that was uploaded before; its own settings say how it is read."""

    kind: Literal["upload"]
    id: Annotated[str, Field(pattern=r"^ds-[0-9a-f]{32}$")]
    """As ``POST /v1/datasets`` gave it."""


class TokenizerName(StrEnum):
    BYTES = "bytes"
    """Each byte of the UTF-8 text is a token."""
    BPE = "bpe"
    """Byte-pair encoding, trained on the part of the data set that models are trained on. The first
    256 tokens are the bytes."""


class Tokenizer(Part):
    """How text becomes tokens."""

    name: TokenizerName = TokenizerName.BYTES
    vocab_size: Annotated[Count, Field(le=LARGEST_VOCABULARY)] | None = Field(
        None, validate_default=True
    )
    """Of a trained tokenizer at most, 8,192 unless given; that of bytes is 256."""

    @field_validator("vocab_size")
    @classmethod
    def _vocabulary_fits_the_tokenizer(cls, size: int | None, info: ValidationInfo) -> int | None:
        name = info.data.get("name")
        if name is TokenizerName.BPE:
            size = USUAL_BPE_VOCABULARY if size is None else size
            if size <= BYTES_VOCABULARY:
                raise PydanticCustomError(
                    "vocabulary_too_small", "Input should be greater than 256, the number of bytes"
                )
        elif name is TokenizerName.BYTES and size not in (None, BYTES_VOCABULARY):
            raise PydanticCustomError(
                "bytes_are_256", "There are 256 bytes; leave this out, or take the tokenizer bpe"
            )
        return size

    @property
    def vocabulary(self) -> int:
        """Tokens are below this number."""
        return self.vocab_size or BYTES_VOCABULARY


class HubData(Prose):
    """A data set of the Hugging Face hub: of each row one column of text, or a source and a target.

    Names can hold no path, address or scheme, so that they lead nowhere but to the hub, or to the
    one folder that the operator names.
    """

    kind: Literal["hub"]
    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")
    ]
    """``namespace/name``."""
    config: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")] | None = None
    """The folder of its files, where it has several."""
    split: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,40}$")] = "train"
    """Its name for the part to read; a tenth of that is held out, as of any text."""
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")] = "main"
    """A branch, tag or commit."""
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=2)] = ("text",)
    """One for running text, two for parallel text."""
    tokenizer: Tokenizer = Tokenizer()

    @model_validator(mode="after")
    def _no_name_climbs(self) -> Self:
        for field in ("name", "config", "revision"):
            if ".." in (getattr(self, field) or ""):
                raise refuse((field,), None, "dots", "Input should not hold two dots in a row")
        return self


class SyntheticName(StrEnum):
    UNIFORM = "uniform"
    ZIPF = "zipf"
    COPY = "copy"
    REVERSE = "reverse"
    SORT = "sort"


class SyntheticData(Part):
    """Tokens drawn from a rule, over the model's whole vocabulary."""

    kind: Literal["synthetic"]
    name: SyntheticName


DataSpec = Annotated[TextData | SyntheticData | UploadData | HubData, Field(discriminator="kind")]
