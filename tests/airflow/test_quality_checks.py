"""A DAG stops at an implausible load, and what the check found is in XCom and in its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow


def add_flow(sandbox: Sandbox, *loaded: int) -> Any:
    """Return a flow with one completed run for each number of rows."""
    flow = sandbox.portable.add_flow()
    for number, rows in enumerate(loaded):
        flow.add_run(ago=600.0 - number, resources=[{"name": "orders", "loaded": rows}])
    return flow


@pytest.fixture(scope="module")
def flows(live_sandbox: Sandbox) -> dict[str, Any]:
    return {"plausible": add_flow(live_sandbox, 100, 110, 90, 95), "empty": add_flow(live_sandbox, 100, 110, 90, 0)}


@pytest.fixture(scope="module")
def dag_run(airflow: RealAirflow, flows: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("history") / "runs.jsonl"
    run_id = airflow.trigger(
        "quality_checks", {name: str(flow.id) for name, flow in flows.items()} | {"path": str(path)}
    )
    airflow.wait_for_run("quality_checks", run_id, timeout=240)
    return run_id


def test_only_the_check_of_the_empty_load_fails_and_what_follows_does_not_run(airflow, dag_run) -> None:
    tasks = airflow.list_task_instances("quality_checks", dag_run)
    states = sorted((one.task_id, one.map_index, one.state) for one in tasks)
    assert states == [
        ("archive", -1, "success"),
        ("attempts", 0, "success"),
        ("attempts", 1, "success"),
        ("check", 0, "success"),
        ("check", 1, "failed"),
        ("file", -1, "success"),
        ("flow_ids", -1, "success"),
        ("one", -1, "success"),
        ("publish", -1, "upstream_failed"),
        ("reports", -1, "success"),
        ("text", -1, "success"),
    ]


def test_the_reports_are_in_xcom_that_of_the_failed_check_too(airflow, dag_run, flows) -> None:
    plausible, empty = (str(flows[name].id) for name in ("plausible", "empty"))
    assert airflow.get_xcom("quality_checks", dag_run, "reports") == {plausible: True, empty: False}


def test_a_list_as_json_text_and_a_file_are_judged(airflow, dag_run, flows) -> None:
    text = airflow.get_xcom("quality_checks", dag_run, "text")
    assert (text["passed"], text["flow_id"]) == (False, str(flows["empty"].id))
    file = airflow.get_xcom("quality_checks", dag_run, "file")
    assert (file["passed"], file["flow_id"]) == (True, str(flows["plausible"].id))
    assert file["checks"][0]["value"] == 4


def test_the_log_has_the_table_and_the_warning(airflow, dag_run) -> None:
    log = airflow.get_log("quality_checks", dag_run, "text")
    assert "allow_zero_rows         failed          0          1  run " in log
    assert "1 of 3 quality checks of flow " in log
