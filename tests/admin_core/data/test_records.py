import io
import json

import pytest

from admin_core.data import records
from admin_core.data.records import Record, RecordFormat, columns_of, read_records
from admin_core.errors import DatasetFileError

TEXT, TSV, JSONL = RecordFormat.TEXT, RecordFormat.TSV, RecordFormat.JSONL


def read(content: bytes | str, form: RecordFormat, asked: tuple[str, ...] = ()) -> list[Record]:
    file = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return list(read_records(file, form, columns_of(file, form, asked)))


class TestLinesOfText:
    def test_are_records_without_their_ends(self) -> None:
        assert read("one\r\n\ttwo \nthree", TEXT) == [("one",), ("\ttwo ",), ("three",)]

    def test_are_left_out_where_they_are_blank(self) -> None:
        assert read("\n one\n \t\n\n", TEXT) == [(" one",)]

    def test_may_begin_with_a_byte_order_mark(self) -> None:
        assert read(b"\xef\xbb\xbfone\n", TEXT) == [("one",)]


class TestTwoColumns:
    def test_are_a_source_and_a_target(self) -> None:
        assert read("a ship\tun navire\n", TSV) == [("a ship", "un navire")]

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("alone", "has 1 column; 2 are expected"),
            ("a\tb\tc", "has 3 columns; 2 are expected"),
            ("", "has 1 column"),
            ("a\t ", "has an empty target"),
            ("\tb", "has an empty source"),
        ],
    )
    def test_are_refused_where_they_are_ragged_with_the_line(self, line: str, said: str) -> None:
        refused(f"a\tb\n{line}\n", TSV, line=2, said=said)


class TestJsonLines:
    def test_have_a_text_unless_told_otherwise(self) -> None:
        assert read('{"text": "a\\nb", "x": 1}\n', JSONL) == [("a\nb",)]

    def test_have_a_source_and_a_target_where_there_is_no_text(self) -> None:
        assert read('{"target": "b", "source": "a"}\n', JSONL) == [("a", "b")]

    def test_have_the_members_that_are_asked_for(self) -> None:
        row = json.dumps({"text": "x", "translation": {"en": "a", "fr": "b"}, "a.b": "c"})
        assert read(row, JSONL, ("translation.fr", "a.b")) == [("b", "c")]

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ('{"text": ', "is not JSON: EOF while parsing a value at character"),
            ("[1]", "is no JSON object"),
            ("", "is not JSON"),
            ('{"words": "a"}', "has no member text"),
            ('{"text": 1}', "has a member text that is no string"),
            ('{"text": " "}', "has an empty text"),
            ('{"text": "\\ud800"}', "is not JSON"),
            ('{"text": "a\\u0000b"}', "holds the control character U+0000"),
            ("[" * 10_000, "is not JSON"),
        ],
    )
    def test_are_refused_with_the_line(self, line: str, said: str) -> None:
        refused(f'{{"text": "a"}}\n{line}\n', JSONL, line=2, said=said)

    def test_without_a_known_member_say_how_to_name_one(self) -> None:
        refused('{"words": "a"}\n', JSONL, line=1, said="?column=")


class TestAnyFile:
    def test_that_is_not_utf_8_is_refused_with_line_and_byte(self) -> None:
        refused(b"fine\nca\xe9\n", TEXT, line=2, said="is not UTF-8: byte 3 of it is 0xe9")

    def test_with_a_control_character_is_refused(self) -> None:
        refused("a\nb\x1bc\n", TEXT, line=2, said="holds the control character U+001B")

    def test_with_a_line_too_long_is_refused(self) -> None:
        longest = "x" * records.MAX_LINE_BYTES
        assert read(f"{longest}\r\n", TEXT) == [(longest,)]
        refused(f"a\n{longest}x\n", TEXT, line=2, said="is longer than 1,048,576 bytes")

    def test_with_too_many_lines_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(records, "MAX_LINES", 2)
        refused("a\nb\nc\n", TEXT, line=3, said="2 lines at most")


def refused(content: bytes | str, form: RecordFormat, *, line: int, said: str) -> None:
    with pytest.raises(DatasetFileError, match=f"^line {line}: ") as caught:
        read(content, form)
    assert caught.value.line == line
    assert said in caught.value.reason
