"""One real Airflow and one sandbox for all tests here, with all DAG runs started at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.scenario import PORTABLE_FLOW_ID
from tests.airflow.play import WRONG_TOKEN, Play
from tests.airflow.readme import README_FLOW_ID, readme_dag_files
from tools.real_airflow import RealAirflow
from tools.stage import SteppedClock

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "example_dags"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of this folder last: their Airflow takes the machine's cores for as long as it is up."""
    items.sort(key=lambda item: item.path.is_relative_to(HERE))


@pytest.fixture(scope="session")
def clock() -> SteppedClock:
    """The sandbox's clock: runs go on when a test says so."""
    return SteppedClock(behind=600)


@pytest.fixture(scope="session")
def sandbox(clock: SteppedClock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock) as sandbox:
        sandbox.portable.add_flow("Orders to warehouse", PORTABLE_FLOW_ID)  # watched by an example from the start
        yield sandbox


@pytest.fixture(scope="session")
def live_sandbox() -> Iterator[Sandbox]:
    """A second sandbox, whose clock is the real one: for guards and deadlines."""
    with Sandbox() as sandbox:
        sandbox.portable.add_flow("Orders", README_FLOW_ID)  # waited for by a scheduled DAG run from the start
        yield sandbox


@pytest.fixture(scope="session")
def held_clock() -> SteppedClock:
    """The clock of the held sandbox; :func:`held_sandbox` says more."""
    return SteppedClock(behind=0)


@pytest.fixture(scope="session")
def held_sandbox(held_clock: SteppedClock) -> Iterator[Sandbox]:
    """A third sandbox: tasks start runs there, and a test says when these go on. Set its clock right first."""
    with Sandbox(clock=held_clock) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def connections(sandbox: Sandbox, live_sandbox: Sandbox, held_sandbox: Sandbox) -> dict[str, str]:
    """
    Connections in all states.

    They work (``..._default``), have a wrong token (``..._wrong``) or none (``..._missing``), or lead to the other
    sandboxes (``..._live`` and ``..._held``).
    """
    connections = sandbox.connections()
    others = {
        name.replace("_DEFAULT", suffix): value
        for suffix, other in (("_LIVE", live_sandbox), ("_HELD", held_sandbox))
        for name, value in other.connections().items()
    }
    for service in sandbox.services:
        good = json.loads(connections[f"AIRFLOW_CONN_{service.name.upper()}_DEFAULT"])
        missing = {key: value for key, value in good.items() if key != "password"}
        connections[f"AIRFLOW_CONN_{service.name.upper()}_WRONG"] = json.dumps(good | {"password": WRONG_TOKEN})
        connections[f"AIRFLOW_CONN_{service.name.upper()}_MISSING"] = json.dumps(missing)
    return connections | others


@pytest.fixture(scope="session")
def lineage_events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where OpenLineage writes the events of the DAGs that ask for it, one JSON file each."""
    return tmp_path_factory.mktemp("lineage")


@pytest.fixture(scope="session")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DAG files of this Airflow: the examples, the README's and those of these tests. More may be added."""
    folder = tmp_path_factory.mktemp("dags")
    for source in [*EXAMPLES.glob("*.py"), *(HERE / "dags").glob("*.py")]:
        shutil.copy(source, folder)
    for name, text in readme_dag_files().items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def airflow(
    connections: dict[str, str], lineage_events: Path, dags_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAirflow]:
    """A real Airflow that knows these DAGs."""
    lineage = {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(lineage_events / "event")}),
        "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",
    }
    # An api-server that a test has ended takes long to start on a busy machine; by default Airflow itself ends all
    # tasks after three heartbeats that fail.
    patience = {"AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "30"}
    home = tmp_path_factory.mktemp("home")
    with RealAirflow(dags_folder, env=connections | lineage | patience, home=home, poke_interval=3) as airflow:
        airflow.wait_ready(path.stem for path in dags_folder.glob("*.py"))
        yield airflow


@pytest.fixture(scope="session")
def play(airflow: RealAirflow, sandbox: Sandbox, clock: SteppedClock) -> Play:
    """All DAG runs, those with bad input included, played to where the services' runs have ended."""
    play = Play(airflow, clock)
    play.begin(sandbox)
    play.to_the_end()
    return play
