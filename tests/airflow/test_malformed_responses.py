"""Malformed responses that must not break the triggerer: the affected wait and all others end correctly."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.airflow.dags_added_later.malformed_responses import WATCHED_FLOW_ID
from tools.real_airflow import RealAirflow
from tools.secret_scan import find_secrets
from tools.stepped_clock import SteppedClock

pytestmark = pytest.mark.airflow

HERE = Path(__file__).resolve().parent
DAG = "malformed_responses"
OTHERS = 49
# How long the other runs are RUNNING, in seconds on a clock that only the test advances.
RUNNING_SECONDS = 600.0
CLEAN_TEXT = "cut \ufffd"
UNPAIRED_SURROGATE = r"cut \ud83d"
COMPLETED_AT = "2026-01-31T12:00:00Z"


def build_run(run_id: str, fields: str) -> str:
    """Return a run of Activepieces as JSON text; its fields are inserted verbatim."""
    return f'{{"id":"{run_id}",{fields}}}'


def build_failed_run(run_id: str) -> str:
    return build_run(run_id, f'"status":"FAILED","failedStep":{{"message":"{UNPAIRED_SURROGATE}"}}')


def build_malformed_responses(run_id: str, token: str) -> list[tuple[int, str | bytes]]:
    """Return twenty responses, none of which contains a valid final status."""
    encoded = base64.b64encode(f"Bearer {token}".encode()).decode()
    escaped = "".join(f"\\u{ord(char):04x}" for char in token)
    succeeded = build_run(run_id, '"status":"SUCCEEDED"')
    return [
        (200, build_run(run_id, rf'"status":"{UNPAIRED_SURROGATE}"')),
        (200, build_run(run_id, r'"status":"SUCCEEDED\u0000"')),
        (200, build_run(run_id, '"status":"SUCCEEDED \u017f"').encode("utf-16")),
        (200, b'\xef\xbb\xbf{"id":"' + run_id.encode() + b'","status":"\xff\xed\xa0\xbd"}'),
        (200, build_run(run_id, '"status":["SUCCEEDED"]')),
        (200, build_run(run_id, '"status":{"SUCCEEDED":true}')),
        (200, build_run(run_id, f'"status":{"9" * 5_000}')),
        (200, build_run(run_id, '"status":NaN,"created":-Infinity,"startTime":1e999')),
        (200, build_run(run_id, f'"status":"{token} {encoded}"')),
        (200, build_run(run_id, f'"status":"{escaped}"')),
        (200, build_run(run_id, '"status":"RUNNING","created":"9999-12-31T23:59:59.999999Z","startTime":-1e300')),
        (200, build_run(run_id, f'"status":"RUNNING","triggeredBy":{10**40},"failedStep":{"[" * 900}{"]" * 900}')),
        (200, build_run(run_id, f'"status":"{"x" * 1_000_000}"')),
        (200, build_run("A" * 21, '"status":"SUCCEEDED"')),
        (200, f"[{succeeded}]"),
        (200, '{"id":{},"status":"SUCCEEDED"}'),
        (200, succeeded[:-1]),
        (200, "[" * 100_000),
        (502, f"<html>{token} {UNPAIRED_SURROGATE}</html>\0"),
        (503, f'{{"title":"{UNPAIRED_SURROGATE}","detail":"{token}"}}'),
    ]


def build_attempts(*rows: str) -> str:
    return f'{{"data":[{",".join(rows)}]}}'


def build_attempt(run_id: int, state: str) -> str:
    resources = rf'"resources":[{{"name":"{UNPAIRED_SURROGATE}","loaded":7,"errors":["{UNPAIRED_SURROGATE}"]}}]'
    return f'{{"id":{run_id},"createdAt":"2026-01-31T11:00:0{run_id}Z",{resources},{state}}}'


RUNNING, SUCCEEDED = (
    '"lifecycle":"RUNNING"',
    f'"lifecycle":"NOT_RUNNING","disposition":"SUCCEEDED","completedAt":"{COMPLETED_AT}"',
)


@dataclass
class CompletedDagRun:
    """A completed DAG run, and the ids of the triggerer's processes before and after it."""

    airflow: RealAirflow
    run_id: str
    token: str
    runs: list[str]
    triggerer: list[set[int]]

    def get_log(self, task_id: str) -> str:
        return self.airflow.get_log(DAG, self.run_id, task_id)

    def get_result(self, task_id: str, map_index: int = -1) -> Any:
        return self.airflow.get_xcom(DAG, self.run_id, task_id, map_index=map_index)


