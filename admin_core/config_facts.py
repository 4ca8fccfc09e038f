"""What a Transformers config says by itself, so that bad ones are refused before they are queued.

Neither torch nor Transformers is loaded. The names of the architectures are read from a file of
the library that holds nothing but tables.
"""

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from admin_core.errors import InvalidSpecError
from admin_core.spec import HuggingFaceSpec

_TABLE = "CONFIG_MAPPING_NAMES"
_TABLES = (
    "transformers/models/auto/auto_mappings.py",
    "transformers/models/auto/configuration_auto.py",
)
"""The files that fill it."""

_VOCABULARIES = ("vocab_size",)
_WIDTHS = ("hidden_size", "d_model", "n_embd", "n_embed", "dim", "emb_dim")
_EMBEDDING_WIDTHS = ("embedding_size", "word_embed_proj_dim", "emb_size", "d_embed")
_LAYERS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "encoder_layers",
    "num_encoder_layers",
)
_DECODER_LAYERS = ("decoder_layers", "num_decoder_layers")
_SHARED_LAYERS = ("num_hidden_groups",)


@functools.cache
def known_architectures() -> frozenset[str]:
    """Every `model_type` of the installed Transformers library."""
    names: set[str] = set()
    for file in _TABLES:
        source = Path(str(distribution("transformers").locate_file(file)))
        for statement in ast.parse(source.read_text(encoding="utf-8")).body:
            if _TABLE in {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)}:
                names.update(_first_words(statement))
    return frozenset(names)


def _first_words(statement: ast.stmt) -> Iterator[str]:
    """The keys of a table's literals, which are dictionaries or lists of pairs."""
    for node in ast.walk(statement):
        keys: Sequence[ast.expr | None] = node.keys if isinstance(node, ast.Dict) else []
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            keys = node.elts[:1]
        yield from (str(key.value) for key in keys if isinstance(key, ast.Constant))


def check_model_type(model: HuggingFaceSpec) -> None:
    """Return if the library has the config's architecture.

    Raises:
        InvalidSpecError: it has none of this name.
    """
    name = model.model_type
    if name not in known_architectures():
        close = get_close_matches(name[:100], known_architectures(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "bert, gpt2 and t5 are some."
        raise InvalidSpecError(
            "model.config.model_type",
            f"is none of the {len(known_architectures())} architectures of the installed "
            f"Transformers library; {hint}",
        )


def parameters_at_least(model: HuggingFaceSpec) -> int:
    """Fewer parameters the model cannot have: its token embedding, and a square matrix a layer.

    Of nested configs, as for text and for vision, the largest alone counts. 0 where the config
    leaves the sizes to its library's defaults.
    """
    return max(map(_at_least, _objects(model.config)))


def stated_vocabulary(model: HuggingFaceSpec) -> int | None:
    """The tokens of the config's largest vocabulary; None where it leaves that to its library."""
    return max(_number(config, _VOCABULARIES) for config in _objects(model.config)) or None


def tokens_are_read(model: HuggingFaceSpec) -> bool:
    """Whether the config has a vocabulary."""
    return stated_vocabulary(model) is not None


def width_at_least(model: HuggingFaceSpec) -> int:
    """Features of the widest part; 0 where the config leaves them to its library's defaults."""
    return max(_number(config, _WIDTHS) for config in _objects(model.config))


def layers_at_least(model: HuggingFaceSpec) -> int:
    """Layers of the deepest part, of both its stacks where it names both; 0 where the config leaves
    them to its library's defaults."""
    return max(
        _number(config, _LAYERS) + _number(config, _DECODER_LAYERS)
        for config in _objects(model.config)
    )


def _at_least(config: Mapping[str, Any]) -> int:
    vocabulary = _number(config, _VOCABULARIES)
    width = _number(config, _WIDTHS)
    embedding_width = _number(config, _EMBEDDING_WIDTHS) or width
    layers = 1 if _number(config, _SHARED_LAYERS) else _number(config, _LAYERS)
    return vocabulary * embedding_width + layers * width**2


def _number(config: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _objects(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _objects(value)
