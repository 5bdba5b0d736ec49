"""Connections in the file of a secrets backend, which changes while Airflow runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ConnectionsFile:
    """The file of Airflow's ``LocalFilesystemBackend``.

    :param path: the file, whose name ends in ``.json``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables with which Airflow reads the file."""
        return {
            "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(self._path)}),
        }

    def write(self, connections: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace all connections in one step, because Airflow may read the file at any time.

        :param connections: their fields by connection id.
        """
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(json.dumps(connections))
        unfinished.replace(self._path)
