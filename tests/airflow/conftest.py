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
        yield sandbox


@pytest.fixture(scope="session")
def connections(sandbox: Sandbox, live_sandbox: Sandbox) -> dict[str, str]:
    """
    Connections that work (``..._default``), have a wrong token (``..._wrong``) and have none (``..._missing``), and
    those of the sandbox with the real clock (``..._live``).
    """
    connections = sandbox.connections()
    live = {name.replace("_DEFAULT", "_LIVE"): value for name, value in live_sandbox.connections().items()}
    for service in sandbox.services:
        good = json.loads(connections[f"AIRFLOW_CONN_{service.name.upper()}_DEFAULT"])
        missing = {key: value for key, value in good.items() if key != "password"}
        connections[f"AIRFLOW_CONN_{service.name.upper()}_WRONG"] = json.dumps(good | {"password": WRONG_TOKEN})
        connections[f"AIRFLOW_CONN_{service.name.upper()}_MISSING"] = json.dumps(missing)
    return connections | live


@pytest.fixture(scope="session")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DAG files of this Airflow: the examples and those of these tests. More may be added."""
    folder = tmp_path_factory.mktemp("dags")
    for source in [*EXAMPLES.glob("*.py"), *(HERE / "dags").glob("*.py")]:
        shutil.copy(source, folder)
    return folder


@pytest.fixture(scope="session")
def airflow(
    connections: dict[str, str], dags_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAirflow]:
    """A real Airflow that knows these DAGs."""
    home = tmp_path_factory.mktemp("home")
    with RealAirflow(dags_folder, env=connections, home=home, poke_interval=3) as airflow:
        airflow.wait_ready(path.stem for path in dags_folder.glob("*.py"))
        yield airflow


@pytest.fixture(scope="session")
def play(airflow: RealAirflow, sandbox: Sandbox, clock: SteppedClock) -> Play:
    """All DAG runs, those with bad input included, played to where the services' runs have ended."""
    play = Play(airflow, clock)
    play.begin(sandbox)
    play.to_the_end()
    return play
