"""The steps of a run, from what the servers sent and from what they should not send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.steps import RunStep
from airflow_provider_flowruns.polling.messages import describe
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi

CAPTURES = Path(__file__).resolve().parents[2] / "fixtures" / "activepieces"
API = ActivepiecesApi("A" * 21)


def read_captured_run(name: str) -> FlowRun:
    body = json.loads((CAPTURES / f"{name}.json").read_text())["response"]["body"]
    return API.get_flow_run(body["id"]).read(body)


def test_the_steps_of_a_failed_run() -> None:
    trigger, step = API.list_steps(read_captured_run("run-get-failed"))
    assert trigger == RunStep("trigger", "Catch Webhook", "SUCCEEDED")
    assert (step.name, step.title, step.status) == ("step_1", "Fetch orders", "FAILED")
    assert step.seconds == pytest.approx(0.0813, abs=1e-4)
    assert step.error.startswith("Error: Error: upstream returned 500\n")


@pytest.mark.parametrize("name", sorted(path.stem for path in CAPTURES.glob("run-get-*.json")))
def test_the_steps_of_every_captured_run(name) -> None:
    run = read_captured_run(name)
    steps = API.list_steps(run)
    assert [step.name for step in steps] == [*(run.raw["steps"] or {})]
    assert all(step.status and step.title for step in steps)
    records = [step.summary() for step in steps]
    assert json.loads(json.dumps(records)) == records


@pytest.mark.parametrize(
    "steps",
    [None, [], "text", 7, {"step_1": None}, {"step_1": []}],
    ids=repr,
)
def test_what_is_no_step_is_left_out(steps: Any) -> None:
    run = replace(read_captured_run("run-get-failed"), record={"steps": steps})
    assert API.list_steps(run) == ()


@pytest.mark.parametrize("duration", [None, "x", True, -1, 0, [], {}], ids=repr)
def test_a_duration_that_is_none_is_unknown(duration: Any) -> None:
    record = {"steps": {"step_1": {"duration": duration, "status": None, "errorMessage": {}}}, "flowVersion": [1]}
    (step,) = API.list_steps(replace(read_captured_run("run-get-failed"), record=record))
    assert (step.seconds, step.status, step.title) == (None, "", None)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("run-get-running", "step_1"),
        ("run-get-running-no-start-time", "trigger"),
        ("run-get-paused", "step_1"),
        ("run-get-queued", None),
        ("run-get-succeeded", None),
        ("run-get-failed", None),
    ],
)
def test_an_active_run_shows_the_step_that_it_has_reached(name, step) -> None:
    run = read_captured_run(name)
    current = run.current_step()
    assert (current and current.name) == step
    assert current is None or current == API.list_steps(run)[-1]


def test_a_log_line_names_the_step_as_people_do() -> None:
    assert "is RUNNING (at step 'Code')" in describe(read_captured_run("run-get-running"))
    assert "at step" not in describe(read_captured_run("run-get-succeeded"))


def test_a_run_from_a_list_shows_no_step() -> None:
    body = json.loads((CAPTURES / "runs-list-one.json").read_text())["response"]["body"]
    (row,) = body["data"]
    running = {"data": [{**row, "status": "RUNNING", "finishTime": None}]}
    (run,) = API.list_flow_runs().first.read(running).items
    assert (run.is_active, run.current_step()) == (True, None)


@pytest.mark.parametrize("steps", [None, {}, "text", [None, 7, "x"]], ids=repr)
def test_tableflow_steps_that_are_none_are_left_out(steps: Any) -> None:
    run = replace(read_captured_run("run-get-failed"), record={"steps": steps})
    assert TableFlowApi().list_steps(run) == ()


TABLEFLOW_RUN: dict[str, Any] = {
    "id": "Wp7kRnT2mX4vQ9bL",
    "flow_id": "dk4g1tUg1uHLs8YU",
    "status": "processing",
    "created_at": 100,
    "start_time": 100,
    "current_attempt": 2,
    "flow": {"steps": [{"id": "read", "title": "Read the invoice"}, {"id": "match", "title": "Match the order"}]},
    "steps": [
        {"step_id": "read", "attempt": 1, "status": "failed", "start_time": 100, "end_time": 130, "error": "torn"},
        {
            "step_id": "read",
            "attempt": 2,
            "status": "completed",
            "start_time": 200,
            "end_time": 260,
            "duration": 60_500,
        },
        {"step_id": "match", "attempt": 2, "status": "processing", "start_time": 260},
    ],
}


def read_tableflow_run(**fields: Any) -> FlowRun:
    record = {**TABLEFLOW_RUN, **fields}
    return TableFlowApi().get_flow_run(str(record["id"])).read(record)


def test_tableflow_shows_the_steps_of_the_newest_attempt() -> None:
    assert TableFlowApi().list_steps(read_tableflow_run()) == (
        RunStep("read", "Read the invoice", "completed", 60.5),
        RunStep("match", "Match the order", "processing"),
    )
    (failed,) = TableFlowApi().list_steps(read_tableflow_run(steps=TABLEFLOW_RUN["steps"][:1], current_attempt=1))
    assert failed == RunStep("read", "Read the invoice", "failed", 30.0, "torn")


def test_an_active_tableflow_run_shows_the_step_that_it_has_reached() -> None:
    assert "is RUNNING (processing, at step 'Match the order')" in describe(read_tableflow_run())
    assert "at step" not in describe(read_tableflow_run(status="completed", end_time=300))
    assert read_tableflow_run(steps=TABLEFLOW_RUN["steps"][:2]).current_step() is None
    assert read_tableflow_run(steps=None, flow_attempts=7).current_step() is None


def test_a_service_without_steps_shows_none() -> None:
    assert PortableApi().list_steps(read_captured_run("run-get-failed")) == ()