@pytest.fixture(scope="module")
def dag_run(
    airflow: RealAirflow, stepped_sandbox: Sandbox, stepped_clock: SteppedClock, dags_folder: Path
) -> Iterator[CompletedDagRun]:
    portable, activepieces, faults = stepped_sandbox.portable, stepped_sandbox.activepieces, stepped_sandbox.faults
    stepped_clock.advance(time.time() - stepped_clock())
    others, named, history = portable.add_flow(), portable.add_flow(), portable.add_flow()
    watched = portable.add_flow(flow_id=WATCHED_FLOW_ID)
    runs = [str(others.add_run(waiting=0, running=RUNNING_SECONDS).id) for _ in range(OTHERS)]
    malformed, poked = (str(activepieces.add_flow().add_run(waiting=0, running=RUNNING_SECONDS).id) for _ in range(2))
    headers = {"Content-Type": "application/json"}

    def add_response(path: str, body: str | bytes, times: int | None, status: int = 200) -> None:
        faults.add("status", path=path, times=times, status=status, body=body, headers=headers)

    for status, body in build_malformed_responses(malformed, activepieces.token):
        add_response(f"/flow-runs/{malformed}$", body, 1, status)
    add_response(f"/flow-runs/{malformed}$", build_failed_run(malformed), None)
    add_response(f"/flow-runs/{poked}$", build_failed_run(poked), None)
    add_response(f"/flows/{named.id}/status$", f'{{"id":{named.id},{RUNNING}}}', 2)
    add_response(f"/flows/{named.id}/status$", build_attempt(0, SUCCEEDED).replace('"id":0', f'"id":{named.id}'), None)
    add_response(
        f"/flows/{history.id}/run$",
        build_attempts(build_attempt(3, SUCCEEDED), '{"id":{}}', "7", build_attempt(1, SUCCEEDED)),
        None,
    )
    add_response(f"/flows/{watched.id}/run$", build_attempts(build_attempt(1, RUNNING)), 1)
    add_response(f"/flows/{watched.id}/run$", build_attempts(build_attempt(1, SUCCEEDED)), None)

    file = Path(shutil.copy(HERE / "dags_added_later" / "malformed_responses.py", dags_folder))
    try:
        airflow.wait_for("the DAG", lambda: DAG in _get_dag_ids(airflow), 120)
        before = airflow.list_process_ids("triggerer")
        conf = {"malformed": malformed, "poked": poked, "flow": str(others.id), "runs": runs}
        run_id = airflow.trigger(DAG, {**conf, "named": str(named.id), "history": str(history.id)})
        airflow.wait_for(
            "the deferral of all", lambda: _list_states(airflow, run_id, "others").count("deferred") == OTHERS, 300
        )
        airflow.wait_for(
            "the end of the malformed one", lambda: "failed" in _list_states(airflow, run_id, "malformed"), 300
        )
        stepped_clock.advance(RUNNING_SECONDS)
        airflow.wait_for_run(DAG, run_id, timeout=240)
        yield CompletedDagRun(
            airflow, run_id, activepieces.token, runs, [before, airflow.list_process_ids("triggerer")]
        )
    finally:
        file.unlink()
        faults.clear()


