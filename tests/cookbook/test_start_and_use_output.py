"""The next task gets what a step of the run returned, and does not run if there is none."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox.scenario import ACTIVEPIECES_STEPS_FLOW_ID, COUNTING_STEPS, ExampleFlows
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

DAG_ID = "start_and_use_output"


@pytest.fixture(scope="module")
def ends(airflow: RealAirflow, flows: ExampleFlows) -> list[tuple[str, str]]:
    """Return the state and id of three DAG runs: the step returns orders, the run fails, the step is not executed."""
    flow = flows.activepieces[ACTIVEPIECES_STEPS_FLOW_ID]
    flow.next_run(steps=COUNTING_STEPS)
    flow.next_run(outcome="FAILED", errors=["Error: HTTP 500 from the shop"])
    flow.next_run(steps={"step_9": COUNTING_STEPS["step_1"]})
    dag_runs = [airflow.trigger(DAG_ID) for _ in range(3)]
    return [(airflow.wait_for_run(DAG_ID, dag_run), dag_run) for dag_run in dag_runs]


def list_ended(ends: list[tuple[str, str]], state: str) -> list[str]:
    return [dag_run for ended, dag_run in ends if ended == state]


def test_the_output_of_the_step_is_used(airflow, ends) -> None:
    [dag_run] = list_ended(ends, "success")
    assert airflow.get_xcom(DAG_ID, dag_run, "list_order_ids") == [7, 8]
    assert airflow.get_xcom(DAG_ID, dag_run, "read_orders")["step_output"]["count"] == 2


def test_the_payload_reaches_the_flow(airflow, flows, ends) -> None:
    bodies = [run.trigger_output["body"] for run in flows.activepieces[ACTIVEPIECES_STEPS_FLOW_ID].runs]
    sent = {(body["region"], body["dag_run"]) for body in bodies}
    assert sent == {("north", dag_run) for _, dag_run in ends}


def test_a_failed_run_and_a_step_that_was_not_executed_fail_the_task_and_nothing_follows(airflow, ends) -> None:
    failed = list_ended(ends, "failed")
    for dag_run in failed:
        states = airflow.get_task_states(DAG_ID, dag_run)
        assert states == {"read_orders": "failed", "list_order_ids": "upstream_failed"}
    logs = [airflow.get_log(DAG_ID, dag_run, "read_orders") for dag_run in failed]
    assert len(logs) == 2
    assert sum("Error: HTTP 500 from the shop" in log for log in logs) == 1
    assert sum("FR412: " in log for log in logs) == 1
