import pytest

from admin_core.data.dataset_facts import DatasetFacts
from admin_core.data.records import RecordFormat
from admin_core.errors import DatasetFileError
from admin_core.spec import Tokenizer, TokenizerName
from tests.admin_core.data.datasets import BPE, PAIRS, PROSE, facts_of


def test_every_tenth_line_is_held_out() -> None:
    facts = facts_of(PROSE)
    assert (facts.lines, facts.held_out_lines) == (100, 10)
    held_out = PROSE.splitlines()[1::10]
    assert facts.held_out_tokens == sum(len(line) + 1 for line in held_out)
    assert facts.training_tokens + facts.held_out_tokens == len(PROSE)


def test_the_longest_line_is_known_for_each_column_in_bytes() -> None:
    facts = facts_of(PAIRS, RecordFormat.TSV)
    assert facts.parallel
    assert facts.longest == (len("ship 39"), len("navire 117 é".encode()))


def test_bytes_are_exact_and_a_tokenizer_that_is_not_trained_yet_is_not() -> None:
    assert facts_of(PROSE).tokens_are_exact
    assert not facts_of(PROSE, tokenizer=BPE).tokens_are_exact


@pytest.mark.parametrize(
    ("content", "said"), [("", "is empty"), ("\n \n", "is empty"), ("one\n\n", "single line")]
)
def test_a_file_without_a_line_to_hold_out_is_refused(content: str, said: str) -> None:
    with pytest.raises(DatasetFileError, match=said) as caught:
        facts_of(content)
    assert caught.value.line is None


class TestTheId:
    def test_is_the_same_for_the_same_content_read_in_the_same_way(self) -> None:
        assert facts_of(PROSE).dataset_id == facts_of(PROSE.encode()).dataset_id

    @pytest.mark.parametrize(
        "other",
        [
            facts_of(PROSE + "x"),
            facts_of(PROSE, tokenizer=BPE),
            facts_of(PROSE, tokenizer=Tokenizer(name=TokenizerName.BPE, vocab_size=301)),
        ],
    )
    def test_is_another_otherwise(self, other: DatasetFacts) -> None:
        assert facts_of(PROSE).dataset_id != other.dataset_id

    def test_is_another_where_other_members_are_read(self) -> None:
        rows = '{"a": "x", "b": "y"}\n{"a": "z", "b": "w"}\n'
        ids = {facts_of(rows, RecordFormat.JSONL, asked=(c,)).dataset_id for c in ("a", "b")}
        assert len(ids) == 2
