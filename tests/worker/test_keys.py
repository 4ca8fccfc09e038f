import pytest
from sqlalchemy import select, update

from worker import keys
from worker import store as tables
from worker.keys import Scope
from worker.store import Store, db_now

READ = {Scope.READ}


class TestFind:
    def test_knows_a_key_by_its_whole_text(self, store: Store) -> None:
        key_id, text = keys.create(store, "ci", {Scope.SUBMIT, Scope.READ})
        found = keys.find(store, text)
        assert found is not None
        assert (found.id, found.name) == (key_id, "ci")
        assert found.scopes == {Scope.SUBMIT, Scope.READ}

    def test_knows_no_other_text(self, store: Store) -> None:
        key_id, text = keys.create(store, "ci", READ)
        _, another = keys.create(store, "other", READ)
        secret = another.split("_", 2)[2]
        for wrong in (
            *("", "tt", "tt_", "tt__", f"tt_{key_id}", f"tt_{key_id}_", text[:-1], text + "x"),
            *(text.upper(), f"xx{text[2:]}", f"tt_{key_id}_{secret}", "tt_'; DROP TABLE keys_x"),
            *("\0", "tt_\0_x", "tt_é_x", "tt_" + "1" * 10_000),
        ):
            assert keys.find(store, wrong) is None, wrong

    def test_a_revoked_key_opens_nothing_at_once(self, store: Store) -> None:
        key_id, text = keys.create(store, "ci", READ)
        assert keys.revoke(store, key_id)
        assert keys.find(store, text) is None
        assert not keys.revoke(store, "unknown")

    def test_a_key_past_its_day_opens_nothing(self, store: Store) -> None:
        _, text = keys.create(store, "ci", READ, lifetime_seconds=60)
        assert keys.find(store, text) is not None
        _pass(store, seconds=61)
        assert keys.find(store, text) is None


class TestAdopt:
    TEXT = "tt_0123456789ab_" + "0f" * 32

    def test_lets_a_key_that_was_made_elsewhere_open(self, store: Store) -> None:
        assert keys.adopt(store, self.TEXT, "first", READ) == "0123456789ab"
        found = keys.find(store, self.TEXT)
        assert found is not None
        assert (found.name, set(found.scopes)) == ("first", READ)

    def test_of_a_known_key_changes_nothing_and_does_not_undo_its_revocation(
        self, store: Store
    ) -> None:
        keys.adopt(store, self.TEXT, "first", READ)
        keys.adopt(store, self.TEXT, "again", {Scope.ADMIN})
        assert [(key.name, set(key.scopes)) for key in keys.every(store)] == [("first", READ)]
        keys.revoke(store, "0123456789ab")
        keys.adopt(store, self.TEXT, "first", READ)
        assert keys.find(store, self.TEXT) is None

    def test_refuses_another_key_of_the_same_id_and_what_could_be_guessed(
        self, store: Store
    ) -> None:
        keys.adopt(store, self.TEXT, "first", READ)
        for wrong in (
            self.TEXT[:-1] + "0",
            "tt_0123456789ab_short",
            "secret",
            "",
            self.TEXT + "\n",
        ):
            with pytest.raises(keys.KeyFormError) as refusal:
                keys.adopt(store, wrong, "second", READ)
            assert not wrong or wrong not in str(refusal.value)


class TestSessions:
    def test_stand_for_their_key_until_they_end(self, store: Store) -> None:
        _, text = keys.create(store, "ci", READ)
        key = keys.find(store, text)
        assert key is not None
        token = keys.start_session(store, key, lifetime_seconds=60)
        assert keys.of_session(store, token) == key
        assert keys.of_session(store, token + "x") is None
        keys.end_session(store, token)
        assert keys.of_session(store, token) is None

    def test_end_with_their_time_and_with_their_key(self, store: Store) -> None:
        key_id, text = keys.create(store, "ci", READ)
        key = keys.find(store, text)
        assert key is not None
        old = keys.start_session(store, key, lifetime_seconds=-1)
        assert keys.of_session(store, old) is None
        token = keys.start_session(store, key, lifetime_seconds=60)
        keys.revoke(store, key_id)
        assert keys.of_session(store, token) is None


def test_neither_keys_nor_sessions_are_in_the_database(store: Store) -> None:
    _, text = keys.create(store, "ci", READ)
    key = keys.find(store, text)
    assert key is not None
    token = keys.start_session(store, key, lifetime_seconds=60)
    with store.reading() as connection:
        for table in (tables.keys, tables.sessions):
            kept = str(connection.execute(select(table)).all())
            assert key.id in kept
            assert text not in kept
            assert text.split("_", 2)[2] not in kept
            assert token not in kept


def test_a_revoked_key_still_counts_as_one(store: Store) -> None:
    assert not keys.any_exists(store)
    key_id, _ = keys.create(store, "ci", READ)
    keys.revoke(store, key_id)
    assert keys.any_exists(store)
    assert [key.revoked_at is not None for key in keys.every(store)] == [True]


def _pass(store: Store, *, seconds: float) -> None:
    """As if the key had been made this long ago."""
    columns = tables.keys.c
    with store.writing() as connection:
        connection.execute(update(tables.keys).values(expires_at=columns.expires_at - seconds))
        assert connection.execute(select(columns.expires_at < db_now())).scalar_one()
