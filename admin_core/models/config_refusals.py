"""Which field of a config the Transformers library means when it refuses one.

Its messages are made for people: some name the field, some the attribute that it becomes, some only
the values that do not fit together.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAMED = re.compile(r"[Ff]ield '(\w+)'")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")

MAX_MESSAGE = 500
"""Characters of a message that are passed on."""

Trail = tuple[str, ...]


def field_at_fault(config: Mapping[str, Any], error: Exception) -> Trail:
    """Where in the config the field is that `error` speaks of: one that it names, or else whose
    value it repeats; nowhere if neither."""
    message = str(error)
    fields = list(_fields(config))
    for trail, value in fields:
        if _means(message, trail[-1], value):
            return trail
    numbers = set(_NUMBER.findall(message))
    # Nothing that is counted or measured is below 0, so that such a value is the likeliest.
    for trail, value in sorted(fields, key=lambda f: not (_is_number(f[1]) and f[1] < 0)):
        repeated = isinstance(value, str) and value and repr(value) in message
        if repeated or (_is_number(value) and str(value) in numbers - {"0", "1"}):
            return trail
    named = _NAMED.search(message)
    return () if named is None else (named.group(1),)


def without_values(config: Mapping[str, Any], error: Exception) -> str:
    """The library's message on one line, without the words that the config's sender chose."""
    message = " ".join(str(error).split())
    message = re.sub(r" \(value: .*?\)(?=$|;| )", "", message)
    for _, value in _fields(config):
        if isinstance(value, str) and value:
            message = message.replace(repr(value), "this value").replace(f'"{value}"', "this value")
    if isinstance(error, KeyError):
        message = "it is none of the names that the library knows for this"
    return message[:MAX_MESSAGE]


def _fields(config: Mapping[str, Any], trail: Trail = ()) -> Iterator[tuple[Trail, Any]]:
    for name, value in config.items():
        yield (*trail, name), value
        if isinstance(value, Mapping):
            yield from _fields(value, (*trail, name))


def _means(message: str, name: str, value: Any) -> bool:
    """Whether the message names the field, by its name or in words."""
    words = name.removeprefix("num_").replace("_", "[ _]")
    counted = f"number of {words}" if name.startswith("num_") else words
    pattern = rf"(?<![\w]){re.escape(name)}(?!\w)|\b{counted}\b"
    return value is not None and re.search(pattern, message) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
