import pytest
import torch

from admin_core.data.batches import make_batch
from admin_core.data.text import Split, pydoc_text
from admin_core.spec import DataSpec, SyntheticData, SyntheticName, TextData
from tests.admin_core.specs import small


def test_the_parts_of_the_text_share_no_paragraph_and_make_up_the_whole() -> None:
    def lines(split: Split) -> set[bytes]:
        return {line for line in pydoc_text(split).split(b"\n") if len(line) > 60}

    training, held_out = lines(Split.TRAINING), lines(Split.HELD_OUT)
    assert training | held_out == lines(Split.WHOLE)
    assert len(training & held_out) < 0.02 * len(held_out)  # stock phrases


def test_about_a_tenth_is_held_out() -> None:
    share = len(pydoc_text(Split.HELD_OUT)) / len(pydoc_text())
    assert 0.05 < share < 0.2


def test_a_batch_comes_from_its_part() -> None:
    for split in (Split.TRAINING, Split.HELD_OUT):
        batch = make_batch(
            TextData(),
            small("decoder_only"),
            batch_size=8,
            sequence_length=50,
            seed=0,
            split=split,
        )
        for line in batch.targets.tolist():
            assert bytes(line) in pydoc_text(split)


@pytest.mark.parametrize(
    "data", [TextData(), SyntheticData(kind="synthetic", name=SyntheticName.COPY)]
)
def test_a_held_out_batch_is_no_training_batch(data: DataSpec) -> None:
    def draw(split: Split) -> torch.Tensor:
        return make_batch(
            data, small(), batch_size=2, sequence_length=10, seed=0, split=split
        ).targets

    assert not torch.equal(draw(Split.TRAINING), draw(Split.HELD_OUT))
