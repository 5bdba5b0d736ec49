"""A real Airflow with several triggerers, on each database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.distributed.dags.watched_flows import FIRST_FLOW_ID, FLOWS
from tests.watched_flows import WatchedFlows
from tools.real_airflow import RealAirflow

HERE = Path(__file__).resolve().parent

#: Seconds without a heartbeat after which Airflow moves a triggerer's work to another one (default: 30).
HEALTH_CHECK_THRESHOLD = 10
SETTINGS = {
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(HEALTH_CHECK_THRESHOLD),
    "AIRFLOW__TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD": str(HEALTH_CHECK_THRESHOLD),
}


class Triggerers:
    """The triggerers of an Airflow: the one that runs the watchers, and others that tests start."""

    def __init__(self, airflow: RealAirflow) -> None:
        self.airflow = airflow
        self._numbers = count(2)
        self.active_name = "triggerer"

    def start_another(self) -> str:
        """Start another triggerer, wait until it is running and return its name. The watchers do not move."""
        name = f"triggerer-{next(self._numbers)}"
        before = self._get_newest_job()
        self.airflow.start("triggerer", name)
        self.airflow.wait_for(f"{name} to start", lambda: self._get_newest_job() != before, 120)
        assert self._get_newest_job() not in self._get_active_jobs()
        return name

    def wait_until_moved(self, name: str) -> None:
        """Wait until the triggerer that was started last, with this name, runs all watchers."""
        job = self._get_newest_job()
        self.airflow.wait_for(f"the watchers to move to {name}", lambda: self._get_active_jobs() == {job}, 120)
        self.active_name = name

    def _get_active_jobs(self) -> set[int | None]:
        return {job for (job,) in self.airflow.fetch_rows("select distinct triggerer_id from trigger")}

    def _get_newest_job(self) -> int | None:
        (row,) = self.airflow.fetch_rows("select max(id) from job where job_type = 'TriggererJob'")
        return row[0]


@pytest.fixture(scope="module")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the DAG files that tests may change."""
    return Path(shutil.copytree(HERE / "dags", tmp_path_factory.mktemp("airflow") / "dags"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def watched(request: pytest.FixtureRequest, dags_folder: Path, tmp_path_factory: Any) -> Iterator[WatchedFlows]:
    """Return watched flows with one DAG each, in a real Airflow on each database."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    home = tmp_path_factory.mktemp("home")
    flow_ids = range(FIRST_FLOW_ID, FIRST_FLOW_ID + FLOWS)
    with (
        Sandbox() as sandbox,
        RealAirflow(dags_folder, env=sandbox.connections() | SETTINGS, home=home, postgresql=server) as airflow,
    ):
        watched = WatchedFlows(airflow, sandbox, flow_ids)
        airflow.wait_until_ready(f"after_{flow_id}" for flow_id in flow_ids)
        watched.wait_for_polls(1)
        yield watched


@pytest.fixture(scope="module")
def airflow(watched: WatchedFlows) -> RealAirflow:
    """Return the Airflow that watches the flows."""
    return watched.airflow


@pytest.fixture(scope="module")
def triggerers(airflow: RealAirflow) -> Triggerers:
    """Return the triggerers of this Airflow."""
    return Triggerers(airflow)
