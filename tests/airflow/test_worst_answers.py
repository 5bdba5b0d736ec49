"""Answers that would end a process which passed them on: the wait they are for ends as it should, and all others do."""

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
from tests.airflow.later_dags.worst_answers import WATCHED_FLOW_ID
from tools.leaks import find_leaks
from tools.real_airflow import RealAirflow
from tools.stage import SteppedClock

pytestmark = pytest.mark.airflow

HERE = Path(__file__).resolve().parent
DAG = "worst_answers"
OTHERS = 49
# The other runs stay RUNNING for so long on the held sandbox's clock, which only the test moves.
RUNNING = 600.0
CLEAN = "cut \ufffd"
CUT = r"cut \ud83d"
ENDED = "2026-01-31T12:00:00Z"


def record(run_id: str, fields: str) -> str:
    """Return a run of Activepieces as JSON text; its fields are written as they are."""
    return f'{{"id":"{run_id}",{fields}}}'


def failed(run_id: str) -> str:
    return record(run_id, f'"status":"FAILED","failedStep":{{"message":"{CUT}"}}')


def worst(run_id: str, token: str) -> list[tuple[int, str | bytes]]:
    """Return twenty answers, none of which says how the run ended."""
    encoded = base64.b64encode(f"Bearer {token}".encode()).decode()
    escaped = "".join(f"\\u{ord(one):04x}" for one in token)
    succeeded = record(run_id, '"status":"SUCCEEDED"')
    return [
        (200, record(run_id, rf'"status":"{CUT}"')),
        (200, record(run_id, r'"status":"SUCCEEDED\u0000"')),
        (200, record(run_id, '"status":"SUCCEEDED \u017f"').encode("utf-16")),
        (200, b'\xef\xbb\xbf{"id":"' + run_id.encode() + b'","status":"\xff\xed\xa0\xbd"}'),
        (200, record(run_id, '"status":["SUCCEEDED"]')),
        (200, record(run_id, '"status":{"SUCCEEDED":true}')),
        (200, record(run_id, f'"status":{"9" * 5_000}')),
        (200, record(run_id, '"status":NaN,"created":-Infinity,"startTime":1e999')),
        (200, record(run_id, f'"status":"{token} {encoded}"')),
        (200, record(run_id, f'"status":"{escaped}"')),
        (200, record(run_id, '"status":"RUNNING","created":"9999-12-31T23:59:59.999999Z","startTime":-1e300')),
        (200, record(run_id, f'"status":"RUNNING","triggeredBy":{10**40},"failedStep":{"[" * 900}{"]" * 900}')),
        (200, record(run_id, f'"status":"{"x" * 1_000_000}"')),
        (200, record("A" * 21, '"status":"SUCCEEDED"')),
        (200, f"[{succeeded}]"),
        (200, '{"id":{},"status":"SUCCEEDED"}'),
        (200, succeeded[:-1]),
        (200, "[" * 100_000),
        (502, f"<html>{token} {CUT}</html>\0"),
        (503, f'{{"title":"{CUT}","detail":"{token}"}}'),
    ]


def attempts(*rows: str) -> str:
    return f'{{"data":[{",".join(rows)}]}}'


def attempt(run_id: int, state: str) -> str:
    named = rf'"resources":[{{"name":"{CUT}","loaded":7,"errors":["{CUT}"]}}]'
    return f'{{"id":{run_id},"createdAt":"2026-01-31T11:00:0{run_id}Z",{named},{state}}}'


GOING, DONE = '"lifecycle":"RUNNING"', f'"lifecycle":"NOT_RUNNING","disposition":"SUCCEEDED","completedAt":"{ENDED}"'


@dataclass
class Ended:
    """The DAG run when it has ended, and which processes were the triggerer before and afterwards."""

    airflow: RealAirflow
    run_id: str
    token: str
    runs: list[str]
    triggerer: list[set[int]]

    def log(self, task_id: str) -> str:
        return self.airflow.log(DAG, self.run_id, task_id)

    def result(self, task_id: str, map_index: int = -1) -> Any:
        return self.airflow.xcom(DAG, self.run_id, task_id, map_index=map_index)


