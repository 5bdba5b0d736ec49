"""The main job in a real Airflow: wait for a run, read the history, and say clearly what is wrong."""

from __future__ import annotations

import pytest

from tests.airflow.play import IMPOSSIBLE_ID, UNKNOWN_ID, UNKNOWN_NUMBER, VENDOR_ERROR, Play

pytestmark = pytest.mark.airflow

ENDPOINTS = ["flow_status", "workflow_status", "run_attempts", "activepieces_run", "tableflow_run"]

# How the log names a connection, after the service that a task asks.
CONNECTION_OF = {
    "flow_status": "portable",
    "workflow_status": "portable",
    "run_attempts": "portable",
    "activepieces_run": "activepieces",
    "tableflow_run": "tableflow",
}


def error_of(play: Play, name: str, task_id: str) -> str:
    """Return the one line of a failed task's log that says why, as a user reads it."""
    assert play.end(name) == "failed"
    lines = play.log(name, task_id).splitlines()
    return lines[lines.index("error Task failed with exception") + 1]


@pytest.mark.parametrize(
    ("name", "task_id"), [("portable", "loaded"), ("activepieces", "ended"), ("three", "nightly_load")]
)
def test_sensor_waits_through_pending_and_running_and_passes(play: Play, name: str, task_id: str) -> None:
    assert play.end(name) == "success"
    log = play.log(name, task_id)
    assert log.index("is PENDING") < log.index("is RUNNING") < log.index("is SUCCEEDED")


def test_sensor_waits_through_processing_where_the_service_knows_no_pending(play: Play) -> None:
    assert play.end("tableflow") == "success"
    log = play.log("tableflow", "ended")
    assert log.index("is RUNNING (processing)") < log.index("is SUCCEEDED (completed)")


def test_sensor_fails_with_the_vendors_own_error_text(play: Play) -> None:
    error = error_of(play, "failing", "contacts_loaded")
    assert error.startswith("FlowRunFailed: ")
    assert VENDOR_ERROR in error


def test_nothing_downstream_of_a_failed_run_runs(play: Play) -> None:
    assert play.end("failing") == "failed"
    assert play.states("failing") == {"contacts_loaded": "failed", "build_report": "upstream_failed"}
    assert {*play.airflow.xcoms(*play.dag_runs["failing"], "contacts_loaded")} == {"run_url"}


def test_downstream_task_reads_the_run_and_its_history_from_xcom(play: Play) -> None:
    assert play.end("portable") == "success"
    # Two of the flow's three runs succeeded, and the last one loaded the sandbox's 1,500 rows.
    assert play.result("portable", "judge") == {"rows_loaded": 1500, "success_rate": pytest.approx(2 / 3)}
    assert play.end("history") == "success"
    assert play.result("history", "count_by_disposition") == {"SUCCEEDED": 2, "FAILED": 1}


def test_history_has_the_newest_run_first_with_its_result(play: Play) -> None:
    assert play.end("history") == "success"
    runs = play.result("history", "attempts")
    assert runs[0]["run_id"] == str(play.live["orders"].id)
    assert [run["disposition"] for run in runs] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert [run["created_at"] for run in runs] == sorted((run["created_at"] for run in runs), reverse=True)


@pytest.mark.parametrize(("name", "live"), [("activepieces", "leads"), ("tableflow", "invoices")])
def test_run_sensor_takes_the_id_that_a_list_operator_found(play: Play, name: str, live: str) -> None:
    assert play.end(name) == "success"
    assert play.result(name, "newest")[0]["lifecycle"] in {"PENDING", "RUNNING"}
    run = play.result(name, "ended")
    assert run["run_id"] == play.live[live].id
    assert run["disposition"] == "SUCCEEDED"
    assert play.result(name, "run") == run


def test_one_dag_waits_for_all_three_services(play: Play) -> None:
    assert play.end("three") == "success"
    assert play.result("three", "report").keys() == {"portable", "activepieces", "tableflow"}


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_every_documented_endpoint_is_read(play: Play, task_id: str) -> None:
    assert play.end("good") == "success"
    result = play.result("good", task_id)
    [run] = result if isinstance(result, list) else [result]
    assert (run["service"], run["disposition"]) == (CONNECTION_OF[task_id], "SUCCEEDED")


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_wrong_token_is_named_with_what_to_do(play: Play, task_id: str) -> None:
    error = error_of(play, "wrong token", task_id)
    assert error.startswith("AuthenticationError: ")
    assert f"connection '{CONNECTION_OF[task_id]}_wrong'" in error
    assert "password" in error


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_missing_token_is_named_with_what_to_do(play: Play, task_id: str) -> None:
    error = error_of(play, "missing token", task_id)
    assert error.startswith("ConfigurationError: ")
    assert f"connection '{CONNECTION_OF[task_id]}_missing' has no password" in error


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_missing_connection_is_named(play: Play, task_id: str) -> None:
    assert f"{CONNECTION_OF[task_id]}_nowhere" in error_of(play, "no connection", task_id)


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_unknown_id_is_named(play: Play, task_id: str) -> None:
    error = error_of(play, "unknown id", task_id)
    assert error.startswith("NotFound: ")
    assert UNKNOWN_NUMBER in error or UNKNOWN_ID in error
    assert f"connection '{CONNECTION_OF[task_id]}_default'" in error


@pytest.mark.parametrize("task_id", ENDPOINTS)
def test_impossible_id_is_refused_before_any_request(play: Play, task_id: str) -> None:
    error = error_of(play, "impossible id", task_id)
    assert error.startswith("InvalidArgument: ")
    assert repr(IMPOSSIBLE_ID) in error
