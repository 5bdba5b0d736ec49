"""One real Airflow and one sandbox for all tests here, with all DAG runs started at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.scenario import PORTABLE_FLOW_ID
from tests.airflow.readme import README_FLOW_ID, build_readme_dag_files
from tests.airflow.scenario import WRONG_TOKEN, Scenario
from tests.statsd_server import StatsdServer
from tools.real_airflow import RealAirflow
from tools.stepped_clock import SteppedClock

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "example_dags"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder last, because their Airflow uses the machine's cores while it is running."""
    items.sort(key=lambda item: item.path.is_relative_to(HERE))


@pytest.fixture(scope="session")
def clock() -> SteppedClock:
    """Return the sandbox's clock, which only the tests advance."""
    return SteppedClock(behind_seconds=600)


@pytest.fixture(scope="session")
def sandbox(clock: SteppedClock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock) as sandbox:
        sandbox.portable.add_flow("Orders to warehouse", PORTABLE_FLOW_ID)  # an example watches it from the start
        yield sandbox


@pytest.fixture(scope="session")
def live_sandbox() -> Iterator[Sandbox]:
    """Return a second sandbox that uses the real clock, for guards and deadlines."""
    with Sandbox() as sandbox:
        sandbox.portable.add_flow("Orders", README_FLOW_ID)  # a scheduled DAG run waits for it from the start
        yield sandbox


@pytest.fixture(scope="session")
def stepped_clock() -> SteppedClock:
    """Return the clock of :func:`stepped_sandbox`."""
    return SteppedClock(behind_seconds=0)


@pytest.fixture(scope="session")
def stepped_sandbox(stepped_clock: SteppedClock) -> Iterator[Sandbox]:
    """Return a third sandbox, in which tasks start runs and a test advances them. Set its clock to the time first."""
    with Sandbox(clock=stepped_clock) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def connections(sandbox: Sandbox, live_sandbox: Sandbox, stepped_sandbox: Sandbox) -> dict[str, str]:
    """Return the connections as environment variables.

    They have a valid token (``..._default``), a wrong one (``..._wrong``) or none (``..._missing``), or belong to the
    other sandboxes (``..._live``, ``..._reported`` and ``..._stepped``).
    """
    connections = sandbox.connections()
    others = {
        name.replace("_DEFAULT", suffix): value
        for suffix, other in (("_LIVE", live_sandbox), ("_REPORTED", live_sandbox), ("_STEPPED", stepped_sandbox))
        for name, value in other.connections().items()
    }
    for service in sandbox.services:
        valid = json.loads(connections[f"AIRFLOW_CONN_{service.name.upper()}_DEFAULT"])
        missing = {key: value for key, value in valid.items() if key != "password"}
        connections[f"AIRFLOW_CONN_{service.name.upper()}_WRONG"] = json.dumps(valid | {"password": WRONG_TOKEN})
        connections[f"AIRFLOW_CONN_{service.name.upper()}_MISSING"] = json.dumps(missing)
    return connections | others


@pytest.fixture(scope="session")
def lineage_events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder to which OpenLineage writes events, one JSON file each."""
    return tmp_path_factory.mktemp("lineage")


@pytest.fixture(scope="session")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the DAG files of the examples, the README and these tests. Tests may add more."""
    folder = tmp_path_factory.mktemp("dags")
    for source in [*EXAMPLES.glob("*.py"), *(HERE / "dags").glob("*.py")]:
        shutil.copy(source, folder)
    for name, text in build_readme_dag_files().items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def statsd() -> Iterator[StatsdServer]:
    """Return the server to which Airflow sends the metrics of this package."""
    with StatsdServer() as server:
        yield server


@pytest.fixture(scope="session")
def airflow(
    connections: dict[str, str],
    lineage_events: Path,
    statsd: StatsdServer,
    dags_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RealAirflow]:
    """Return a real Airflow with these DAGs."""
    lineage = {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(lineage_events / "event")}),
        "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",
    }
    # An api-server that a test has killed takes long to restart on a busy machine. By default Airflow ends all tasks
    # after three failed heartbeats.
    heartbeats = {"AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "30"}
    home = tmp_path_factory.mktemp("home")
    env = connections | lineage | heartbeats | statsd.build_settings(has_tags=True)
    with RealAirflow(dags_folder, env=env, home=home, poke_interval=3) as airflow:
        airflow.wait_until_ready(path.stem for path in dags_folder.glob("*.py"))
        yield airflow


@pytest.fixture(scope="session")
def scenario(airflow: RealAirflow, sandbox: Sandbox, clock: SteppedClock) -> Scenario:
    """Return all DAG runs, including those with invalid input, after the service runs have ended."""
    scenario = Scenario(airflow, clock)
    scenario.start(sandbox)
    scenario.advance_to_end()
    return scenario
