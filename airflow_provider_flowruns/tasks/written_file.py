"""What lineage is told about a file that a task has written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that a task has written.

    :param path: local path or URL.
    :param size: its size in bytes.
    :param rows: number of its rows, None for a file without rows.
    """

    path: str
    size: int
    rows: int | None = None
