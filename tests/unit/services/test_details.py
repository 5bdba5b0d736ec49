"""``details`` in the summaries of the three services: what gets in, what never does, and how large it gets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model.calls import Response
from airflow_provider_flowruns.model.runs import MAX_DETAILS_BYTES, RunSummary
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.activepieces_details import MAX_TAGS, ActivepiecesDetails
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.portable_details import PortableDetails
from airflow_provider_flowruns.services.tableflow import TableFlowApi
from airflow_provider_flowruns.services.tableflow_details import StepDetails, TableFlowDetails

examples = settings(deadline=None, derandomize=True, database=None, max_examples=100)

RUN_ID, PIECES_RUN_ID = "Wp7kRnT2mX4vQ9bL", "NmSGbOWEwbzGCZLFIsWug"


def summarize_tableflow(**fields: Any) -> RunSummary:
    record = {"id": RUN_ID, "flow_id": "dk4g1tUg1uHLs8YU", "status": "completed", "end_time": 1_700_000_030, **fields}
    call = TableFlowApi().get_flow_run(RUN_ID)
    return call.read(Response(200, {}, json.dumps(record).encode()).json()).summary()


def summarize_activepieces(**fields: Any) -> RunSummary:
    record = {"id": PIECES_RUN_ID, "flowId": "2QpBbEMhRPQUSIMYzcsYh", "status": "SUCCEEDED", **fields}
    return ActivepiecesApi().get_flow_run(PIECES_RUN_ID).read(record).summary()


# -- all services


def test_every_field_is_always_there() -> None:
    portable = PortableApi().get_flow_status("5").read({"id": 5}).summary()
    assert portable["details"].keys() == get_type_hints(PortableDetails).keys()
    assert summarize_activepieces()["details"].keys() == get_type_hints(ActivepiecesDetails).keys()
    details = summarize_tableflow(steps=[{"step_id": "step_1"}])["details"]
    assert details.keys() == get_type_hints(TableFlowDetails).keys()
    assert details["steps"][0].keys() == get_type_hints(StepDetails).keys()


# -- Portable


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"createdAt": "2023-06-12T20:03:00Z", "completedAt": "2023-06-12T20:08:34Z"}, 334.0),
        ({"createdAt": "2023-06-12T20:03:00Z", "completedAt": None}, None),
        ({"createdAt": "2023-06-12T20:03:00Z", "completedAt": "2023-06-12T20:02:00Z"}, None),
        ({"completedAt": "2023-06-12T20:08:34Z"}, None),
    ],
)
def test_the_duration_of_a_run_attempt(fields: dict[str, Any], seconds: float | None) -> None:
    page = PortableApi().get_run_attempts("5").first.read({"data": [{"id": 1, "flow": 5, **fields}]})
    assert page.items[0].summary()["details"] == {"duration_seconds": seconds}


# -- Activepieces


FAILED = {
    "status": "FAILED",
    "tags": ["nightly", "eu"],
    "environment": "PRODUCTION",
    "projectId": "19NxIjX88XDYnuT9t5cwP",
    "flowVersion": {"displayName": "Orders", "trigger": {"settings": {"input": {"password": "hidden"}}}},
    "flowVersionId": "SY2YBEOwBDODgIYhS0YUR",
    "parentRunId": "KyIFOJIeOvLfy3DZxyhGA",
    "failParentOnFailure": True,
    "failedStep": {"name": "step_1", "displayName": "Fetch", "message": '{"__apErrorVersion":1,"message":"HTTP 500"}'},
    "stepsCount": 3,
    "startTime": "2026-11-22T05:51:14.387Z",
    "finishTime": "2026-11-22T05:51:14.507Z",
    "steps": {"step_1": {"input": {"password": "hidden"}, "output": "hidden"}},
}


def test_activepieces_details() -> None:
    assert summarize_activepieces(**FAILED)["details"] == {
        "tags": ["nightly", "eu"],
        "environment": "PRODUCTION",
        "project_id": "19NxIjX88XDYnuT9t5cwP",
        "flow_name": "Orders",
        "flow_version_id": "SY2YBEOwBDODgIYhS0YUR",
        "parent_run_id": "KyIFOJIeOvLfy3DZxyhGA",
        "fail_parent_on_failure": True,
        "failed_step": {"name": "step_1", "display_name": "Fetch", "message": "HTTP 500"},
        "steps_count": 3,
        "duration_seconds": 0.12,
    }


def test_a_batch_has_the_same_details_as_a_single_read() -> None:
    api = ActivepiecesApi(project_id="19NxIjX88XDYnuT9t5cwP")
    record = {"id": PIECES_RUN_ID, "flowId": "2QpBbEMhRPQUSIMYzcsYh", **FAILED}
    (run,) = api.get_flow_runs([PIECES_RUN_ID]).read({"data": [record]}).runs
    assert run.summary() == api.get_flow_run(PIECES_RUN_ID).read(record).summary()
    assert "hidden" not in repr((run.raw, run.build_details))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"failedStep": {}, "parentRunId": "", "flowVersion": None, "tags": None, "stepsCount": None}, {}),
        ({"flowDisplayName": "Old"}, {"flow_name": "Old"}),
        ({"duration": 1_500}, {"duration_seconds": None}),
        ({"duration": 1_500, "finishTime": "2026-11-22T05:51:14.507Z"}, {"duration_seconds": 1.5}),
        # A run that is retried keeps the failed step of its earlier try.
        ({"status": "RUNNING", "failedStep": {"name": "step_1"}}, {"failed_step": None}),
        ({"tags": "nightly"}, {"tags": []}),
        ({"status": "FAILED", "failedStepName": "step_2"}, {"failed_step": {"name": "step_2"}}),
    ],
)
def test_activepieces_details_are_read_leniently(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    empty = {
        "tags": [],
        "environment": None,
        "project_id": None,
        "flow_name": None,
        "flow_version_id": None,
        "parent_run_id": None,
        "fail_parent_on_failure": None,
        "failed_step": None,
        "steps_count": None,
        "duration_seconds": None,
    }
    if isinstance(expected.get("failed_step"), dict):
        expected = {"failed_step": {"display_name": None, "message": None, **expected["failed_step"]}}
    assert summarize_activepieces(**fields)["details"] == {**empty, **expected}


def test_large_activepieces_details_are_cut() -> None:
    step = {"name": "step_1", "message": "x" * 100_000}
    summary = summarize_activepieces(status="FAILED", tags=["t" * 300] * (MAX_TAGS + 1), failedStep=step)
    assert summary["truncated"]
    assert len(summary["details"]["tags"]) == MAX_TAGS
    assert len(json.dumps(summary["details"])) <= MAX_DETAILS_BYTES


# -- TableFlow


def test_tableflow_details() -> None:
    summary = summarize_tableflow(
        workspace_id="uT2bJNWN75YPU95r",
        metadata={"order": "PO-1"},
        start_time=1_700_000_000,
        duration=30_250,
        current_attempt=2,
        status_history=[{"status": "processing", "time": 1_700_000_000, "message": "started"}],
        flow_attempts=[
            {"attempt": 1, "status": "failed", "start_time": 1_699_999_000, "end_time": 1_699_999_010, "error": "bad"},
            {"attempt": 2, "status": "completed", "start_time": 1_700_000_000, "duration": 30_250},
        ],
        drive_files={"report": {"file_id": "1", "sheets": [{"sheet_id": 0, "title": "R"}]}},
        input_files={"document": {"file_name": "a.pdf", "file_size": 5}},
        steps=[
            {
                "step_id": "step_1",
                "attempt": 2,
                "status": "completed",
                "start_time": 1_700_000_000,
                "end_time": 1_700_000_004,
                "input": {"password": "hidden"},
                "output": {"extraction_id": "EX1", "inner": [{"input": "hidden", "n": 1}]},
            }
        ],
        flow={"name": "Invoices", "steps": [{"id": "step_1", "title": "Read", "type": "extraction"}]},
    )
    assert summary["details"] == {
        "flow_name": "Invoices",
        "workspace_id": "uT2bJNWN75YPU95r",
        "metadata": {"order": "PO-1"},
        "duration_seconds": 30.25,
        "current_attempt": 2,
        "status_history": [{"status": "processing", "time": "2023-11-14T22:13:20+00:00", "message": "started"}],
        "attempts": [
            {
                "attempt": 1,
                "status": "failed",
                "started_at": "2023-11-14T21:56:40+00:00",
                "completed_at": "2023-11-14T21:56:50+00:00",
                "duration_seconds": 10.0,
                "error": "bad",
            },
            {
                "attempt": 2,
                "status": "completed",
                "started_at": "2023-11-14T22:13:20+00:00",
                "completed_at": None,
                "duration_seconds": 30.25,
                "error": None,
            },
        ],
        "drive_files": {"report": {"file_id": "1", "sheets": [{"sheet_id": 0, "title": "R"}]}},
        "input_files": {"document": {"file_name": "a.pdf", "file_size": 5}},
        "steps": [
            {
                "id": "step_1",
                "title": "Read",
                "type": "extraction",
                "attempt": 2,
                "status": "completed",
                "started_at": "2023-11-14T22:13:20+00:00",
                "completed_at": "2023-11-14T22:13:24+00:00",
                "duration_seconds": 4.0,
                "error": None,
                "extraction_ids": ["EX1"],
                "output": {"extraction_id": "EX1", "inner": [{"n": 1}]},
            }
        ],
    }
    assert not summary["truncated"]


ATTEMPT_2 = {"attempt": 2, "status": "completed", "steps": [{"step_id": "a", "status": "completed"}]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"steps": None, "flow_attempts": None}, []),
        ({"steps": [{"step_id": "a"}, {"id": "b"}]}, [("a", None), ("b", None)]),
        ({"steps": {"a": {"status": "x"}, "b": {"status": "y"}}}, [("a", None), ("b", None)]),
        ({"steps": {"1": [{"step_id": "a"}], "2": [{"step_id": "a"}]}}, [("a", 1), ("a", 2)]),
        ({"steps": [[{"step_id": "a", "attempt": 3}]]}, [("a", 3)]),
        ({"steps": {"step_id": "a", "status": "x"}}, [("a", None)]),
        ({"steps": "a"}, []),
        ({"steps": [None, 7, "a", [], {}]}, []),
        ({"flow_attempts": [ATTEMPT_2]}, [("a", 2)]),
        ({"flow_attempts": {"2": {"status": "x", "steps": {"a": {"status": "y"}}}}}, [("a", 2)]),
        ({"flow_attempts": [{"status": "x"}], "steps": [{"step_id": "a"}]}, [("a", 1)]),
    ],
)
def test_steps_are_read_in_any_format(fields: dict[str, Any], expected: list[tuple[str, int | None]]) -> None:
    steps = summarize_tableflow(**fields)["details"]["steps"]
    assert [(step["id"], step["attempt"]) for step in steps] == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"extraction_id": "EX"}, ["EX"]),
        ({"extraction_ids": ["E1", "E2"]}, ["E1", "E2"]),
        ({"data": [{"extraction_id": 7}]}, ["7"]),
        ({"result": {"id": "EX", "template_id": "T"}}, ["EX"]),
        ({"id": "no extraction"}, []),
        ("EX", []),
        ({"extraction_id": {"id": "EX"}}, []),
        ([{"extraction_id": "EX"}, {"extraction_id": "EX"}], ["EX"]),
    ],
)
def test_ids_of_extractions_are_found(sent: Any, expected: list[str]) -> None:
    (step,) = summarize_tableflow(steps=[{"step_id": "a", "output": sent}])["details"]["steps"]
    assert step["extraction_ids"] == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("bad", "bad"),
        ({"message": "bad"}, "bad"),
        (["bad", {"error": "worse"}], "bad; worse"),
        ({"code": 7}, '{"code": 7}'),
        ({}, None),
        (False, None),
        (7, "7"),
    ],
)
def test_errors_of_steps_are_texts(error: Any, expected: str | None) -> None:
    (step,) = summarize_tableflow(steps=[{"step_id": "a", "error": error}])["details"]["steps"]
    assert step["error"] == expected


def test_a_huge_output_leaves_the_steps_behind_it_whole() -> None:
    rows = [{"item": "x" * 1_000, "index": index} for index in range(10_000)]
    steps = [{"step_id": "step_1", "output": {"rows": rows, "extraction_id": "E1"}}]
    steps += [{"step_id": f"step_{number}", "output": {"extraction_id": f"E{number}"}} for number in range(2, 20)]
    summary = summarize_tableflow(steps=steps)
    assert summary["truncated"]
    assert [step["extraction_ids"] for step in summary["details"]["steps"]] == [[f"E{n}"] for n in range(1, 20)]
    assert [step["output"] for step in summary["details"]["steps"][1:]] == [step["output"] for step in steps[1:]]
    assert len(json.dumps(summary["details"])) <= MAX_DETAILS_BYTES


def test_the_steps_of_the_last_attempt_are_kept() -> None:
    steps = [{"step_id": f"s{n}", "attempt": attempt, "error": "x" * 800} for attempt in (1, 2) for n in range(40)]
    kept = summarize_tableflow(steps=steps)["details"]["steps"]
    assert [step["id"] for step in kept if step["attempt"] == 2] == [f"s{n}" for n in range(40)]
    assert 0 < len([step for step in kept if step["attempt"] == 1]) < 40


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                ["step_id", "status", "attempt", "steps", "output", "error", "extraction_id", "time", "1", "x"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=40,
)
NAMES = ("metadata", "status_history", "flow_attempts", "drive_files", "input_files", "steps", "flow", "duration")


@examples
@given(fields=st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_tableflow_record_has_details(fields: dict[str, Any]) -> None:
    check_bound(summarize_tableflow(**fields))


LARGE = {
    "wide text": ["\U0001f600" * 70_000] * 3,
    "many members": {str(number): number for number in range(50_000)},
    "many lists": [[[number]] for number in range(50_000)],
    "many steps": [{"step_id": "s", "status": "x", "output": {"a": [1] * 50}} for _ in range(3_000)],
    "many attempts": [{"attempt": 1, "status": "x", "steps": [{"step_id": "a", "output": "y" * 500}] * 9}] * 3_000,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_large_fields_are_cut(name: str, value: Any) -> None:
    check_bound(summarize_tableflow(**{name: value}))


def test_everything_large_at_once_is_cut() -> None:
    check_bound(summarize_tableflow(**dict.fromkeys(NAMES, LARGE["many attempts"])))


def check_bound(summary: RunSummary) -> None:
    details: Mapping[str, Any] = summary["details"]
    assert details.keys() == get_type_hints(TableFlowDetails).keys()
    assert len(json.dumps(details, allow_nan=False)) <= MAX_DETAILS_BYTES
    assert all(step.keys() == get_type_hints(StepDetails).keys() for step in details["steps"])
