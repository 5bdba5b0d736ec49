"""The main job in a real Airflow: wait for a run, read the history, and report errors clearly."""

from __future__ import annotations

import pytest

from tests.airflow.scenario import MALFORMED_ID, UNKNOWN_ID, UNKNOWN_NUMBER, VENDOR_ERROR, Scenario

pytestmark = pytest.mark.airflow

ENDPOINTS = ["flow_status", "workflow_status", "run_attempts", "activepieces_run", "tableflow_run"]

# The service of each task, with which the connection ids in its log start.
SERVICE_BY_TASK = {
    "flow_status": "portable",
    "workflow_status": "portable",
    "run_attempts": "portable",
    "activepieces_run": "activepieces",
    "tableflow_run": "tableflow",
}


def get_error_line(scenario: Scenario, name: str, task_id: str) -> str:
    """Return the line of a failed task's log that states the reason."""
    assert scenario.wait_for_end(name) == "failed"
    lines = scenario.get_log(name, task_id).splitlines()
    return lines[lines.index("error Task failed with exception") + 1]


@pytest.mark.parametrize(
    ("name", "task_id"), [("portable", "loaded"), ("activepieces", "ended"), ("three", "nightly_load")]
)
def test_sensor_waits_through_pending_and_running_and_passes(scenario: Scenario, name: str, task_id: str) -> None:
    assert scenario.wait_for_end(name) == "success"
    log = scenario.get_log(name, task_id)
    assert log.index("is PENDING") < log.index("is RUNNING") < log.index("is SUCCEEDED")


def test_sensor_waits_through_processing_if_the_service_has_no_pending_status(scenario: Scenario) -> None:
    assert scenario.wait_for_end("tableflow") == "success"
    log = scenario.get_log("tableflow", "ended")
    assert log.index("is RUNNING (processing") < log.index("is SUCCEEDED (completed")


def test_sensor_fails_with_the_vendors_own_error_text(scenario: Scenario) -> None:
    error = get_error_line(scenario, "failing", "contacts_loaded")
    assert error.startswith("FlowRunFailed: ")
    assert VENDOR_ERROR in error


def test_tasks_downstream_of_a_failed_run_do_not_run(scenario: Scenario) -> None:
    assert scenario.wait_for_end("failing") == "failed"
    assert scenario.get_states("failing") == {"contacts_loaded": "failed", "build_report": "upstream_failed"}
    assert {*scenario.airflow.get_xcoms(*scenario.dag_runs["failing"], "contacts_loaded")} == {"run_url"}


def test_downstream_task_reads_the_run_and_its_history_from_xcom(scenario: Scenario) -> None:
    assert scenario.wait_for_end("portable") == "success"
    # Two of the flow's three runs succeeded, and the last one loaded the sandbox's 1,500 rows.
    assert scenario.get_result("portable", "judge") == {"rows_loaded": 1500, "success_rate": pytest.approx(2 / 3)}
    assert scenario.wait_for_end("history") == "success"
    assert scenario.get_result("history", "count_by_disposition") == {"SUCCEEDED": 2, "FAILED": 1}


def test_history_has_the_newest_run_first_with_its_result(scenario: Scenario) -> None:
    assert scenario.wait_for_end("history") == "success"
    runs = scenario.get_result("history", "attempts")
    assert runs[0]["run_id"] == str(scenario.live["orders"].id)
    assert [run["disposition"] for run in runs] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert [run["created_at"] for run in runs] == sorted((run["created_at"] for run in runs), reverse=True)


@pytest.mark.parametrize(("name", "live"), [("activepieces", "leads"), ("tableflow", "invoices")])
def test_run_sensor_accepts_the_id_returned_by_a_list_operator(scenario: Scenario, name: str, live: str) -> None:
    assert scenario.wait_for_end(name) == "success"
    assert scenario.get_result(name, "newest")[0]["lifecycle"] in {"PENDING", "RUNNING"}
    run = scenario.get_result(name, "ended")
    assert run["run_id"] == scenario.live[live].id
    assert run["disposition"] == "SUCCEEDED"
    assert scenario.get_result(name, "run") == run


def test_one_dag_waits_for_all_three_services(scenario: Scenario) -> None:
    assert scenario.wait_for_end("three") == "success"
    assert scenario.get_result("three", "report").keys() == {"portable", "activepieces", "tableflow"}


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_every_documented_endpoint_is_read(scenario: Scenario, task_id: str) -> None:
    assert scenario.wait_for_end("valid") == "success"
    result = scenario.get_result("valid", task_id)
    [run] = result if isinstance(result, list) else [result]
    assert (run["service"], run["disposition"]) == (SERVICE_BY_TASK[task_id], "SUCCEEDED")


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_wrong_token_is_reported_with_the_fix(scenario: Scenario, task_id: str) -> None:
    error = get_error_line(scenario, "wrong token", task_id)
    assert error.startswith("AuthenticationError: ")
    assert f"connection '{SERVICE_BY_TASK[task_id]}_wrong'" in error
    assert "password" in error


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_missing_token_is_reported_with_the_fix(scenario: Scenario, task_id: str) -> None:
    error = get_error_line(scenario, "missing token", task_id)
    assert error.startswith("ConfigurationError: ")
    assert f"connection '{SERVICE_BY_TASK[task_id]}_missing' has no password" in error


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_missing_connection_is_reported(scenario: Scenario, task_id: str) -> None:
    assert f"{SERVICE_BY_TASK[task_id]}_nowhere" in get_error_line(scenario, "no connection", task_id)


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_unknown_id_is_reported(scenario: Scenario, task_id: str) -> None:
    error = get_error_line(scenario, "unknown id", task_id)
    assert error.startswith("NotFoundError: ")
    assert UNKNOWN_NUMBER in error or UNKNOWN_ID in error
    assert f"connection '{SERVICE_BY_TASK[task_id]}_default'" in error


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_malformed_id_is_rejected_before_any_request(scenario: Scenario, task_id: str) -> None:
    error = get_error_line(scenario, "malformed id", task_id)
    assert error.startswith("InvalidArgumentError: ")
    assert repr(MALFORMED_ID) in error
