from pathlib import Path

import pytest
from pydantic import ValidationError

from worker import settings
from worker.settings import Settings


@pytest.mark.parametrize(
    ("device", "has_gpu", "kind"),
    [
        ("cpu", True, "cpu"),
        ("cuda:1", False, "cuda"),
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
    ],
)
def test_the_kind_of_device_follows_the_setting_and_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, has_gpu: bool, kind: str
) -> None:
    monkeypatch.setattr(settings, "nvidia_is_here", lambda: has_gpu)
    assert Settings(home=tmp_path, device=device).device_kind == kind


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of secrets as a container has it, with none in it."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setattr(settings, "SECRETS", folder)
    return folder


class TestPasswords:
    @pytest.fixture(autouse=True)
    def urls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of servers that want a password, as a container is told them."""
        monkeypatch.setenv("TRIMTAB_DATABASE_URL", "postgresql+psycopg://tt@database:5432/tt")
        monkeypatch.setenv("TRIMTAB_BROKER_URL", "redis://broker:6379/0")

    def test_come_from_files_of_the_secrets_folder(self, secrets: Path) -> None:
        (secrets / "trimtab_database_password").write_text("of the database\n")
        (secrets / "trimtab_broker_password").write_text("b/r:o@k%er")
        found = Settings()
        assert found.database_url == (
            "postgresql+psycopg://tt:of%20the%20database@database:5432/tt"
        )
        assert found.broker_url == "redis://:b%2Fr%3Ao%40k%25er@broker:6379/0"

    def test_come_from_the_environment_before_any_file(
        self, secrets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (secrets / "trimtab_database_password").write_text("file")
        monkeypatch.setenv("TRIMTAB_DATABASE_PASSWORD", "environment")
        assert ":environment@" in Settings().database_url

    def test_are_not_shown_where_settings_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRIMTAB_DATABASE_PASSWORD", "hunter2")
        assert "hunter2" not in repr(Settings().database_password)

    def test_may_stand_in_the_url_too_as_a_worker_of_serve_gets_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRIMTAB_BROKER_URL", "redis://:a%40b@broker:6379/0")
        monkeypatch.setenv("TRIMTAB_BROKER_PASSWORD", "a@b")
        assert Settings().broker_url == "redis://:a%40b@broker:6379/0"

    def test_that_differ_from_the_one_in_the_url_are_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRIMTAB_BROKER_URL", "redis://:one@broker:6379/0")
        monkeypatch.setenv("TRIMTAB_BROKER_PASSWORD", "another")
        with pytest.raises(ValidationError, match="another password than") as refusal:
            Settings()
        assert "redis://:one" not in str(refusal.value)

    def test_without_a_server_to_give_them_to_are_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TRIMTAB_DATABASE_URL")
        monkeypatch.setenv("TRIMTAB_DATABASE_PASSWORD", "for nobody")
        with pytest.raises(ValidationError, match="TRIMTAB_DATABASE_URL names no server"):
            Settings()

    def test_that_are_empty_are_refused(self, secrets: Path) -> None:
        (secrets / "trimtab_broker_password").write_text("\n")
        with pytest.raises(ValidationError):
            Settings()
