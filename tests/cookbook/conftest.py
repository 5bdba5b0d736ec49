"""One real Airflow with the recipes of the cookbook as they are in the docs, and a sandbox with the flows they name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.scenario import ExampleFlows, add_flows
from tools.real_airflow import RealAirflow

RECIPES = Path(__file__).resolve().parents[2] / "docs" / "examples" / "cookbook"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def flows(sandbox: Sandbox) -> ExampleFlows:
    """Return the flows that the recipes name. They have no runs: each test adds those that its recipe waits for."""
    return add_flows(sandbox)


@pytest.fixture(scope="session")
def airflow(sandbox: Sandbox, flows: ExampleFlows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAirflow]:
    """Return a real Airflow with all recipes."""
    folder, home = tmp_path_factory.mktemp("dags"), tmp_path_factory.mktemp("home")
    paths = sorted(RECIPES.glob("*.py"))
    for path in paths:
        shutil.copy(path, folder)
    with RealAirflow(folder, env=sandbox.connections(), home=home, poke_interval=1) as airflow:
        airflow.wait_until_ready(path.stem for path in paths)
        yield airflow
