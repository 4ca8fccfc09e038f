import itertools
from typing import Any

import pytest
import torch

from admin_core.data.batch import IGNORED
from admin_core.data.batches import MASK, make_batch
from admin_core.data.text import pydoc_text, pydoc_tokens, windows
from admin_core.seeds import stream
from admin_core.spec import DataSpec, SyntheticData, SyntheticName, TextData
from tests.admin_core.specs import small

TEXT = TextData()


def synthetic(name: str) -> SyntheticData:
    return SyntheticData(kind="synthetic", name=SyntheticName(name))


ALL_DATA = [TEXT, *(SyntheticData(kind="synthetic", name=name) for name in SyntheticName)]


@pytest.mark.parametrize("architecture", ["encoder_decoder", "encoder_only", "decoder_only"])
@pytest.mark.parametrize("data", ALL_DATA, ids=str)
class TestEveryBatch:
    def test_has_the_size_that_was_asked_for_in_each_stack(
        self, data: DataSpec, architecture: str
    ) -> None:
        spec = small(architecture)
        batch = make_batch(data, spec, batch_size=3, sequence_length=10, seed=0)
        assert (
            set(batch.inputs)
            == {
                "encoder_decoder": {"source", "target"},
                "encoder_only": {"source"},
                "decoder_only": {"target"},
            }[architecture]
        )
        for tokens in (*batch.inputs.values(), batch.targets):
            assert tokens.shape == (3, 10)

    def test_stays_within_the_vocabulary_and_has_a_loss(
        self, data: DataSpec, architecture: str
    ) -> None:
        batch = make_batch(data, small(architecture), batch_size=3, sequence_length=2, seed=0)
        for tokens in batch.inputs.values():
            assert tokens.min() >= 0
            assert tokens.max() < 256
        judged = batch.targets[batch.targets != IGNORED]
        assert len(judged) > 0
        assert judged.min() >= 0
        assert judged.max() < 256

    def test_comes_from_its_seed_and_step_alone(self, data: DataSpec, architecture: str) -> None:
        def draw(seed: int, step: int) -> torch.Tensor:
            spec = small(architecture)
            batch = make_batch(data, spec, batch_size=3, sequence_length=10, seed=seed, step=step)
            return torch.stack(list(batch.inputs.values()))

        torch.testing.assert_close(draw(0, 0), draw(0, 0))
        assert not torch.equal(draw(0, 0), draw(0, 1))
        assert not torch.equal(draw(0, 0), draw(1, 0))


class TestText:
    def test_is_english_of_a_useful_length_without_the_mask(self) -> None:
        assert len(pydoc_text()) > 300_000
        assert b" the " in pydoc_text()
        assert MASK not in pydoc_tokens()

    def test_a_language_model_predicts_the_next_byte(self) -> None:
        batch = make_batch(TEXT, small("decoder_only"), batch_size=2, sequence_length=9, seed=0)
        torch.testing.assert_close(batch.inputs["target"][:, 1:], batch.targets[:, :-1])

    def test_a_decoder_goes_on_where_its_encoder_stopped(self) -> None:
        batch = make_batch(TEXT, small(), batch_size=1, sequence_length=20, seed=0)
        line = torch.cat([batch.inputs["source"][0], batch.inputs["target"][0]])
        assert bytes(line.tolist()) in pydoc_text()

    def test_an_encoder_says_what_was_masked_and_only_that(self) -> None:
        batch = make_batch(TEXT, small("encoder_only"), batch_size=8, sequence_length=64, seed=0)
        masked = batch.inputs["source"] == MASK
        torch.testing.assert_close(batch.targets != IGNORED, masked)
        assert 0.1 < masked.float().mean() < 0.25

    def test_sequences_of_varied_lengths_are_padded_and_not_judged_behind_their_end(self) -> None:
        varied = TextData(lengths="varied")
        batch = make_batch(varied, small(), batch_size=40, sequence_length=10, seed=0)
        for name in ("source", "target"):
            padding = batch.inputs[f"{name}_padding"]
            lengths = (~padding).sum(1)
            assert set(lengths.tolist()) == set(range(5, 11))
            assert (batch.inputs[name][padding] == MASK).all()
        torch.testing.assert_close(batch.targets == IGNORED, batch.inputs["target_padding"])

    def test_windows_longer_than_the_text_repeat_it(self) -> None:
        drawn = windows(torch.tensor([1, 2, 3]), count=2, length=8, generator=stream(0, "test"))
        for window in drawn.tolist():
            assert all(b == a % 3 + 1 for a, b in itertools.pairwise(window))


class TestSynthetic:
    def test_uniform_tokens_are_equally_frequent(self) -> None:
        batch = make_batch(
            synthetic("uniform"),
            small("decoder_only", vocab_size=5),
            batch_size=100,
            sequence_length=100,
            seed=0,
        )
        counts = torch.bincount(batch.inputs["target"].flatten(), minlength=5) / 10_000
        torch.testing.assert_close(
            counts, torch.tensor([0, 0.25, 0.25, 0.25, 0.25]), atol=0.02, rtol=0
        )

    def test_zipf_tokens_fall_off_as_one_over_rank(self) -> None:
        batch = make_batch(
            synthetic("zipf"),
            small("decoder_only", vocab_size=100),
            batch_size=200,
            sequence_length=200,
            seed=0,
        )
        counts = torch.bincount(batch.inputs["target"].flatten(), minlength=100).float()
        assert counts[0] == 0
        for rank in (2, 4, 8):
            assert (counts[1] / counts[rank]).item() == pytest.approx(rank, rel=0.15)

    @pytest.mark.parametrize("name", ["copy", "reverse", "sort"])
    def test_a_task_is_answered_the_same_way_by_every_architecture(self, name: str) -> None:
        def rearranged(tokens: list[int]) -> list[int]:
            return {"copy": tokens, "reverse": tokens[::-1], "sort": sorted(tokens)}[name]

        sizes: dict[str, Any] = {"batch_size": 1, "sequence_length": 9, "seed": 0}
        encoder = make_batch(synthetic(name), small("encoder_only"), **sizes)
        assert encoder.targets[0].tolist() == rearranged(encoder.inputs["source"][0].tolist())

        both = make_batch(synthetic(name), small(), **sizes)
        answer = rearranged(both.inputs["source"][0].tolist())
        assert both.targets[0].tolist() == answer
        assert both.inputs["target"][0].tolist() == [MASK, *answer[:-1]]

        decoder = make_batch(synthetic(name), small("decoder_only"), **sizes)
        question = decoder.inputs["target"][0].tolist()[:5]
        judged = decoder.targets[0][decoder.targets[0] != IGNORED].tolist()
        assert judged == rearranged(question)[: len(judged)]
        assert len(judged) == 4