@pytest.fixture(scope="module")
def ended(airflow: RealAirflow, held_sandbox: Sandbox, held_clock: SteppedClock, dags_folder: Path) -> Iterator[Ended]:
    portable, activepieces, faults = held_sandbox.portable, held_sandbox.activepieces, held_sandbox.faults
    held_clock.advance(time.time() - held_clock())
    others, named, history = portable.add_flow(), portable.add_flow(), portable.add_flow()
    watched = portable.add_flow(flow_id=WATCHED_FLOW_ID)
    runs = [str(others.add_run(waiting=0, running=RUNNING).id) for _ in range(OTHERS)]
    bad, poked = (str(activepieces.add_flow().add_run(waiting=0, running=RUNNING).id) for _ in range(2))
    headers = {"Content-Type": "application/json"}

    def put(path: str, body: str | bytes, times: int | None, status: int = 200) -> None:
        faults.add("status", path=path, times=times, status=status, body=body, headers=headers)

    for status, body in worst(bad, activepieces.token):
        put(f"/flow-runs/{bad}$", body, 1, status)
    put(f"/flow-runs/{bad}$", failed(bad), None)
    put(f"/flow-runs/{poked}$", failed(poked), None)
    put(f"/flows/{named.id}/status$", f'{{"id":{named.id},{GOING}}}', 2)
    put(f"/flows/{named.id}/status$", attempt(0, DONE).replace('"id":0', f'"id":{named.id}'), None)
    put(f"/flows/{history.id}/run$", attempts(attempt(3, DONE), '{"id":{}}', "7", attempt(1, DONE)), None)
    put(f"/flows/{watched.id}/run$", attempts(attempt(1, GOING)), 1)
    put(f"/flows/{watched.id}/run$", attempts(attempt(1, DONE)), None)

    file = Path(shutil.copy(HERE / "later_dags" / "worst_answers.py", dags_folder))
    try:
        airflow.wait_for("the DAG", lambda: DAG in _dag_ids(airflow), 120)
        before = airflow.processes("triggerer")
        conf = {"worst": bad, "poked": poked, "flow": str(others.id), "runs": runs}
        run_id = airflow.trigger(DAG, {**conf, "named": str(named.id), "history": str(history.id)})
        airflow.wait_for(
            "the deferral of all", lambda: _states(airflow, run_id, "others").count("deferred") == OTHERS, 300
        )
        airflow.wait_for("the end of one", lambda: "failed" in _states(airflow, run_id, "worst"), 300)
        held_clock.advance(RUNNING)
        airflow.wait_run(DAG, run_id, timeout=240)
        yield Ended(airflow, run_id, activepieces.token, runs, [before, airflow.processes("triggerer")])
    finally:
        file.unlink()
        faults.clear()


def _dag_ids(airflow: RealAirflow) -> set[str]:
    return {dag["dag_id"] for dag in airflow.get("/api/v2/dags", limit=100)["dags"]}


def _states(airflow: RealAirflow, run_id: str, task_id: str) -> list[str | None]:
    """Return the states of a task as the database has them: asking for so many keeps the api-server busy."""
    query = "select state from task_instance where dag_id = ? and run_id = ? and task_id = ?"
    with closing(sqlite3.connect(f"file:{airflow.database}?mode=ro", uri=True, timeout=30)) as database:
        return [state for (state,) in database.execute(query, (DAG, run_id, task_id))]


def test_all_other_waits_end_right(ended: Ended) -> None:
    tasks = ended.airflow.task_instances(DAG, ended.run_id)
    assert {one.task_id for one in tasks if one.state != "success"} == {"worst", "poked"}
    others = [one.map_index for one in tasks if one.task_id == "others"]
    assert len(others) == OTHERS
    assert [ended.result("others", index)["run_id"] for index in sorted(others)] == ended.runs


def test_the_triggerer_lives_on(ended: Ended) -> None:
    before, afterwards = ended.triggerer
    assert len(before) >= 2  # the job itself, and the process in which its triggers run
    assert before <= afterwards


def test_the_wait_that_got_the_worst_answers_ends_with_the_runs_own_failure(ended: Ended) -> None:
    log = ended.log("worst")
    run = ended.airflow.rendered_fields(DAG, ended.run_id, "worst")["run_id"]
    assert f"FlowRunFailed: run {run} failed: {CLEAN}" in log
    assert "Trigger failure" not in log


def test_a_poking_task_ends_with_the_same_text(ended: Ended) -> None:
    assert f"failed: {CLEAN}" in ended.log("poked")
    assert "FlowRunFailed" in ended.log("poked")


@pytest.mark.parametrize("task_id", ["named_poked", "named_deferred"])
def test_a_name_that_cannot_be_encoded_is_clean_in_xcom(ended: Ended, task_id: str) -> None:
    assert ended.result(task_id)["resources"] == [
        {"name": CLEAN, "extracted": 0, "analyzed": 0, "loaded": 7, "errors": [CLEAN]}
    ]


def test_a_history_is_clean_and_leaves_out_what_cannot_be_read(ended: Ended) -> None:
    runs = ended.result("history")
    assert [run["run_id"] for run in runs] == ["3", "1"]
    assert {resource["name"] for run in runs for resource in run["resources"]} == {CLEAN}
    assert "cannot be read and are left out" in ended.log("history")


def test_an_asset_event_is_clean(ended: Ended) -> None:
    airflow = ended.airflow

    def told() -> list[Any]:
        runs = airflow.get("/api/v2/dags/worst_answers_told/dagRuns")["dag_runs"]
        done = [run["dag_run_id"] for run in runs if run["state"] == "success"]
        return [extra for run_id in done for extra in airflow.xcom("worst_answers_told", run_id, "told")]

    airflow.wait_for("the event", lambda: bool(told()), 120)
    (event,) = told()
    assert event["payload"]["run_id"] == "1"
    assert event["payload"]["resources"][0]["name"] == CLEAN


def test_no_token_that_was_sent_back_is_anywhere(ended: Ended) -> None:
    encoded = base64.b64encode(f"Bearer {ended.token}".encode()).decode()
    assert find_leaks(ended.airflow.home, [ended.token, encoded[12:-4], json.dumps(ended.token)]) == []
