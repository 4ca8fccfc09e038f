"""Residual branches found in architectures of Transformers, against what their configs imply.

    python -m bench.models [MODEL_TYPE ...]

Each of `bench.architectures` is built from its config, without network, and mapped by
`admin_core.residual.discover`, which knows none of them. A row counts as agreeing when every stack
has as many branches as its config implies and every branch has its norm where the documentation
says. The command exits with 1 unless all rows agree.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import AutoConfig, AutoModel, PretrainedConfig
from transformers.utils import logging

from admin_core.report import NormPlacement
from admin_core.residual import discover
from bench.architectures import ARCHITECTURES, Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What discovery says."""

    counts: dict[str, int]
    placements: Counter[NormPlacement]


def find(architecture: Architecture) -> tuple[Found, dict[str, int]]:
    """What discovery finds in one architecture, and what its config implies."""
    torch.manual_seed(0)
    config: PretrainedConfig = AutoConfig.for_model(architecture.name, **architecture.config)
    model = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    found = discover(model, architecture.inputs(config))
    counts = {stack: len(branches) for stack, branches in found.stacks.items()}
    placements = Counter(branch.norm_placement for branch in found.branches)
    return Found(counts=counts, placements=placements), architecture.expected(config)


def table(architectures: Sequence[Architecture]) -> Iterator[str]:
    """The lines of the table in Markdown, then how many agree."""
    yield "| architecture | family | found | implied by the config | norm found | documented |"
    yield "| --- | --- | ---: | ---: | --- | --- |"
    agreeing = 0
    for architecture in architectures:
        found, expected = find(architecture)
        agrees = found.counts == expected and set(found.placements) == {architecture.placement}
        agreeing += agrees
        yield (
            f"| {architecture.name} | {architecture.family} | {_sum(found.counts)} | "
            f"{_sum(expected)}: {architecture.implied} | "
            f"{', '.join(found.placements)} | {architecture.placement} |{'' if agrees else ' NO'}"
        )
    yield ""
    yield f"{agreeing} of {len(architectures)} agree."


def _sum(counts: Mapping[str, int]) -> str:
    return " + ".join(str(count) for count in dict(sorted(counts.items())).values())


def main(names: Sequence[str]) -> int:
    """Print the table, of the architectures named or of all; 0 where all agree."""
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    chosen = [a for a in ARCHITECTURES if not names or a.name in names]
    line = ""
    for line in table(chosen):
        print(line, flush=True)
    return 0 if line.startswith(f"{len(chosen)} of") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
