"""The hub's data sets, from a folder laid out as the hub is; the library writes and reads them."""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from admin_core.data import hub
from admin_core.data.dataset import open_dataset
from admin_core.data.dataset_facts import CONTENT
from admin_core.data.hub import check_available, fetch, files_of_split
from admin_core.errors import AdminCoreError, AnalysisCancelledError, HubError, InvalidSpecError
from admin_core.progress import OnProgress, Progress, ignore_progress
from admin_core.spec import HubData
from tests.admin_core.data.datasets import PROSE

LINES = PROSE.splitlines()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the data set ``harbour/log``."""
    return tmp_path / "root"


def save(root: Path, rows: dict[str, list[Any]], path: str = "data/train.parquet") -> None:
    file = root / "harbour/log" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(rows).to_parquet(file)


def spec(**fields: Any) -> HubData:
    return HubData.model_validate({"kind": "hub", "name": "harbour/log"} | fields)


def fetched(
    root: Path,
    data: HubData,
    max_bytes: int = 10**6,
    on_progress: OnProgress = ignore_progress,
) -> Path:
    folders = root.parent / "datasets"
    folders.mkdir(exist_ok=True)
    return fetch(
        data,
        folders,
        root=root,
        allow_hub=False,
        max_bytes=max_bytes,
        on_progress=on_progress,
    )


def rows_of(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / CONTENT).read_text().splitlines()]


class TestFetch:
    def test_takes_the_lines_of_a_column_of_text(self, root: Path) -> None:
        save(root, {"text": ["one\ntwo\r\n\n", "", None, "th\x00ree"], "id": [1, 2, 3, 4]})
        folder = fetched(root, spec())
        assert [row["text"] for row in rows_of(folder)] == ["one", "two", "three"]

    def test_takes_a_source_and_a_target_row_by_row(self, root: Path) -> None:
        rows = [{"en": f"ship {i}", "fr": f"navire {i}"} for i in range(4)]
        save(root, {"translation": [*rows, {"en": "lone", "fr": ""}]})
        folder = fetched(root, spec(columns=["translation.en", "translation.fr"]))
        assert rows_of(folder) == [{"source": r["en"], "target": r["fr"]} for r in rows]

    @pytest.mark.parametrize("tokenizer", [{}, {"name": "bpe", "vocab_size": 300}])
    def test_gives_a_data_set_that_can_be_opened(self, root: Path, tokenizer: Any) -> None:
        save(root, {"text": LINES})
        dataset = open_dataset(fetched(root, spec(tokenizer=tokenizer)))
        assert dataset.facts.lines == len(LINES)
        assert dataset.facts.vocab_size == tokenizer.get("vocab_size", 256)

    def test_reads_all_files_of_a_split_and_no_other(self, root: Path) -> None:
        save(root, {"text": ["a", "b"]}, "data/train-00000-of-00002.parquet")
        save(root, {"text": ["c", "d"]}, "data/train-00001-of-00002.parquet")
        save(root, {"text": ["e", "f"]}, "data/test-00000-of-00001.parquet")
        assert [row["text"] for row in rows_of(fetched(root, spec()))] == ["a", "b", "c", "d"]
        assert [r["text"] for r in rows_of(fetched(root, spec(split="test")))] == ["e", "f"]

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("train.jsonl", "".join(json.dumps({"text": line}) + "\n" for line in LINES)),
            ("train.csv", "text\n" + PROSE),
            ("train.txt", PROSE),
        ],
    )
    def test_reads_other_plain_files(self, root: Path, name: str, content: str) -> None:
        (root / "harbour/log").mkdir(parents=True)
        (root / "harbour/log" / name).write_text(content)
        assert [row["text"] for row in rows_of(fetched(root, spec()))] == LINES

    def test_opens_no_file_that_a_row_names(self, root: Path) -> None:
        file = root / "harbour/log/train.parquet"
        file.parent.mkdir(parents=True)
        features = datasets.Features(text=datasets.Value("string"), picture=datasets.Image())
        pictures = [{"bytes": None, "path": "/nowhere/picture.png"}] * len(LINES)
        rows = pyarrow.table({"text": LINES, "picture": pictures}, schema=features.arrow_schema)
        pyarrow.parquet.write_table(rows, file)
        assert len(rows_of(fetched(root, spec()))) == len(LINES)
        with pytest.raises(InvalidSpecError, match="holds no text"):
            fetched(root, spec(columns=["picture"]))

    def test_of_a_folder_asks_nobody(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[None] = []
        monkeypatch.setattr("datasets.load.get_session", lambda: asked.append(None))
        save(root, {"text": LINES})
        fetched(root, spec())
        assert asked == []

    def test_stops_at_the_limit(self, root: Path) -> None:
        save(root, {"text": LINES})
        folder = fetched(root, spec(), max_bytes=500)
        assert (folder / CONTENT).stat().st_size <= 500
        assert [row["text"] for row in rows_of(folder)] == LINES[: len(rows_of(folder))]

    def test_is_done_once(self, root: Path) -> None:
        save(root, {"text": LINES})
        folder = fetched(root, spec())
        (root / "harbour/log/data/train.parquet").unlink()
        assert fetched(root, spec(lengths="varied")) == folder

    def test_leaves_nothing_behind_when_it_is_cancelled(self, root: Path) -> None:
        def cancel(_: Progress) -> None:
            raise AnalysisCancelledError

        save(root, {"text": LINES})
        with pytest.raises(AnalysisCancelledError):
            fetched(root, spec(), on_progress=cancel)
        assert not list((root.parent / "datasets").iterdir())

    @pytest.mark.parametrize(
        ("rows", "fields", "field", "said"),
        [
            ({"words": ["a", "b"]}, {}, "data.columns", "no column text; it has words"),
            ({"text": [1, 2]}, {}, "data.columns", "holds no text"),
            ({"text": ["", ""]}, {}, "data.columns", "too little text"),
            ({"text": ["a", "b"]}, {"split": "test"}, "data.split", "no file of rows"),
            ({"text": ["a", "b"]}, {"config": "x"}, "data.split", "in the config x"),
        ],
    )
    def test_names_the_field_that_does_not_fit(
        self, root: Path, rows: Any, fields: Any, field: str, said: str
    ) -> None:
        save(root, rows)
        with pytest.raises(InvalidSpecError, match=said) as caught:
            fetched(root, spec(**fields))
        assert caught.value.field == field
        assert not list((root.parent / "datasets").iterdir())

    def test_of_a_broken_file_fails_with_the_data_sets_name(self, root: Path) -> None:
        (root / "harbour/log").mkdir(parents=True)
        (root / "harbour/log/train.parquet").write_bytes(b"PAR1 and nothing more")
        with pytest.raises(HubError, match="harbour/log could not be read"):
            fetched(root, spec())

    def test_without_a_network_says_that_the_hub_does_not_answer(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(HubError, match="the hub does not answer"):
            fetch(spec(), root.parent, root=None, allow_hub=True, max_bytes=9)


class TestWhatMayBeFetched:
    def test_is_nothing_of_the_hub_unless_it_is_allowed(self, root: Path) -> None:
        with pytest.raises(InvalidSpecError, match="TRIMTAB_ALLOW_HUB") as caught:
            check_available(spec(), root=root, allow_hub=False)
        assert caught.value.field == "data.kind"
        check_available(spec(), root=root, allow_hub=True)

    def test_is_what_lies_in_the_folder(self, root: Path) -> None:
        save(root, {"text": LINES})
        check_available(spec(), root=root, allow_hub=False)

    def test_is_not_what_a_link_in_the_folder_leads_to(self, root: Path) -> None:
        outside = root.parent / "outside"
        outside.mkdir()
        (outside / "train.txt").write_text(PROSE)
        (root / "harbour").mkdir(parents=True)
        (root / "harbour/log").symlink_to(outside)
        with pytest.raises(InvalidSpecError, match="TRIMTAB_ALLOW_HUB"):
            fetched(root, spec())

    def test_needs_the_library(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub, "find_spec", lambda _: None)
        with pytest.raises(InvalidSpecError, match="pip install '\\.\\[datasets\\]'"):
            check_available(spec(), root=root, allow_hub=True)


class TestFilesOfASplit:
    def test_are_those_whose_path_says_so(self) -> None:
        paths = ["README.md", "train.py", "a/train-0.parquet", "a/training.parquet", "b/test.csv"]
        assert files_of_split(paths, spec()) == ["a/train-0.parquet"]

    def test_are_of_one_kind_and_one_config(self) -> None:
        paths = ["x/train.csv", "x/train.parquet", "y/train.parquet"]
        assert files_of_split(paths, spec(config="y")) == ["y/train.parquet"]
        with pytest.raises(InvalidSpecError, match="has several: x, y; name one"):
            files_of_split(paths, spec())

    @pytest.mark.parametrize(
        "path",
        [
            "../train.parquet",
            "/etc/train.parquet",
            "zip://train.parquet::http/x.zip",
            "http://train.parquet",
            "train*.parquet",
            "a/../../train.parquet",
        ],
    )
    def test_are_never_those_with_a_path_that_leads_elsewhere(self, path: str) -> None:
        with pytest.raises(AdminCoreError, match="no file of rows"):
            files_of_split([path], spec())
