"""Span corruption: cut spans out of a text, and ask for them.

    text      the quick brown fox jumps over
    source    the <1> brown fox <2> over
    answer    <1> quick <2> jumps <3>

About 15 % of the text is cut, in spans of three bytes on average, as in T5 (Raffel et al. 2020). A
sentinel stands for each span, and one more ends the answer. Sentinels are control bytes that no
text holds; where the text is so long that they run out, its spans are longer.
"""

from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

from admin_core.data.span_lengths import SENTINELS, cut_tokens_and_spans


def cut_spans(
    text: Int[Tensor, "batch length"], generator: torch.Generator
) -> tuple[Int[Tensor, "batch source"], Int[Tensor, "batch answer"]]:
    """The source with its spans cut out, and the answer that holds them.

    Where the spans lie is random; how long both are follows from the text's length alone.
    """
    sources, answers = [], []
    cut, spans = cut_tokens_and_spans(text.shape[1])
    for line in text.tolist():
        position = 0
        source: list[int] = []
        answer: list[int] = []
        kept_lengths = _partition(text.shape[1] - cut, spans, generator)
        cut_lengths = _partition(cut, spans, generator)
        for sentinel, kept_length, cut_length in zip(
            SENTINELS, kept_lengths, cut_lengths, strict=False
        ):
            begin, end = position + kept_length, position + kept_length + cut_length
            source += [*line[position:begin], sentinel]
            answer += [sentinel, *line[begin:end]]
            position = end
        sources.append(source)
        answers.append([*answer, SENTINELS[spans]])
    return torch.tensor(sources), torch.tensor(answers)


def _partition(total: int, parts: int, generator: torch.Generator) -> list[int]:
    """Random positive lengths that add up to `total`, every choice equally likely."""
    places = torch.randperm(total - 1, generator=generator)[: parts - 1] + 1
    cuts = [0, *sorted(places.tolist()), total]
    return [end - begin for begin, end in pairwise(cuts)]
