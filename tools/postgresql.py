"""A private PostgreSQL server for tests, with its own folder, port and password, removed after the ``with`` block."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import]
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tools.local_server import LocalServer

#: Where Debian-based distributions install the server's programs, which are not on PATH.
INSTALLATIONS = Path("/usr/lib/postgresql")
NOT_INSTALLED = "PostgreSQL is not installed (apt-get install postgresql)"

#: The server does not run as root.
SERVER_USER = "postgres"
# The data does not have to survive a crash. Shared memory stays inside the folder, so that it is removed with the
# folder even if the server is killed.
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
    """The server could not be set up or started."""


def find_server_programs() -> Path | None:
    """Return the folder of the newest ``initdb`` and ``postgres``, or None if PostgreSQL is not installed."""
    versions = [folder for folder in INSTALLATIONS.glob("*/bin") if (folder / "initdb").exists()]
    if versions:
        return max(versions, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class PostgresServer(LocalServer):
    """A PostgreSQL server on 127.0.0.1 that runs during the ``with`` block."""

    title = "PostgreSQL"
    stop_signal = signal.SIGINT  # disconnects clients instead of waiting for them
    error = PostgresError

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"airflow_{secrets.token_hex(4)}"
        self.fetch_rows(f"create database {name}", database="postgres")
        return name

    def fetch_rows(self, query: str, parameters: Sequence[object] = (), *, database: str) -> list[tuple[Any, ...]]:
        """Run a statement in its own transaction and return its rows; a command returns none."""
        import psycopg2  # optional: not needed to test on sqlite

        with closing(psycopg2.connect(self._build_dsn(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query, parameters or None)
                return cursor.fetchall() if cursor.description else []

    def build_url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg2://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    # Internals

    def _create(self) -> list[str]:
        programs = find_server_programs()
        if programs is None:
            raise PostgresError(NOT_INSTALLED)
        data, password_file = self._folder / "data", self._folder / "password"
        password_file.write_text(self.password)
        as_user = self._change_owner()
        result = subprocess.run(
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
        if result.returncode:
            raise PostgresError(f"initdb failed:\n{result.stdout}\n{result.stderr}")
        settings = {**SETTINGS, "port": str(self.port)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*as_user, str(programs / "postgres"), "-D", str(data), *options]

    def _change_owner(self) -> list[str]:
        """Make the server's user the owner of the folder, and return the command prefix that switches to this user."""
        if os.geteuid() != 0:
            return []
        user = pwd.getpwnam(SERVER_USER)
        for path in (self._folder, *self._folder.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def _is_ready(self) -> bool:
        import psycopg2

        try:
            self.fetch_rows("select 1", database="postgres")
        except psycopg2.OperationalError:
            return False
        return True

    def _build_dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres password={self.password} dbname={database}"
