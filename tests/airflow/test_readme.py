"""The README's DAG works in every kind of DAG run: its guard is the time at which the DAG run was due."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.airflow.readme import README_FLOW_ID
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow


def wait_for_only_run(airflow: RealAirflow, dag_id: str, run_type: str) -> str:
    """Wait for the only DAG run of a type and return its id."""

    def list_runs() -> list[dict[str, Any]]:
        runs = airflow.get(f"/api/v2/dags/{dag_id}/dagRuns", limit=100)["dag_runs"]
        return [run for run in runs if run["run_type"] == run_type]

    airflow.wait_for(f"a DAG run of {dag_id} that is {run_type}", lambda: bool(list_runs()), timeout=120)
    [run] = list_runs()
    return str(run["dag_run_id"])


@pytest.fixture(scope="module")
def dag_runs(airflow: RealAirflow) -> dict[str, tuple[str, str]]:
    """Return DAG runs of all kinds, by kind."""
    airflow.add_asset_event("readme_orders")
    airflow.set_paused("readme_by_schedule", is_paused=False)
    dated = airflow.trigger("readme_manual", logical_date="2026-02-01T00:00:00Z")
    return {
        "manual": ("readme_manual", airflow.trigger("readme_manual")),
        "manual with a date": ("readme_manual", dated),
        "by asset": ("readme_by_asset", wait_for_only_run(airflow, "readme_by_asset", "asset_triggered")),
        "scheduled": ("readme_by_schedule", wait_for_only_run(airflow, "readme_by_schedule", "scheduled")),
    }


@pytest.fixture(scope="module")
def guards(airflow: RealAirflow, dag_runs: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Return what the command ``why`` says about the guard of each DAG run's trigger."""
    found = {}
    for kind, (dag_id, run_id) in dag_runs.items():
        airflow.wait_for_task(dag_id, run_id, "wait_for_orders", ["deferred"])
        said = airflow.run_cli("flowruns", "why", dag_id, run_id, "wait_for_orders")
        [found[kind]] = re.findall(r"a run that ended at (.*) or later \(completed_after\)", said.stdout)
    return found


def test_it_waits_for_a_run_after_its_due_time_and_succeeds(
    airflow: RealAirflow, live_sandbox: Sandbox, dag_runs: dict[str, tuple[str, str]], guards: dict[str, str]
) -> None:
    assert guards.keys() == dag_runs.keys()  # all are deferred
    [flow] = [flow for flow in live_sandbox.portable.flows if flow.id == README_FLOW_ID]
    flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=1.0)
    ends = {kind: airflow.wait_for_run(*dag_run) for kind, dag_run in dag_runs.items()}
    assert ends == dict.fromkeys(dag_runs, "success")
    assert {airflow.get_xcom(*dag_run, "success_rate") for dag_run in dag_runs.values()} == {1.0}


def test_the_guard_is_the_end_of_the_data_interval_if_there_is_one(
    airflow: RealAirflow, dag_runs: dict[str, tuple[str, str]], guards: dict[str, str]
) -> None:
    for kind, (dag_id, run_id) in dag_runs.items():
        run = airflow.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
        has_interval = kind in {"scheduled", "manual with a date"}
        assert has_interval == (run["data_interval_end"] is not None) == (run["logical_date"] is not None)
        due = run["data_interval_end"] if has_interval else run["run_after"]
        assert guards[kind] == f"{datetime.fromisoformat(due):%Y-%m-%d %H:%M:%S} UTC"
