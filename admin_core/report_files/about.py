"""What a report file says of where its report comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Beside the report itself, which does not know its own name."""

    title: str
    request: Mapping[str, Any] | None = None
    """What was asked for, as it could be asked again."""
