"""A run from before the DAG run was due does not count, whatever became of it."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox import SandboxFlow
from airflow_provider_flowruns.sandbox.scenario import PORTABLE_FLOW_ID, ExampleFlows
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

DAG_ID = "only_todays_run"


@pytest.fixture
def flow(flows: ExampleFlows) -> SandboxFlow:
    """Return the flow, whose newest run succeeded yesterday."""
    flow = flows.portable[PORTABLE_FLOW_ID]
    flow.add_run(ago=86_400, resources=[{"name": "orders", "loaded": 1}])
    return flow


@pytest.fixture
def dag_run(airflow: RealAirflow, flow: SandboxFlow) -> str:
    """Return a DAG run that waits."""
    run_id = airflow.trigger(DAG_ID)
    airflow.wait_for_task(DAG_ID, run_id, "orders_loaded", ["deferred"])
    return run_id


def test_it_waits_for_todays_run_and_uses_its_summary(airflow, flow, dag_run) -> None:
    todays = flow.add_run(resources=[{"name": "orders", "loaded": 42}])
    assert airflow.wait_for_run(DAG_ID, dag_run) == "success"
    assert airflow.get_xcom(DAG_ID, dag_run, "orders_loaded")["run_id"] == str(todays.id)
    assert airflow.get_xcom(DAG_ID, dag_run, "count_rows") == 42


def test_it_fails_with_the_services_error_if_todays_run_fails(airflow, flow, dag_run) -> None:
    flow.add_run(outcome="FAILED", errors=["The source is down"])
    assert airflow.wait_for_run(DAG_ID, dag_run) == "failed"
    states = airflow.get_task_states(DAG_ID, dag_run)
    assert states == {"orders_loaded": "failed", "count_rows": "upstream_failed"}
    assert "The source is down" in airflow.get_log(DAG_ID, dag_run, "orders_loaded")
