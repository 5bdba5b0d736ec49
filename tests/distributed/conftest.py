"""An Airflow as in production for all tests here: Celery, Redis, PostgreSQL, and two of each component."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.scenario import seed
from tools.celery_airflow import CeleryAirflow
from tools.connections_file import ConnectionsFile
from tools.demo import WATCHER_DAG
from tools.postgresql import PostgresServer
from tools.redis_server import NOT_INSTALLED, RedisServer, find_server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXAMPLES = ROOT / "example_dags"

SETTINGS = {
    # The DAG files import what they share with other tests.
    "PYTHONPATH": str(ROOT),
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
    # Airflow's own defaults: with the shorter times of the other tests, two schedulers keep a core busy.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "5",
    # After 15 s without a heartbeat (default: 30) the waits of a triggerer move to the other one.
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD": "15",
    # After 90 s without a heartbeat (default: 300) a task counts as lost; longer than the api-server is away.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "60",
    # A task that no worker starts within 5 min is queued again (default: 10 min, looked for every 2).
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "300",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "30",
    # A task that a scheduler had taken when it ended is queued again within 20 s (default: 5 min).
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
}


@pytest.fixture(scope="session")
def broker() -> Iterator[RedisServer]:
    """Return a private Redis server."""
    if find_server() is None:
        pytest.skip(NOT_INSTALLED)
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Return the services, with the flows of the examples."""
    with Sandbox() as sandbox:
        seed(sandbox)
        yield sandbox


@pytest.fixture(scope="session")
def rotated_sandbox() -> Iterator[Sandbox]:
    """Return services whose tokens a test changes. Their connections come from a secrets backend."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def connections_file(tmp_path_factory: pytest.TempPathFactory) -> ConnectionsFile:
    """Return the file in which Airflow's secrets backend finds connections."""
    file = ConnectionsFile(tmp_path_factory.mktemp("secrets") / "connections.json")
    file.write({})
    return file


@pytest.fixture(scope="session")
def lineage_events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder to which OpenLineage writes events, one JSON file each."""
    return tmp_path_factory.mktemp("lineage")


@pytest.fixture(scope="session")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the DAG files of the examples and of these tests. Tests may change them."""
    folder = tmp_path_factory.mktemp("dags")
    for source in [*EXAMPLES.glob("*.py"), *(HERE / "dags").glob("*.py")]:
        shutil.copy(source, folder)
    return folder


@pytest.fixture(scope="session")
def stack(
    sandbox: Sandbox,
    connections_file: ConnectionsFile,
    lineage_events: Path,
    dags_folder: Path,
    postgresql: PostgresServer,
    broker: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CeleryAirflow]:
    """Return the Airflow in which all tests run."""
    connections = sandbox.connections()
    # The DAGs that tests share with those in tests/airflow name these connections.
    live = {name.replace("_DEFAULT", "_LIVE"): value for name, value in connections.items()}
    env = {
        **SETTINGS,
        **connections_file.settings,
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(lineage_events / "event")}),
        "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",
    }
    with CeleryAirflow(
        dags_folder,
        connections=connections | live,
        database_server=postgresql,
        broker=broker,
        env=env,
        home=tmp_path_factory.mktemp("home"),
    ) as airflow:
        airflow.wait_until_ready([WATCHER_DAG], timeout=300)
        airflow.set_paused(WATCHER_DAG)  # a run that it watches ends every 20 s
        yield airflow


@pytest.fixture
def airflow(stack: CeleryAirflow, sandbox: Sandbox) -> Iterator[CeleryAirflow]:
    """Return the Airflow with all its components running, and the services without faults."""
    stack.restore()
    yield stack
    sandbox.faults.clear()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """Return a file that TableFlow can read."""
    path = tmp_path / "order.pdf"
    path.write_bytes(b"%PDF-1.7 made up")
    return path
