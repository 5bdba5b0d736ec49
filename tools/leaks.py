"""Where secrets were written that should have been written nowhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path


def find_leaks(home: Path, secrets: Collection[str]) -> list[str]:
    """Return a line for each file below an ``AIRFLOW_HOME`` that holds one of the secrets: logs, database and all else.

    :param home: the folder; Airflow may still be running in it.
    :param secrets: what must not be found.
    """
    found = [
        f"{secret} in {path.relative_to(home)}"
        for path in sorted(home.rglob("*"))
        if path.is_file()
        for content in [path.read_bytes()]
        for secret in secrets
        if secret.encode() in content
    ]
    return found + [line for database in home.glob("*.db") for line in _leaks_in_database(database, secrets)]


def _leaks_in_database(database: Path, secrets: Collection[str]) -> list[str]:
    """Look at the rows as well: in the file, a long value is cut in pieces."""
    with closing(sqlite3.connect(database)) as connection:
        return [
            f"{secret} in the database: {statement[:80]}"
            for statement in connection.iterdump()
            for secret in secrets
            if secret in statement
        ]
