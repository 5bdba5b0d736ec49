"""Polls read only what a wait needs, and nothing that has not changed: with the same outcome as reading all."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from airflow_provider_flowruns.client.responses import read_result
from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.model.calls import Call, Response
from airflow_provider_flowruns.model.errors import UnexpectedResponseError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun
from airflow_provider_flowruns.model.targets import FlowStatusTarget, RunTarget, WorkflowStatusTarget

TOKEN = "made-up-token"
PROJECT = "p" * 21
IDS = tuple(f"{number:021d}" for number in range(3))
STATUS = {"id": 7, "lifecycle": "RUNNING", "disposition": "NONE", "resources": [], "errors": None, "completedAt": None}


def make_settings(service: str) -> Settings:
    extra = {"project_id": PROJECT} if service == "activepieces" else {}
    return parse_settings(service, "c", host=None, schema=None, port=None, password=TOKEN, extra=extra)


def make_row(run_id: str, **fields: Any) -> dict[str, Any]:
    row = {"id": run_id, "flowId": "f" * 21, "projectId": PROJECT, "status": "RUNNING", "tags": ["daily"]}
    return {**row, "flowVersion": {"displayName": "Orders", "trigger": {"code": "x" * 500}}, **fields}


def poll_batch(settings: Settings) -> Call[Any]:
    targets = [RunTarget("activepieces", run_id) for run_id in IDS]
    return next(settings.service.poll_batch(targets, len(targets), 100))


def read(settings: Settings, call: Call[Any], value: Any) -> Any:
    return read_result(settings, call, Response(200, {}, json.dumps(value).encode()))


def show(result: Any) -> Any:
    runs = (result,) if isinstance(result, FlowRun) else result.runs
    return [(run, run.summary()) for run in runs], getattr(runs, "total", None), getattr(runs, "unread", None)


def read_both_ways(settings: Settings, call: Call[Any], value: Any) -> tuple[Any, Any]:
    """Return what is shown of the needed fields, and of all fields; an error counts by its text."""
    shown = []
    for way in (call, replace(call, read_bytes=None)):
        try:
            shown.append(show(read(settings, way, value)))
        except UnexpectedResponseError as error:
            shown.append(str(error))
    return shown[0], shown[1]


def test_rows_that_have_not_changed_are_the_same_runs() -> None:
    settings = make_settings("activepieces")
    first = read(settings, poll_batch(settings), {"data": [make_row(run_id) for run_id in IDS]})
    rows = [make_row(IDS[0]), make_row(IDS[1], status="SUCCEEDED"), make_row(IDS[2])]
    second = read(settings, poll_batch(settings), {"data": rows})
    assert second.runs[0] is first.runs[0]
    assert second.runs[2] is first.runs[2]
    assert second.runs[1].disposition is Disposition.SUCCEEDED
    assert second.runs[1].summary()["details"]["flow_name"] == "Orders"


def test_a_run_that_no_wait_holds_is_forgotten() -> None:
    settings = make_settings("activepieces")
    known: Any = settings.service._known_runs._runs  # type: ignore[attr-defined]
    result = read(settings, poll_batch(settings), {"data": [make_row(IDS[0])]})
    assert len(known) == 1
    del result
    gc.collect()
    assert not known


def test_rows_of_other_runs_are_left_out_unread() -> None:
    settings = make_settings("activepieces")
    other = make_row("z" * 21)
    for _ in range(2):
        result = read(settings, poll_batch(settings), {"data": [other, make_row(IDS[0])]})
        assert [run.run_id for run in result.runs] == [IDS[0]]
        assert (result.runs.total, result.runs.unread) == (2, 0)


def test_a_secret_in_a_needed_field_is_masked() -> None:
    settings = make_settings("activepieces")
    result = read(settings, poll_batch(settings), {"data": [make_row(IDS[0], tags=[TOKEN], status=TOKEN)]})
    assert TOKEN not in json.dumps(result.runs[0].summary())


@pytest.mark.parametrize("target", [FlowStatusTarget("portable", "7"), WorkflowStatusTarget("portable", "7")])
def test_a_status_that_has_not_changed_is_the_same_run(target: FlowStatusTarget | WorkflowStatusTarget) -> None:
    settings = make_settings("portable")
    first, same, changed = (
        read(settings, next(settings.service.poll(target)), {**STATUS, "disposition": disposition})
        for disposition in ("NONE", "NONE", "SUCCEEDED")
    )
    assert first is same
    assert first is not changed


def test_a_flow_and_a_workflow_with_one_status_are_two_runs() -> None:
    settings = make_settings("portable")
    flow = read(settings, next(settings.service.poll(FlowStatusTarget("portable", "7"))), STATUS)
    workflow = read(settings, next(settings.service.poll(WorkflowStatusTarget("portable", "7"))), STATUS)
    assert (flow.kind, workflow.kind) == ("flow", "workflow")


def test_a_status_of_another_flow_is_refused_every_time() -> None:
    settings = make_settings("portable")
    kept = read(settings, next(settings.service.poll(FlowStatusTarget("portable", "7"))), STATUS)
    assert kept.flow_id == "7"
    with pytest.raises(UnexpectedResponseError, match="requested 8"):
        read(settings, next(settings.service.poll(FlowStatusTarget("portable", "8"))), STATUS)


TEXTS = st.sampled_from(["", "x", "RUNNING", "SUCCEEDED", "FAILED", "2026-01-31T12:00:00Z", TOKEN, "\0", "\ud83d", "é"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    *("id", "status", "flowId", "triggeredBy", "created", "startTime", "finishTime", "updated", "tags", "environment"),
    *("projectId", "flowVersion", "flowDisplayName", "flowVersionId", "parentRunId", "failParentOnFailure"),
    *("failedStep", "failedStepName", "stepsCount", "duration", "steps", "pauseMetadata"),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4), min_size=1, max_size=3))
def test_the_needed_fields_of_any_rows_come_to_the_same(changes: list[dict[str, Any]]) -> None:
    settings = make_settings("activepieces")
    rows = [make_row(run_id, **change) for run_id, change in zip(IDS, changes, strict=False)]
    needed, whole = read_both_ways(settings, poll_batch(settings), {"data": rows})
    assert needed == whole


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*STATUS, "status", "details"]), VALUES, max_size=4))
def test_any_status_comes_to_the_same(changes: dict[str, Any]) -> None:
    settings = make_settings("portable")
    call = next(settings.service.poll(FlowStatusTarget("portable", "7")))
    needed, whole = read_both_ways(settings, call, {**STATUS, **changes})
    assert needed == whole
