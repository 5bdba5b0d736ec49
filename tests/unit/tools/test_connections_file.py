"""The file of a secrets backend."""

from __future__ import annotations

import json
from pathlib import Path

from airflow.secrets.local_filesystem import LocalFilesystemBackend

from tools.connections_file import ConnectionsFile


def test_airflow_reads_what_was_written_last(tmp_path: Path) -> None:
    file = ConnectionsFile(tmp_path / "connections.json")
    backend = LocalFilesystemBackend(**json.loads(file.settings["AIRFLOW__SECRETS__BACKEND_KWARGS"]))
    for token in ("an-old-token", "a-new-token"):
        file.write({"my_conn": {"conn_type": "portable", "password": token}})
        connection = backend.get_connection("my_conn")
        assert connection
        assert connection.password == token


def test_a_reader_keeps_the_whole_file(tmp_path: Path) -> None:
    """It opened the file before the connections were replaced."""
    path = tmp_path / "connections.json"
    file = ConnectionsFile(path)
    file.write({"first": {"conn_type": "portable"}})
    with path.open() as reader:
        file.write({"second": {"conn_type": "portable", "password": "longer"}})
        assert json.load(reader) == {"first": {"conn_type": "portable"}}
    assert [*tmp_path.iterdir()] == [path]
