import os
import shutil
from pathlib import Path

import pytest

from admin_core.data.dataset_facts import CONTENT, DatasetFacts
from admin_core.errors import InvalidSpecError
from admin_core.race_spec import RaceSpec
from admin_core.spec import DiagnosisSpec
from tests.admin_core.data.datasets import PROSE, facts_of
from tests.service import SMALL
from worker import datasets, jobs, races
from worker.data import check_data
from worker.datasets import DatasetInUseError, StoredDataset
from worker.settings import Settings
from worker.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def add(store: Store, settings: Settings, content: str = PROSE) -> tuple[StoredDataset, bool]:
    with datasets.incoming(settings) as folder:
        (folder / CONTENT).write_text(content)
        return datasets.add(store, settings, folder, facts_of(content))


def files(settings: Settings) -> set[str]:
    return {str(file.relative_to(settings.datasets)) for file in settings.datasets.rglob("*")}


def diagnosis_of(dataset_id: str) -> DiagnosisSpec:
    return DiagnosisSpec.model_validate(SMALL | {"data": {"kind": "upload", "id": dataset_id}})


def race_of(dataset_id: str, **changes: object) -> RaceSpec:
    data = {"data": {"kind": "upload", "id": dataset_id}}
    return RaceSpec.model_validate(SMALL | data | {"arms": ["post_ln"], "seeds": 1} | changes)