def _get_dag_ids(airflow: RealAirflow) -> set[str]:
    return {dag["dag_id"] for dag in airflow.get("/api/v2/dags", limit=100)["dags"]}


def _list_states(airflow: RealAirflow, run_id: str, task_id: str) -> list[str | None]:
    """Return a task's states from the database: requests for 50 task instances keep the api-server busy."""
    query = "select state from task_instance where dag_id = ? and run_id = ? and task_id = ?"
    with closing(sqlite3.connect(f"file:{airflow.database}?mode=ro", uri=True, timeout=30)) as database:
        return [state for (state,) in database.execute(query, (DAG, run_id, task_id))]


def test_all_other_waits_end_correctly(dag_run: CompletedDagRun) -> None:
    tasks = dag_run.airflow.list_task_instances(DAG, dag_run.run_id)
    assert {task.task_id for task in tasks if task.state != "success"} == {"malformed", "poked"}
    others = [task.map_index for task in tasks if task.task_id == "others"]
    assert len(others) == OTHERS
    assert [dag_run.get_result("others", index)["run_id"] for index in sorted(others)] == dag_run.runs


def test_the_triggerer_keeps_running(dag_run: CompletedDagRun) -> None:
    before, after = dag_run.triggerer
    assert len(before) >= 2  # the job itself, and the process in which its triggers run
    assert before <= after


def test_the_wait_with_malformed_responses_ends_with_the_runs_failure(dag_run: CompletedDagRun) -> None:
    log = dag_run.get_log("malformed")
    run = dag_run.airflow.get_rendered_fields(DAG, dag_run.run_id, "malformed")["run_id"]
    assert f"FlowRunFailed: FR101: run {run} failed: {CLEAN_TEXT}" in log
    assert "Trigger failure" not in log


def test_a_poking_task_ends_with_the_same_error(dag_run: CompletedDagRun) -> None:
    assert f"failed: {CLEAN_TEXT}" in dag_run.get_log("poked")
    assert "FlowRunFailed" in dag_run.get_log("poked")


@pytest.mark.parametrize("task_id", ["named_poked", "named_deferred"])
def test_a_name_that_cannot_be_encoded_is_replaced_in_xcom(dag_run: CompletedDagRun, task_id: str) -> None:
    assert dag_run.get_result(task_id)["resources"] == [
        {"name": CLEAN_TEXT, "extracted": 0, "analyzed": 0, "loaded": 7, "errors": [CLEAN_TEXT]}
    ]


def test_a_history_is_cleaned_and_skips_malformed_rows(dag_run: CompletedDagRun) -> None:
    runs = dag_run.get_result("history")
    assert [run["run_id"] for run in runs] == ["3", "1"]
    assert {resource["name"] for run in runs for resource in run["resources"]} == {CLEAN_TEXT}
    assert "cannot be read and are left out" in dag_run.get_log("history")


def test_an_asset_event_is_cleaned(dag_run: CompletedDagRun) -> None:
    airflow = dag_run.airflow

    def list_extras() -> list[Any]:
        runs = airflow.get("/api/v2/dags/malformed_responses_consumer/dagRuns")["dag_runs"]
        done = [run["dag_run_id"] for run in runs if run["state"] == "success"]
        return [
            extra
            for run_id in done
            for extra in airflow.get_xcom("malformed_responses_consumer", run_id, "event_extras")
        ]

    airflow.wait_for("the event", lambda: bool(list_extras()), 120)
    (event,) = list_extras()
    assert event["payload"]["run_id"] == "1"
    assert event["payload"]["resources"][0]["name"] == CLEAN_TEXT


def test_no_token_from_a_response_is_stored(dag_run: CompletedDagRun) -> None:
    encoded = base64.b64encode(f"Bearer {dag_run.token}".encode()).decode()
    assert find_secrets(dag_run.airflow.home, [dag_run.token, encoded[12:-4], json.dumps(dag_run.token)]) == []
