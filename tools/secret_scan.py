"""Search everything that Airflow has written for secrets."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path


def find_secrets(home: Path, secrets: Collection[str]) -> list[str]:
    """Return a line for each secret found in the files and databases below an ``AIRFLOW_HOME``.

    :param home: the folder; Airflow may still be running in it.
    :param secrets: the texts to search for.
    """
    found = [
        f"{secret} in {path.relative_to(home)}"
        for path in sorted(home.rglob("*"))
        if path.is_file()
        for content in [path.read_bytes()]
        for secret in secrets
        if secret.encode() in content
    ]
    return found + [line for database in home.glob("*.db") for line in _find_secrets_in_database(database, secrets)]


def _find_secrets_in_database(database: Path, secrets: Collection[str]) -> list[str]:
    """Search the rows too: in the database file, a long value is split over several pages."""
    with closing(sqlite3.connect(database)) as connection:
        return [
            f"{secret} in the database: {statement[:80]}"
            for statement in connection.iterdump()
            for secret in secrets
            if secret in statement
        ]
