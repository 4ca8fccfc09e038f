"""What the text for a model depends on. No torch is loaded here."""

from dataclasses import dataclass

from admin_core.spec import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A model, as far as its text is concerned; the built-in Transformer's spec says as much."""

    architecture: Architecture
    vocab_size: int
