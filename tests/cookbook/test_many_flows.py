"""A flow that fails stops neither the others nor the summary, but what needs all of them."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox.scenario import (
    PORTABLE_FAILING_FLOW_ID,
    PORTABLE_FLOW_ID,
    PORTABLE_SLOW_FLOW_ID,
    ExampleFlows,
)
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

DAG_ID = "many_flows"
CHOSEN = [PORTABLE_FLOW_ID, PORTABLE_FAILING_FLOW_ID, PORTABLE_SLOW_FLOW_ID]


def run_dag(airflow: RealAirflow) -> tuple[str, dict[tuple[str, int], str | None]]:
    """Run the DAG; return its run's id, and the state of each task by id and map index."""
    dag_run = airflow.trigger(DAG_ID)
    airflow.wait_for_run(DAG_ID, dag_run)
    return dag_run, {
        (task.task_id, task.map_index): task.state for task in airflow.list_task_instances(DAG_ID, dag_run)
    }


def test_a_flow_that_fails_stops_only_what_needs_all_flows(airflow, sandbox, flows: ExampleFlows) -> None:
    flows.portable[PORTABLE_FAILING_FLOW_ID].next_run(outcome="FAILED", errors=["The source is down"])
    before = len(sandbox.ledger.started)
    dag_run, states = run_dag(airflow)
    assert states == {
        ("list_flows", -1): "success",
        ("choose", -1): "success",
        ("load", 0): "success",
        ("load", 1): "failed",
        ("load", 2): "success",
        ("sum_up", -1): "success",
        ("publish", -1): "upstream_failed",
    }
    assert airflow.get_run_state(DAG_ID, dag_run) == "failed"
    loaded, failed, slow = map(str, CHOSEN)
    assert airflow.get_xcom(DAG_ID, dag_run, "sum_up") == {"loaded": [loaded, slow], "failed": [failed]}
    started = [event.flow_id for event in sandbox.ledger.started[before:]]
    assert sorted(map(int, started)) == CHOSEN


def test_the_instances_are_named_after_their_flows(airflow) -> None:
    dag_run, states = run_dag(airflow)
    assert {*states.values()} == {"success"}
    path = f"{airflow.root}/dags/{DAG_ID}/dagRuns/{dag_run}/taskInstances/load/listMapped"
    names = [one["rendered_map_index"] for one in airflow.get(path, order_by="map_index")["task_instances"]]
    assert names == [str(flow_id) for flow_id in CHOSEN]


def test_without_a_flow_nothing_is_started(airflow, sandbox, flows: ExampleFlows, monkeypatch) -> None:
    for flow_id in CHOSEN:
        monkeypatch.setattr(flows.portable[flow_id], "name", "Orders to nowhere")
    before = len(sandbox.ledger.started)
    dag_run, states = run_dag(airflow)
    assert airflow.get_xcom(DAG_ID, dag_run, "sum_up") == {"loaded": [], "failed": []}
    assert {states[name, -1] for name in ("load", "publish")} == {"skipped"}
    assert len(sandbox.ledger.started) == before
