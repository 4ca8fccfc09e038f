"""Batches of a data set: what each architecture reads and writes of it."""

from pathlib import Path

import pytest
import torch

from admin_core.data.batch import IGNORED, Batch
from admin_core.data.batches import MASK, make_batch
from admin_core.data.dataset import open_dataset
from admin_core.data.records import RecordFormat
from admin_core.data.span_lengths import SENTINELS
from admin_core.data.text import Split
from admin_core.errors import InvalidSpecError
from admin_core.spec import Architecture, UploadData
from tests.admin_core.data.datasets import PAIRS, PROSE, write
from tests.admin_core.specs import small

UPLOAD = UploadData(kind="upload", id="ds-" + "0" * 32)
TSV = RecordFormat.TSV


def draw(
    folder: Path,
    architecture: Architecture | str,
    *,
    data: UploadData = UPLOAD,
    count: int = 3,
    length: int = 10,
    step: int = 0,
    split: Split = Split.WHOLE,
) -> Batch:
    return make_batch(
        data,
        small(architecture),
        batch_size=count,
        sequence_length=length,
        seed=0,
        step=step,
        split=split,
        dataset=open_dataset(folder),
    )


class TestText:
    def test_of_a_language_model_is_followed_by_itself(self, tmp_path: Path) -> None:
        batch = draw(write(tmp_path), "decoder_only")
        assert torch.equal(batch.inputs["target"][:, 1:], batch.targets[:, :-1])

    def test_is_masked_for_an_encoder(self, tmp_path: Path) -> None:
        batch = draw(write(tmp_path), "encoder_only", length=40)
        masked = batch.inputs["source"] == MASK
        assert torch.equal(masked, batch.targets != IGNORED)
        assert masked.any()

    def test_of_a_decoder_goes_on_where_its_encoder_stopped(self, tmp_path: Path) -> None:
        folder = write(tmp_path)
        text = bytes(open_dataset(folder).columns[0].tokens.tolist())
        batch = draw(folder, "encoder_decoder")
        for source, target in zip(*batch.inputs.values(), strict=True):
            assert bytes([*source.tolist(), *target.tolist()]) in text
        assert torch.equal(batch.inputs["target"][:, 1:], batch.targets[:, :-1])

    def test_has_its_spans_cut_out_for_denoising(self, tmp_path: Path) -> None:
        data = UPLOAD.model_copy(update={"objective": "denoising"})
        batch = draw(write(tmp_path), "encoder_decoder", data=data, length=40)
        assert batch.inputs["source"].shape == (3, 40)
        assert torch.isin(batch.targets[:, 0], torch.tensor(SENTINELS)).all()

    def test_may_be_of_varied_lengths(self, tmp_path: Path) -> None:
        data = UPLOAD.model_copy(update={"lengths": "varied"})
        batch = draw(write(tmp_path), "decoder_only", data=data, count=20)
        lengths = (~batch.inputs["target_padding"]).sum(1)
        assert lengths.min() < 10
        assert lengths.max() <= 10

    def test_that_is_held_out_is_in_no_training_batch(self, tmp_path: Path) -> None:
        folder = write(tmp_path)
        held_out = "\n".join(PROSE.splitlines()[1::10])
        for step in range(20):
            batch = draw(folder, "decoder_only", length=30, step=step, split=Split.HELD_OUT)
            assert all(bytes(line).decode() in held_out for line in batch.inputs["target"].tolist())
            batch = draw(folder, "decoder_only", length=30, step=step, split=Split.TRAINING)
            assert not any(
                bytes(line).decode() in held_out for line in batch.inputs["target"].tolist()
            )

    def test_follows_from_seed_and_step(self, tmp_path: Path) -> None:
        folder = write(tmp_path)
        first, again, other = (draw(folder, "decoder_only", step=step) for step in (1, 1, 2))
        assert torch.equal(first.targets, again.targets)
        assert not torch.equal(first.targets, other.targets)


class TestParallelText:
    def test_is_a_source_to_read_and_a_target_to_write_with_its_end(self, tmp_path: Path) -> None:
        batch = draw(write(tmp_path, PAIRS, TSV), "encoder_decoder", count=50, length=20)
        pairs = [line.split("\t") for line in PAIRS.splitlines()]
        for row in range(50):
            source = batch.inputs["source"][row][~batch.inputs["source_padding"][row]]
            answer = batch.targets[row][batch.targets[row] != IGNORED].tolist()
            assert answer[-1] == MASK
            assert [bytes(source.tolist()).decode(), bytes(answer[:-1]).decode()] in pairs

    def test_is_written_from_its_own_words(self, tmp_path: Path) -> None:
        batch = draw(write(tmp_path, PAIRS, TSV), "encoder_decoder", count=50, length=20)
        target, padding = batch.inputs["target"], batch.inputs["target_padding"]
        assert (target[:, 0] == MASK).all()
        judged = ~padding[:, 1:]
        assert torch.equal(target[:, 1:][judged], batch.targets[:, :-1][judged])
        assert torch.equal(padding, batch.targets == IGNORED)

    def test_is_padded_to_the_longest_line_of_the_batch(self, tmp_path: Path) -> None:
        batch = draw(write(tmp_path, PAIRS, TSV), "encoder_decoder", count=50, length=100)
        for name in ("source", "target"):
            assert not batch.inputs[f"{name}_padding"].all(0).any()

    def test_is_cut_at_the_sequences_length(self, tmp_path: Path) -> None:
        batch = draw(write(tmp_path, PAIRS, TSV), "encoder_decoder", length=4)
        assert batch.inputs["source"].shape == batch.targets.shape == (3, 4)
        assert not batch.inputs["source_padding"].any()


def test_an_upload_without_its_data_set_is_refused() -> None:
    with pytest.raises(InvalidSpecError, match="stands for a data set"):
        make_batch(UPLOAD, small(), batch_size=1, sequence_length=4, seed=0)
