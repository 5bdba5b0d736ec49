"""Fixtures for the tests of operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pytest

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach  # type: ignore[no-redef]


@pytest.fixture
def memory_storage() -> Iterator[Any]:
    """Return an empty object storage in memory, which Airflow knows as ``memory://``."""
    storage = fsspec.filesystem("memory")
    attach("memory", fs=storage)
    yield storage
    for name in storage.ls("/", detail=False):
        storage.rm(name, recursive=True)
