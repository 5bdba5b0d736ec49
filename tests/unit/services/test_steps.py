"""The steps of a run, from what the servers sent and from what they should not send."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.steps import RunStep
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
    run = replace(read_captured_run("run-get-failed"), raw={"steps": steps})
    assert API.list_steps(run) == ()


@pytest.mark.parametrize("duration", [None, "81", True, -1, [], {}], ids=repr)
def test_a_duration_that_is_none_is_unknown(duration: Any) -> None:
    record = {"steps": {"step_1": {"duration": duration, "status": None, "errorMessage": {}}}, "flowVersion": [1]}
    (step,) = API.list_steps(replace(read_captured_run("run-get-failed"), raw=record))
    assert (step.seconds, step.status, step.title) == (None, "", None)


@pytest.mark.parametrize("steps", [None, {}, "text", [None, 7, "x"]], ids=repr)
def test_tableflow_steps_that_are_none_are_left_out(steps: Any) -> None:
    run = replace(read_captured_run("run-get-failed"), raw={"steps": steps})
    assert TableFlowApi().list_steps(run) == ()


def test_tableflow_shows_the_status_of_each_step() -> None:
    raw = {"steps": [{"step_id": "s1", "status": "completed"}, {}]}
    run = replace(read_captured_run("run-get-failed"), raw=raw)
    assert TableFlowApi().list_steps(run) == (RunStep("s1", None, "completed"), RunStep("", None, ""))


def test_a_service_without_steps_shows_none() -> None:
    assert PortableApi().list_steps(read_captured_run("run-get-failed")) == ()
