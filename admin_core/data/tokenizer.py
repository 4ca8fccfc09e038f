"""From text to tokens: bytes, or byte-pair encoding (Sennrich et al. 2016) on top of them.

In both, the tokens 0 to 255 are the bytes. So the bytes that no text holds keep their meaning as
masks and sentinels, and a line feed is the token 10.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Trained
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from admin_core.spec import BYTES_VOCABULARY

TRAINING_BYTES = 4 * 2**20
"""Of text that merges are learned from, and the rest of the line they end in."""

LONGEST_STRETCH = 1_000
"""Characters that merges are learned from at a time."""

Tokens = NDArray[np.uint16]


class BytesTokenizer:
    """A token for each byte of the UTF-8 text."""

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text."""
        return [np.frombuffer(text.encode(), np.uint8).astype(np.uint16) for text in texts]


class BpeTokenizer:
    """Byte-pair encoding, from the file that `train_bpe` wrote."""

    def __init__(self, path: Path) -> None:
        self._trained = Trained.from_file(str(path))

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text."""
        found = self._trained.encode_batch(list(texts), add_special_tokens=False)
        return [np.array(each.ids, np.uint16) for each in found]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of which these are the tokens."""
        return str(self._trained.decode(list(tokens)))


def train_bpe(texts: Iterable[str], *, vocab_size: int, path: Path) -> BpeTokenizer:
    """Learn merges from `texts` and write the tokenizer to `path`; the same texts give the same.

    Args:
        vocab_size: tokens at most, the 256 bytes among them; fewer where the texts hold no more
            pairs to merge.
    """
    learner = Trained(BPE())
    learner.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    learner.train_from_iterator(_stretches(texts), trainer)
    merges = [tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"]]

    # The library numbers the bytes in an order of its own; here each is its own number.
    vocabulary = {character: byte for byte, character in enumerate(_characters_of_bytes())}
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    trained = Trained(BPE(vocab=vocabulary, merges=merges))
    trained.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trained.decoder = ByteLevelDecoder()
    trained.save(str(path))
    return BpeTokenizer(path)


def _stretches(texts: Iterable[str]) -> Iterator[str]:
    """The beginning of the texts, in pieces."""
    read = 0
    for text in texts:
        # Learning takes a time that is quadratic in the longest stretch without white space.
        for place in range(0, len(text), LONGEST_STRETCH):
            yield text[place : place + LONGEST_STRETCH]
        read += len(text.encode())
        if read >= TRAINING_BYTES:
            return


def _characters_of_bytes() -> list[str]:
    """The printable character that stands for each byte in GPT-2's byte-level alphabet: itself
    where it is printable Latin-1, otherwise the next one from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    substitutes = iter(range(0x100, 0x200))
    return [
        chr(byte if byte in printable else next(substitutes)) for byte in range(BYTES_VOCABULARY)
    ]
