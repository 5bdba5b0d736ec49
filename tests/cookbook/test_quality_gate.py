"""What follows runs after a plausible load only, and the report says why."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox import SandboxFlow
from airflow_provider_flowruns.sandbox.scenario import PORTABLE_EMPTY_FLOW_ID, ExampleFlows
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

DAG_ID = "quality_gate"


@pytest.fixture(scope="module")
def flow(flows: ExampleFlows) -> SandboxFlow:
    """Return the flow, with a history of ten usual runs."""
    flow = flows.portable[PORTABLE_EMPTY_FLOW_ID]
    for days in range(1, 11):
        add_run(flow, loaded=1_000 + days, ago=days * 86_400)
    return flow


def add_run(flow: SandboxFlow, *, loaded: int, ago: float = 0) -> str:
    """Add a run that loads a number of rows, and return its id."""
    return str(flow.add_run(resources=[{"name": "orders", "loaded": loaded}], ago=ago).id)


@pytest.fixture
def dag_run(airflow: RealAirflow, flow: SandboxFlow) -> str:
    """Return a DAG run that waits."""
    dag_run = airflow.trigger(DAG_ID)
    airflow.wait_for_task(DAG_ID, dag_run, "loaded", ["deferred"])
    return dag_run


def test_a_usual_load_passes(airflow, flow, dag_run) -> None:
    run_id = add_run(flow, loaded=990)
    assert airflow.wait_for_run(DAG_ID, dag_run) == "success"
    assert airflow.get_xcom(DAG_ID, dag_run, "plausible")["passed"] is True
    assert airflow.get_xcom(DAG_ID, dag_run, "publish") == run_id


def test_a_load_of_a_tenth_of_the_rows_stops_there(airflow, flow, dag_run) -> None:
    run_id = add_run(flow, loaded=100)
    assert airflow.wait_for_run(DAG_ID, dag_run) == "failed"
    states = airflow.get_task_states(DAG_ID, dag_run)
    assert states == {"loaded": "success", "attempts": "success", "plausible": "failed", "publish": "upstream_failed"}
    report = airflow.get_xcom(DAG_ID, dag_run, "plausible")
    assert (report["passed"], report["run_id"]) == (False, run_id)
    assert [check["name"] for check in report["checks"] if check["status"] == "failed"] == ["min_rows_ratio"]
    assert "FlowRunQualityFailed" in airflow.get_log(DAG_ID, dag_run, "plausible")


def test_a_person_lets_it_pass_by_marking_the_check_as_success(airflow, flow, dag_run) -> None:
    run_id = add_run(flow, loaded=100)
    airflow.wait_for_run(DAG_ID, dag_run)
    airflow.set_task_state(DAG_ID, dag_run, "plausible", "success")
    airflow.wait_for_task(DAG_ID, dag_run, "publish", ["success"])
    assert airflow.get_xcom(DAG_ID, dag_run, "publish") == run_id
