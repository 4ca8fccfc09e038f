"""What the model reads and writes."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from admin_core.spec.parts import Part

BYTES_VOCABULARY = 256
"""Text is read as bytes, so that its vocabulary has this size."""


class TextData(Part):
    """Real English text that every CPython ships, as bytes."""

    kind: Literal["text"] = "text"
    name: Literal["pydoc"] = "pydoc"
    lengths: Literal["full", "varied"] = "full"
    """Whether every sequence fills its batch's length, or is cut at a random place between half
    of it and all of it, with padding behind, as a batch of sentences is."""

    objective: Literal["continuation", "denoising"] = "continuation"
    """What an encoder-decoder writes: the text that follows, or the spans that were cut out of its
    source. The other architectures have one objective each."""


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


DataSpec = Annotated[TextData | SyntheticData, Field(discriminator="kind")]
