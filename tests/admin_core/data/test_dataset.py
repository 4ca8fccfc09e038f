import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from admin_core.data import dataset as module
from admin_core.data.dataset import Dataset, open_dataset
from admin_core.data.records import RecordFormat
from admin_core.data.text import Split
from admin_core.data.tokenizer import BpeTokenizer
from admin_core.errors import AnalysisCancelledError
from admin_core.progress import Progress
from admin_core.spec import Tokenizer
from tests.admin_core.data.datasets import BPE, BYTES, PAIRS, PROSE, write


def whole(dataset: Dataset, split: Split, column: int = 0) -> list[int]:
    """All tokens of a part."""
    found = dataset.columns[column]
    lines, held_out = dataset.facts.lines, dataset.facts.held_out_lines
    begin, end = {
        Split.WHOLE: (0, lines),
        Split.TRAINING: (0, lines - held_out),
        Split.HELD_OUT: (lines - held_out, lines),
    }[split]
    tokens: list[int] = found.tokens[found.ends[begin] : found.ends[end]].tolist()
    return tokens


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestSplits:
    def test_share_no_line_and_leave_none_out(self, tmp_path: Path) -> None:
        dataset = open_dataset(write(tmp_path))
        lines = {
            split: bytes(whole(dataset, split)).decode().splitlines()
            for split in (Split.TRAINING, Split.HELD_OUT)
        }
        assert lines[Split.HELD_OUT] == PROSE.splitlines()[1::10]
        assert not {*lines[Split.TRAINING]} & {*lines[Split.HELD_OUT]}
        assert sorted([*lines[Split.TRAINING], *lines[Split.HELD_OUT]]) == sorted(
            PROSE.splitlines()
        )

    @pytest.mark.parametrize("split", Split)
    def test_are_all_that_windows_come_from(self, tmp_path: Path, split: Split) -> None:
        dataset = open_dataset(write(tmp_path))
        text = bytes(whole(dataset, split))
        windows = dataset.windows(split, count=200, length=20, generator=generator())
        assert windows.shape == (200, 20)
        assert all(bytes(window) in text for window in windows.tolist())

    @pytest.mark.parametrize("split", Split)
    def test_are_all_that_records_come_from(self, tmp_path: Path, split: Split) -> None:
        dataset = open_dataset(write(tmp_path, PAIRS, RecordFormat.TSV))
        pairs = [tuple(line.split("\t")) for line in PAIRS.splitlines()]
        held_out = pairs[1::10]
        expected = {
            Split.WHOLE: pairs,
            Split.TRAINING: [pair for pair in pairs if pair not in held_out],
            Split.HELD_OUT: held_out,
        }[split]
        drawn = dataset.records(split, count=400, generator=generator())
        found = {tuple(bytes(text).decode() for text in record) for record in drawn}
        assert found == set(expected)


class TestWindows:
    def test_may_be_as_long_as_their_part(self, tmp_path: Path) -> None:
        dataset = open_dataset(write(tmp_path))
        length = dataset.facts.held_out_tokens
        window = dataset.windows(Split.HELD_OUT, count=1, length=length, generator=generator())
        assert window[0].tolist() == whole(dataset, Split.HELD_OUT)

    def test_follow_from_the_generator(self, tmp_path: Path) -> None:
        dataset = open_dataset(write(tmp_path))

        def draw(seed: int) -> list[list[int]]:
            some = dataset.windows(Split.WHOLE, count=4, length=8, generator=generator(seed))
            found: list[list[int]] = some.tolist()
            return found

        assert draw(1) == draw(1)
        assert draw(1) != draw(2)


class TestTokens:
    @pytest.mark.parametrize("tokenizer", [BYTES, BPE])
    def test_are_counted_exactly(self, tmp_path: Path, tokenizer: Tokenizer) -> None:
        dataset = open_dataset(write(tmp_path, tokenizer=tokenizer))
        facts = dataset.facts
        assert facts.tokens_are_exact
        assert facts.training_tokens == len(whole(dataset, Split.TRAINING))
        assert facts.held_out_tokens == len(whole(dataset, Split.HELD_OUT))
        column = dataset.columns[0]
        lengths = [len(column.record(number)) for number in range(facts.lines)]
        assert facts.longest == (max(lengths) - 1,)

    def test_of_a_trained_tokenizer_say_the_same_text_in_fewer(self, tmp_path: Path) -> None:
        dataset = open_dataset(write(tmp_path, tokenizer=BPE))
        tokenizer = BpeTokenizer(tmp_path / "tokens/tokenizer.json")
        held_out = whole(dataset, Split.HELD_OUT)
        assert tokenizer.decode(held_out).splitlines() == PROSE.splitlines()[1::10]
        assert len(held_out) < 0.6 * len("".join(PROSE.splitlines(keepends=True)[1::10]))

    def test_are_made_once(self, tmp_path: Path) -> None:
        first = open_dataset(write(tmp_path, tokenizer=BPE))
        before = digests(tmp_path)
        again = open_dataset(tmp_path)
        assert again.facts == first.facts
        assert digests(tmp_path) == before

    def test_of_two_jobs_at_once_are_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path, tokenizer=BPE)
        make: Callable[..., None] = module._write_tokens

        def let_another_be_faster(*arguments: object) -> None:
            make(*arguments)
            monkeypatch.setattr(module, "_write_tokens", make)
            open_dataset(tmp_path)

        monkeypatch.setattr(module, "_write_tokens", let_another_be_faster)
        assert open_dataset(tmp_path).facts.lines == 100
        assert sorted(file.name for file in tmp_path.iterdir()) == [
            "content",
            "facts.json",
            "tokens",
        ]

    def test_leave_nothing_behind_when_the_job_is_cancelled(self, tmp_path: Path) -> None:
        def cancel(_: Progress) -> None:
            raise AnalysisCancelledError

        with pytest.raises(AnalysisCancelledError):
            open_dataset(write(tmp_path), on_progress=cancel)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["content", "facts.json"]


def digests(folder: Path) -> dict[str, tuple[int, str]]:
    """When each file was written, and what it holds."""
    return {
        file.name: (file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in folder.rglob("*")
        if file.is_file()
    }
