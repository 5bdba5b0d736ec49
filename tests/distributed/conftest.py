"""A real Airflow with several components of a kind, on each database."""

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

#: Seconds without a heartbeat after which Airflow gives a triggerer's work to another; half a minute if not told.
TAKEN_OVER_AFTER = 10
SETTINGS = {
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(TAKEN_OVER_AFTER),
    "AIRFLOW__TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD": str(TAKEN_OVER_AFTER),
}


class Triggerers:
    """The triggerers of an Airflow; the one that runs the watchers, and one more when a test asks for it."""

    def __init__(self, airflow: RealAirflow) -> None:
        self.airflow = airflow
        self._numbers = count(2)
        self.holder = "triggerer"

    def start_another(self) -> str:
        """Start one more, wait until it is up and return its name; the watchers stay where they are."""
        name = f"triggerer-{next(self._numbers)}"
        before = self._newest_job()
        self.airflow.start("triggerer", name)
        self.airflow.wait_for(f"{name} to be up", lambda: self._newest_job() != before, 120)
        assert self._newest_job() not in self._holding_jobs()
        return name

    def wait_moved(self, name: str) -> None:
        """Wait until the triggerer that was started last runs all watchers; tests have its name."""
        job = self._newest_job()
        self.airflow.wait_for(f"the watchers to move to {name}", lambda: self._holding_jobs() == {job}, 120)
        self.holder = name

    def _holding_jobs(self) -> set[int | None]:
        return {job for (job,) in self.airflow.rows("select distinct triggerer_id from trigger")}

    def _newest_job(self) -> int | None:
        (row,) = self.airflow.rows("select max(id) from job where job_type = 'TriggererJob'")
        return row[0]


@pytest.fixture(scope="module")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DAG files of these tests, where they may be changed."""
    return Path(shutil.copytree(HERE / "dags", tmp_path_factory.mktemp("airflow") / "dags"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def watched(request: pytest.FixtureRequest, dags_folder: Path, tmp_path_factory: Any) -> Iterator[WatchedFlows]:
    """Watched flows with a DAG each, in a real Airflow on either database."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    home = tmp_path_factory.mktemp("home")
    flow_ids = range(FIRST_FLOW_ID, FIRST_FLOW_ID + FLOWS)
    with (
        Sandbox() as sandbox,
        RealAirflow(dags_folder, env=sandbox.connections() | SETTINGS, home=home, postgresql=server) as airflow,
    ):
        watched = WatchedFlows(airflow, sandbox, flow_ids)
        airflow.wait_ready(f"after_{flow_id}" for flow_id in flow_ids)
        watched.wait_rounds(1)
        yield watched


@pytest.fixture(scope="module")
def airflow(watched: WatchedFlows) -> RealAirflow:
    """That Airflow."""
    return watched.airflow


@pytest.fixture(scope="module")
def triggerers(airflow: RealAirflow) -> Triggerers:
    """Its triggerers: one, and those that the tests start."""
    return Triggerers(airflow)
