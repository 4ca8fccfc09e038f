import pytest
from transformers.utils import logging

from bench.architectures import ARCHITECTURES, Architecture
from bench.models import find

FAST = {
    *("bert", "albert", "deberta-v2", "gpt2", "gpt_neox", "falcon", "gemma2", "olmo2"),
    *("deepseek_v3", "bart", "t5", "whisper", "swin", "convnext", "resnet", "wav2vec2", "mamba"),
    "clip",
}


def agrees(architecture: Architecture) -> bool:
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    found, expected = find(architecture)
    return found.counts == expected and set(found.placements) == {architecture.placement}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestArchitectures:
    @pytest.mark.parametrize("name", sorted(FAST))
    def test_of_every_family_have_the_branches_that_their_configs_imply(self, name: str) -> None:
        assert all(agrees(row) for row in ARCHITECTURES if row.name == name)

    @pytest.mark.slow
    def test_all_have_the_branches_that_their_configs_imply(self) -> None:
        rows = [row for row in ARCHITECTURES if row.name not in FAST]
        assert [row.name for row in rows if not agrees(row)] == []

    def test_are_forty_at_least(self) -> None:
        assert len({row.name for row in ARCHITECTURES}) >= 40
