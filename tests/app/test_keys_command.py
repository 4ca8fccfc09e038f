"""`trimtab keys`, by which an operator makes and revokes keys."""

import subprocess
from pathlib import Path

import pytest

from tests.service import TRIMTAB, environment
from worker import keys
from worker.keys import Scope
from worker.settings import Settings
from worker.store import Store


def trimtab(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TRIMTAB, "keys", *words], env=environment(home), capture_output=True, text=True
    )


def test_a_key_is_shown_once_and_listed_without_its_secret(home: Path) -> None:
    made = trimtab(home, "create", "nightly build", "--scope", "read", "--expires-in-days", "1")
    assert made.returncode == 0
    key = made.stdout.strip()
    store = Store(Settings(home=home).database_url)
    found = keys.find(store, key)
    assert found is not None
    assert (found.name, found.scopes) == ("nightly build", frozenset({Scope.READ}))
    assert found.expires_at is not None

    listed = trimtab(home, "list").stdout
    assert "nightly build" in listed
    assert key.split("_", 2)[2] not in listed

    assert trimtab(home, "revoke", found.id).returncode == 0
    assert keys.find(store, key) is None
    store.close()


@pytest.mark.parametrize(
    "words",
    [
        ("create", ""),
        ("create", "two\nlines"),
        ("create", "x", "--scope", "root"),
        ("create", "x", "--expires-in-days", "0"),
        ("revoke", "unknown"),
    ],
)
def test_wrong_use_makes_no_key(home: Path, words: tuple[str, ...]) -> None:
    used = trimtab(home, *words)
    assert used.returncode == 2
    assert used.stdout == ""
    assert "Traceback" not in used.stderr
