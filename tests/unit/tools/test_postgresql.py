"""The PostgreSQL server for tests is private, and removed afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import time
from pathlib import Path

import psycopg2
import pytest

from tools import postgresql as tool
from tools.postgresql import PostgresServer

ROOT = Path(__file__).parents[3]
OWNER = """
import time
from tools.postgresql import PostgresServer
with PostgresServer() as server:
    print(server.port, flush=True)
    time.sleep(600)
"""


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_each_database_is_empty_and_separate(postgresql: PostgresServer) -> None:
    first, second = postgresql.create_database(), postgresql.create_database()
    assert first != second
    postgresql.fetch_rows("create table here (number int)", database=first)
    tables = "select tablename from pg_tables where schemaname = 'public'"
    assert postgresql.fetch_rows(tables, database=first) == [("here",)]
    assert postgresql.fetch_rows(tables, database=second) == []


def test_it_requires_its_password(postgresql: PostgresServer) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host="127.0.0.1", port=postgresql.port, user="postgres", password="a-guess", dbname="postgres")


def test_it_listens_on_the_loopback_only(postgresql: PostgresServer) -> None:
    assert postgresql.fetch_rows("show listen_addresses", database="postgres") == [("127.0.0.1",)]


@pytest.mark.usefixtures("postgresql")  # skips the test if PostgreSQL is not installed
def test_it_ends_when_its_owner_is_killed() -> None:
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        assert owner.stdout
        port = int(owner.stdout.readline())
        assert is_listening(port)
        os.kill(owner.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while is_listening(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)


TWO_TESTS = """
from pathlib import Path
from tools import postgresql as tool
tool.INSTALLATIONS = Path("/nowhere")
tool.shutil.which = lambda name: None

def test_one(postgresql): pass
def test_other(postgresql): pass
"""


def test_tests_are_skipped_with_a_summary_line_if_it_is_not_installed(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_two.py").write_text(TWO_TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"2 skipped: {tool.NOT_INSTALLED}" in done.stdout.splitlines()


def test_the_newest_installation_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "INSTALLATIONS", tmp_path)
    for version in ("9.6", "15", "17"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        (folder / "initdb").touch()
    assert tool.find_server_programs() == tmp_path / "17" / "bin"
