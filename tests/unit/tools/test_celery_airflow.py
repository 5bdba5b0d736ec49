"""The processes of an Airflow as in production can be told apart, and share what they must."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.celery_airflow import PROCESS_HEADER, CeleryAirflow
from tools.postgresql import PostgresServer
from tools.redis_server import RedisServer


@pytest.fixture
def environments(postgresql: PostgresServer, tmp_path: Path) -> Iterator[dict[str, dict[str, str]]]:
    """Return the environment of each component, none of which is started."""
    broker = RedisServer()
    airflow = CeleryAirflow(
        tmp_path,
        connections={"AIRFLOW_CONN_X": json.dumps({"conn_type": "http", "extra": {"headers": {"X-Team": "data"}}})},
        database_server=postgresql,
        broker=broker,
        home=tmp_path / "home",
    )
    yield {name: dict(airflow._build_component_environment(name)) for name in airflow.components}
    airflow.close()
    broker.stop()


def test_each_process_names_itself_in_its_requests(environments: dict[str, dict[str, str]]) -> None:
    for name, environment in environments.items():
        extra = json.loads(environment["AIRFLOW_CONN_X"])["extra"]
        assert extra == {"headers": {"X-Team": "data", PROCESS_HEADER: name}}


def test_no_two_processes_share_a_temporary_folder(environments: dict[str, dict[str, str]]) -> None:
    folders = {environment["TMPDIR"] for environment in environments.values()}
    assert len(folders) == len(environments)
    assert all(Path(folder).is_dir() for folder in folders)


def test_all_processes_share_database_and_broker(environments: dict[str, dict[str, str]]) -> None:
    for setting in ("DATABASE__SQL_ALCHEMY_CONN", "CELERY__BROKER_URL", "CELERY__RESULT_BACKEND"):
        assert len({environment[f"AIRFLOW__{setting}"] for environment in environments.values()}) == 1
