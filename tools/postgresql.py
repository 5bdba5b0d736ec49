"""A private PostgreSQL server for tests: its own folder, port and password, gone when the ``with`` block is left."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import tempfile
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.sessions import Leash, Session

#: Where Debian, Ubuntu and their relatives put the server's programs, which are not on PATH.
INSTALLATIONS = Path("/usr/lib/postgresql")
NOT_INSTALLED = "PostgreSQL is not installed (apt-get install postgresql)"

#: The server refuses to run as root.
SERVER_USER = "postgres"
START_SECONDS, STOP_SECONDS = 60.0, 10.0
# The data is thrown away: nothing of it has to survive a crash. Shared memory stays inside the folder, so that
# nothing of it is left when the server is killed.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "dynamic_shared_memory_type": "mmap",
}


class PostgresError(Exception):
    """The server cannot be set up or started."""


def find_programs() -> Path | None:
    """Return the folder with ``initdb`` and ``postgres``, of the newest version; None if there is none."""
    versions = [folder for folder in INSTALLATIONS.glob("*/bin") if (folder / "initdb").exists()]
    if versions:
        return max(versions, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class PostgresServer:
    """Run a PostgreSQL server on 127.0.0.1 for as long as the ``with`` block lasts."""

    def __init__(self) -> None:
        self.port = _free_port()
        self.password = secrets.token_hex(16)
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._leash: Leash | None = None
        self._session: Session | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and remove its data."""
        if self._session is not None:
            if self._session.alive:
                os.kill(self._session.id, signal.SIGINT)  # disconnects its clients instead of waiting for them
                self._session.wait(time.monotonic() + STOP_SECONDS)
            self._session.kill()
            self._session = None
        if self._leash is not None:
            self._leash.close()
            self._leash = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"airflow_{secrets.token_hex(4)}"
        self.rows(f"create database {name}", database="postgres")
        return name

    def rows(self, query: str, *, database: str) -> list[tuple[Any, ...]]:
        """Run a query in a transaction of its own and return its rows, none for a command."""
        import psycopg2  # an Airflow without PostgreSQL goes without it

        with closing(psycopg2.connect(self._dsn(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall() if cursor.description else []

    def url(self, database: str) -> str:
        """Return a database's address as SQLAlchemy writes it."""
        return f"postgresql+psycopg2://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    # Inside

    def _start(self) -> None:
        programs = find_programs()
        if programs is None:
            raise PostgresError(NOT_INSTALLED)
        data, password_file = self._folder / "data", self._folder / "password"
        password_file.write_text(self.password)
        as_user = self._give_away()
        made = subprocess.run(
            [
                *as_user,
                programs / "initdb",
                f"--pgdata={data}",
                "--username=postgres",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise PostgresError(f"initdb failed:\n{made.stdout}\n{made.stderr}")
        settings = {**SETTINGS, "port": str(self.port)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._leash = Leash()
        self._session = session = Session(
            "PostgreSQL",
            [*as_user, str(programs / "postgres"), "-D", str(data), *options],
            os.environ,
            self._folder / "server.log",
            self._leash,
        )
        self._wait_ready(session)

    def _give_away(self) -> list[str]:
        """Give the folder to the user that the server runs as, and return the command that becomes this user."""
        if os.geteuid() != 0:
            return []
        user = pwd.getpwnam(SERVER_USER)
        for path in (self._folder, *self._folder.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def _wait_ready(self, session: Session) -> None:
        import psycopg2

        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.rows("select 1", database="postgres")
            except psycopg2.OperationalError as error:
                if not session.alive or time.monotonic() > deadline:
                    raise PostgresError(f"The server did not start:\n{session.tail()}") from error
                time.sleep(0.1)
            else:
                return

    def _dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres password={self.password} dbname={database}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