class TestAdd:
    def test_keeps_the_content_and_its_facts(self, store: Store, settings: Settings) -> None:
        made, new = add(store, settings)
        assert new
        assert datasets.get(store, made.id) == made
        assert DatasetFacts.model_validate(made.facts) == facts_of(PROSE)
        assert files(settings) == {made.id, f"{made.id}/content", f"{made.id}/facts.json"}

    def test_makes_one_data_set_of_the_same_upload_twice(
        self, store: Store, settings: Settings
    ) -> None:
        first, _ = add(store, settings)
        before = files(settings)
        assert add(store, settings) == (first, False)
        assert files(settings) == before

    def test_makes_one_of_two_at_once(
        self, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, _ = add(store, settings)
        look = datasets.get
        # As another process sees it that looked before the first was written.
        answers = iter([None])
        monkeypatch.setattr(datasets, "get", lambda *args: next(answers, look(*args)))
        assert add(store, settings) == (first, False)
        assert len(datasets.newest(store, limit=9)) == 1

    def test_leaves_nothing_behind_of_an_upload_that_is_refused(self, settings: Settings) -> None:
        def upload_half() -> None:
            with datasets.incoming(settings) as folder:
                (folder / CONTENT).write_text("half")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            upload_half()
        assert files(settings) == set()


class TestNewest:
    def test_goes_from_page_to_page(self, store: Store, settings: Settings) -> None:
        made = [add(store, settings, PROSE + str(n))[0].id for n in range(5)]
        found: list[str] = []
        while page := datasets.newest(store, limit=2, before=found[-1] if found else None):
            found += [each.id for each in page]
        assert found == made[::-1]


class TestRemove:
    def test_removes_row_and_files(self, store: Store, settings: Settings) -> None:
        made, _ = add(store, settings)
        assert datasets.remove(store, settings, made.id)
        assert datasets.get(store, made.id) is None
        assert files(settings) == set()
        assert not datasets.remove(store, settings, made.id)

    def test_waits_for_the_diagnosis_that_reads_it(self, store: Store, settings: Settings) -> None:
        made, _ = add(store, settings)
        job_id, _ = jobs.submit(store, diagnosis_of(made.id))
        with pytest.raises(DatasetInUseError, match=job_id):
            datasets.remove(store, settings, made.id)
        held = jobs.claim(store, job_id, worker="w", lease_seconds=60)
        assert held is not None
        with pytest.raises(DatasetInUseError):
            datasets.remove(store, settings, made.id)
        jobs.succeed(store, held, {})
        assert datasets.remove(store, settings, made.id)

    def test_waits_for_the_race_that_reads_it(self, store: Store, settings: Settings) -> None:
        made, _ = add(store, settings)
        race = races.submit(store, race_of(made.id))
        held = jobs.claim(store, race.run_ids[0], worker="w", lease_seconds=60)
        assert held is not None
        jobs.succeed(store, held, {})
        with pytest.raises(DatasetInUseError, match=race.race_id):
            datasets.remove(store, settings, made.id)
        jobs.cancel(store, race.race_id)
        assert datasets.remove(store, settings, made.id)

    def test_does_not_wait_for_jobs_that_read_another(
        self, store: Store, settings: Settings
    ) -> None:
        made, _ = add(store, settings)
        other, _ = add(store, settings, PROSE + "x")
        jobs.submit(store, diagnosis_of(other.id))
        assert datasets.remove(store, settings, made.id)


def test_no_job_is_made_for_a_data_set_that_is_not_there(store: Store) -> None:
    missing = "ds-" + "0" * 32
    for submit in (
        lambda: jobs.submit(store, diagnosis_of(missing)),
        lambda: races.submit(store, race_of(missing)),
    ):
        with pytest.raises(InvalidSpecError, match="there is no data set of this id") as caught:
            submit()
        assert caught.value.field == "data.id"
    assert jobs.newest(store, limit=1) == []


class TestWhatACrashLeft:
    def test_is_removed_and_nothing_else(self, store: Store, settings: Settings) -> None:
        made, _ = add(store, settings)
        unknown = "ds-" + "0" * 32
        for name in ("incoming-x", unknown, "fetching-old", "fetching-new", "hub-x"):
            (settings.datasets / name).mkdir()
        for name in ("tokens", "tokens-old", "tokens-new"):
            (settings.datasets / made.id / name).mkdir()
        for name in ("fetching-old", f"{made.id}/tokens-old"):
            os.utime(settings.datasets / name, (0, 0))
        datasets.remove_left_over(store, settings)
        left = {folder.name for folder in settings.datasets.iterdir()}
        assert left == {made.id, "fetching-new", "hub-x"}
        left = {file.name for file in (settings.datasets / made.id).iterdir()}
        assert left == {"content", "facts.json", "tokens", "tokens-new"}

    def test_does_not_hinder_the_same_upload(self, store: Store, settings: Settings) -> None:
        made, _ = add(store, settings)
        content = settings.datasets / made.id
        shutil.copytree(content, settings.home / "kept")
        datasets.remove(store, settings, made.id)
        shutil.copytree(settings.home / "kept", content)
        assert add(store, settings) == (datasets.get(store, made.id), True)

    def test_may_be_nothing_at_all(self, store: Store, settings: Settings) -> None:
        datasets.remove_left_over(store, settings)


class TestCheckData:
    def test_names_the_arm_whose_patch_does_not_fit(self, store: Store, settings: Settings) -> None:
        made, _ = add(store, settings)
        patch = {"training": {"sequence_length": 5_000}}
        arms = ["post_ln", {"name": "long", "patch": patch}]
        with pytest.raises(InvalidSpecError) as caught:
            check_data(race_of(made.id, arms=arms), store, settings)
        assert caught.value.field == "arms.1.patch.training.sequence_length"

    def test_names_the_races_own_field_where_no_patch_is_at_fault(
        self, store: Store, settings: Settings
    ) -> None:
        made, _ = add(store, settings)
        training = {"batch_size": 2, "sequence_length": 5_000}
        with pytest.raises(InvalidSpecError) as caught:
            check_data(race_of(made.id, training=training), store, settings)
        assert caught.value.field == "training.sequence_length"

    def test_knows_the_kind_of_the_hubs_data_before_it_is_fetched(
        self, store: Store, settings: Settings
    ) -> None:
        allowed = settings.model_copy(update={"allow_hub": True})
        hub = {"kind": "hub", "name": "harbour/log"}
        for data, field in (
            (hub | {"columns": ["en", "fr"]}, "model.architecture"),
            (hub | {"tokenizer": {"name": "bpe"}}, "model.vocab_size"),
        ):
            spec = DiagnosisSpec.model_validate(SMALL | {"data": data})
            with pytest.raises(InvalidSpecError) as caught:
                check_data(spec, store, allowed)
            assert caught.value.field == field

    def test_asks_the_hub_for_nothing_unless_that_is_allowed(
        self, store: Store, settings: Settings
    ) -> None:
        data = {"kind": "hub", "name": "harbour/log"}
        spec = DiagnosisSpec.model_validate(SMALL | {"data": data})
        with pytest.raises(InvalidSpecError, match="TRIMTAB_ALLOW_HUB"):
            check_data(spec, store, settings)
        check_data(spec, store, settings.model_copy(update={"allow_hub": True}))
