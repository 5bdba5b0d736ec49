"""The scan finds secrets wherever Airflow may store them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tools.secret_scan import find_secrets

SECRET = "made-up-secret-token"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE xcom (value TEXT)")
        yield database


def test_nothing_is_found_without_secrets(tmp_path: Path, database: sqlite3.Connection) -> None:
    (tmp_path / "task.log").write_text("all is well")
    database.execute("INSERT INTO xcom VALUES ('all is well')")
    database.commit()
    assert find_secrets(tmp_path, [SECRET]) == []


def test_a_log_file_in_a_subfolder(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "task.log").write_text(f"Authorization: Bearer {SECRET}")
    assert find_secrets(tmp_path, ["another", SECRET]) == [f"{SECRET} in logs/task.log"]


def test_a_row_that_is_still_in_the_write_ahead_log(tmp_path: Path, database: sqlite3.Connection) -> None:
    database.execute("INSERT INTO xcom VALUES (?)", (SECRET,))
    database.commit()
    assert f"{SECRET} in airflow.db-wal" in find_secrets(tmp_path, [SECRET])


def test_long_rows_wherever_sqlite_splits_them(tmp_path: Path, database: sqlite3.Connection) -> None:
    secrets = {f"{SECRET}-{shift}-end": shift for shift in range(0, 4096, 128)}
    for secret, shift in secrets.items():
        database.execute("INSERT INTO xcom VALUES (?)", ("x" * (10_000 + shift) + secret + "x" * 5_000,))
    database.commit()
    in_rows = [line for line in find_secrets(tmp_path, secrets) if "in the database" in line]
    assert len(in_rows) == len(secrets)
