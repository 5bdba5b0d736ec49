"""Each DAG run of a backfill loads its own day, and accepts a run that ended since it was due."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox.scenario import ACTIVEPIECES_FLOW_ID, PORTABLE_WORKFLOW_ID, ExampleFlows
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

DAG_ID = "backfill"
DAY = timedelta(days=1)
#: The days on which the DAG runs of the backfill were due. The schedule itself has not created a DAG run for any.
DUE = [datetime.now(UTC).date() - number * DAY for number in (4, 3, 2)]
OLDEST, *LATER = DUE
MAX_ATTEMPTS = 10
DATABASE_IS_LOCKED = "database is locked"


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


class Backfill:
    """The DAG runs of a backfill for three dates, and the runs that they wait for and start.

    Before it begins, the newest run of the workflow ended at noon of the first day. The next one ends when the DAG runs
    of the other two days have begun to wait. The run that the first DAG run starts fails.
    """

    def __init__(self, airflow: RealAirflow, flows: ExampleFlows) -> None:
        self.airflow = airflow
        self.day_flow = flows.activepieces[ACTIVEPIECES_FLOW_ID]
        self.day_flow.next_run(outcome="FAILED", errors=["Error: HTTP 500"])
        workflow = flows.portable[PORTABLE_WORKFLOW_ID]
        self.noon = midnight(OLDEST) + DAY / 2
        workflow.add_run(ago=time.time() - self.noon.timestamp(), waiting=0, running=1)
        self._create()
        self.dag_runs = self._find_dag_runs()
        airflow.wait_for_task(DAG_ID, self.dag_runs[OLDEST], "sum_up_day", ["deferred", "failed"])
        for due in LATER:
            airflow.wait_for_task(DAG_ID, self.dag_runs[due], "nightly_load", ["deferred"])
        self.late = datetime.now(UTC)
        workflow.add_run()
        self.ends = {due: airflow.wait_for_run(DAG_ID, dag_run) for due, dag_run in self.dag_runs.items()}

    def get_xcom(self, due: date, task_id: str) -> Any:
        return self.airflow.get_xcom(DAG_ID, self.dag_runs[due], task_id)

    def _create(self) -> None:
        dates = ("--from-date", f"{DUE[0]}", "--to-date", f"{DUE[-1]}")
        for _ in range(MAX_ATTEMPTS):
            done = self.airflow.run_cli("backfill", "create", "--dag-id", DAG_ID, *dates)
            # Airflow removes what it has created when the scheduler writes to sqlite in the same moment.
            if DATABASE_IS_LOCKED not in done.stderr:
                break
        assert done.returncode == 0, done.stderr

    def _find_dag_runs(self) -> dict[date, str]:
        runs = self.airflow.get(f"{self.airflow.root}/dags/{DAG_ID}/dagRuns", limit=100)["dag_runs"]
        return {
            datetime.fromisoformat(run["logical_date"]).date(): run["dag_run_id"]
            for run in runs
            if run["run_type"] == "backfill"
        }


@pytest.fixture(scope="module")
def backfill(airflow: RealAirflow, flows: ExampleFlows) -> Backfill:
    return Backfill(airflow, flows)


def test_auto_is_the_time_at_which_each_dag_run_was_due(backfill) -> None:
    assert sorted(backfill.dag_runs) == DUE
    ended = {due: datetime.fromisoformat(backfill.get_xcom(due, "nightly_load")["completed_at"]) for due in DUE}
    assert ended[OLDEST] - backfill.noon < timedelta(minutes=1)
    assert {ended[due] >= backfill.late for due in LATER} == {True}
    for due, dag_run in backfill.dag_runs.items():
        log = backfill.airflow.get_log(DAG_ID, dag_run, "nightly_load")
        assert f"Only a run that ended {midnight(due):%Y-%m-%d %H:%M:%S} UTC or later counts (completed_after)" in log


def test_each_dag_run_starts_one_run_for_its_own_day(backfill) -> None:
    days = [str(due - DAY) for due in DUE]
    assert [backfill.get_xcom(due, "get_day") for due in DUE] == days
    started = [run.trigger_output["body"]["day"] for run in backfill.day_flow.runs]
    assert sorted(day for day in started if day in days) == days


def test_a_day_that_fails_does_not_stop_the_others(backfill) -> None:
    assert backfill.ends == {OLDEST: "failed"} | dict.fromkeys(LATER, "success")
