"""A real PostgreSQL server of the tests' own, on loopback."""

import getpass
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

import psycopg

from tests.broker import free_port

USER = "trimtab"


class PostgreSQL:
    """A server whose data goes with its folder. A commit outlives the server's sudden end, though
    not the machine's: it is written, but nobody waits for the disk."""

    def __init__(self, folder: Path) -> None:
        programs = _programs()
        if programs is None:
            raise AssertionError("There is no PostgreSQL here; apt-get install postgresql.")
        self._programs = programs
        self._folder = folder
        self._account = _account()
        folder.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            os.chown(folder, pwd.getpwnam(self._account).pw_uid, -1)
        self._data = folder / "data"
        self._run("initdb", "--username", USER, "--auth", "trust", "--no-sync")
        self.port = free_port()
        self._count = 0
        self.process = self._started()
        self._execute("CREATE DATABASE empty")

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._count += 1
        name = f"test{self._count}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE empty")
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def restart(self, *, down_seconds: float = 0.0) -> None:
        """End every connection at once, as a restart in the middle of work does, and come back."""
        self.stop()
        time.sleep(down_seconds)
        self.process = self._started()

    def stop(self) -> None:
        # SIGQUIT: no goodbye to clients, and recovery at the next start.
        self.process.send_signal(3)
        self.process.wait(20)

    def _started(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._data, "-p", str(self.port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                    *("-c", "max_connections=200", "-c", "fsync=off"),
                    *("-c", "shared_buffers=32MB"),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._account,
                start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self._execute("SELECT 1")
            except psycopg.OperationalError:
                assert process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline, "PostgreSQL does not come up"
                time.sleep(0.05)
            else:
                return process

    def _execute(self, statement: str) -> None:
        address = f"host=127.0.0.1 port={self.port} user={USER} dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *options: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", self._data, *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
            user=self._account,
        )


def is_installed() -> bool:
    return _programs() is not None


def _programs() -> Path | None:
    """The folder of the server's programs; Debian keeps them off the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return folders[0].parent if folders else None


def _account() -> str | None:
    """Whom to be: PostgreSQL refuses to run as root."""
    if getpass.getuser() != "root" and os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)
