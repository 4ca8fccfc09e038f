"""One step's worth of data, on one device."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from admin_core.errors import EmptyBatchError, UnknownTokenError
from admin_core.spec import Stack

IGNORED = -100
"""A target that no loss is taken at."""

NO_TARGETS = torch.empty(0, dtype=torch.long)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a model is called with, and what it should have said."""

    inputs: Mapping[str, Any]
    """Keyword arguments of the model's forward pass; tensors but for a switch here or there."""

    targets: Tensor = NO_TARGETS
    """Class per place of the logits, or `IGNORED`: batch seq, or batch where a whole input has one
    answer. Empty where the model's own loss is taken, which it computes from its inputs."""

    arguments: tuple[Any, ...] = ()
    """Arguments of the forward pass that have no name."""

    @property
    def device(self) -> torch.device:
        """Of the tensors; the CPU where there are none."""
        return next((tensor.device for tensor in self._tensors()), torch.device("cpu"))

    @property
    def has_targets(self) -> bool:
        return self.targets.numel() > 0

    @property
    def num_answers(self) -> int:
        """Targets, ignored ones too; where there are none, elements of the first input, and so the
        tokens of a text."""
        if self.has_targets:
            return self.targets.numel()
        return next((tensor.numel() for tensor in self._tensors()), 0)

    def padding(self, stack: str) -> Tensor | None:
        """True at the positions of a stack that hold no token; batch seq. None where all do.

        The built-in Transformer's `source_padding` and `target_padding`, or the masks of the
        Transformers library, which are 0 there.
        """
        own = "source_padding" if stack == Stack.ENCODER else "target_padding"
        padding: Tensor | None = self.inputs.get(own)
        if padding is not None:
            return padding
        decodes = stack == Stack.DECODER and "decoder_input_ids" in self.inputs
        mask = self.inputs.get("decoder_attention_mask" if decodes else "attention_mask")
        return mask == 0 if isinstance(mask, Tensor) and mask.ndim == 2 else None

    def check(self, vocab_size: int | None = None) -> None:
        """Return if a model of this vocabulary, where it is known, can read the batch.

        Raises:
            EmptyBatchError: it holds no token.
            UnknownTokenError: it holds one that is not in the vocabulary.
        """
        if any(tensor.numel() == 0 for tensor in self._tensors()):
            named = {name: x for name, x in self.inputs.items() if isinstance(x, Tensor)}
            raise EmptyBatchError({name: tuple(x.shape) for name, x in named.items()})
        if vocab_size is None:
            return
        for name, tokens in self.inputs.items():
            if isinstance(tokens, Tensor) and tokens.dtype == torch.long:
                unknown = tokens[(tokens < 0) | (tokens >= vocab_size)]
                if len(unknown):
                    raise UnknownTokenError(name, int(unknown[0]), vocab_size)

    def to(self, device: torch.device) -> "Batch":
        def moved(value: Any) -> Any:
            return value.to(device) if isinstance(value, Tensor) else value

        return Batch(
            inputs={name: moved(value) for name, value in self.inputs.items()},
            targets=moved(self.targets),
            arguments=tuple(map(moved, self.arguments)),
        )

    def _tensors(self) -> Iterator[Tensor]:
        for value in (*self.arguments, *self.inputs.values()):
            if isinstance(value, Tensor):
                yield value
