from pathlib import Path

from admin_core.data.text import pydoc_text
from admin_core.data.tokenizer import BpeTokenizer, BytesTokenizer, train_bpe

TEXTS = pydoc_text().decode().splitlines()[:2_000]
STRANGE = "tabs\tand\nlines, é 日本 𝒳 \x7f\u2028 end  "


def test_bytes_are_the_bytes_of_utf_8() -> None:
    assert bytes(BytesTokenizer().encode([STRANGE])[0].tolist()) == STRANGE.encode()


class TestBpe:
    def test_gives_every_text_back(self, tmp_path: Path) -> None:
        trained = train_bpe(TEXTS, vocab_size=400, path=tmp_path / "t.json")
        for text in (STRANGE, *TEXTS[:50]):
            (tokens,) = trained.encode([text])
            assert trained.decode(tokens.tolist()) == text

    def test_has_the_bytes_for_its_first_tokens(self, tmp_path: Path) -> None:
        # Nothing to merge, so that bytes are all there is.
        trained = train_bpe(["a", "b"], vocab_size=400, path=tmp_path / "t.json")
        assert bytes(trained.encode([STRANGE])[0].tolist()) == STRANGE.encode()

    def test_makes_fewer_tokens_than_bytes_all_within_its_vocabulary(self, tmp_path: Path) -> None:
        trained = train_bpe(TEXTS, vocab_size=400, path=tmp_path / "t.json")
        encoded = trained.encode(TEXTS)
        assert sum(map(len, encoded)) < 0.7 * sum(len(text.encode()) for text in TEXTS)
        assert max(int(tokens.max()) for tokens in encoded if len(tokens)) == 399

    def test_is_the_same_every_time_and_after_it_was_saved(self, tmp_path: Path) -> None:
        first = train_bpe(TEXTS, vocab_size=400, path=tmp_path / "1.json")
        train_bpe(TEXTS, vocab_size=400, path=tmp_path / "2.json")
        assert (tmp_path / "1.json").read_text() == (tmp_path / "2.json").read_text()
        again = BpeTokenizer(tmp_path / "1.json")
        assert again.encode([STRANGE])[0].tolist() == first.encode([STRANGE])[0].tolist()

    def test_is_learned_from_a_bounded_beginning(self, tmp_path: Path) -> None:
        read: list[str] = []

        def texts() -> object:
            for text in ("x" * 3_000_000, "y" * 3_000_000, "z"):
                read.append(text[0])
                yield text

        train_bpe(texts(), vocab_size=260, path=tmp_path / "t.json")  # type: ignore[arg-type]
        assert read == ["x", "y"]
