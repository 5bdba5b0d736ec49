"""Where TableFlow's documentation contradicts itself (T1 to T10), both forms read the same."""

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Lifecycle
from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.services.tableflow import APP_URL, TableFlowApi

MISSING = object()
START, END = 1682366228, 1682366258
RUN: dict[str, Any] = {
    "id": "Wp7kRnT2mX4vQ9bL",
    "flow_id": "dk4g1tUg1uHLs8YU",
    "workspace_id": "uT2bJNWN75YPU95r",
    "status": "completed",
    "status_history": [
        {"status": "processing", "time": START, "message": "Flow started via api"},
        {"status": "completed", "time": END, "message": "Flow completed successfully"},
    ],
    "error": None,
    "metadata": {"customer_id": "12345"},
    "trigger_method": "api",
    "start_time": START,
    "end_time": END,
    "duration": 30000,
    "drive_files": {},
    "created_at": START,
    "updated_at": END,
}
ACTIVE = {"status": "processing", "end_time": None, "duration": 0}


def read(**fields: object) -> FlowRun:
    record = {name: value for name, value in {**RUN, **fields}.items() if value is not MISSING}
    return TableFlowApi().get_flow_run(RUN["id"]).read(record)


def wrapped(*runs: dict, **pagination: object) -> dict:
    return {"flow_runs": list(runs), "pagination": pagination}


@pytest.mark.parametrize("unit", [1, 1_000])
def test_t1_times_in_seconds_and_in_milliseconds(unit) -> None:
    """Rule: points in time are seconds; one above 1e11 is taken as milliseconds."""
    run = read(start_time=START * unit, end_time=END * unit, created_at=START * unit)
    assert run == read()
    assert run.started_at == datetime(2023, 4, 24, 19, 57, 8, tzinfo=UTC)
    assert run.completed_at == datetime(2023, 4, 24, 19, 57, 38, tzinfo=UTC)


@pytest.mark.parametrize("error", ["Extraction step 'Extract Invoice' failed: Template not found", None, MISSING, ""])
def test_t2_error_as_text_and_as_null(error) -> None:
    """Rule: optional; without it the last word of the history says why the run failed."""
    history = [
        {"status": "failed", "time": END, "message": "Extraction step 'Extract Invoice' failed: Template not found"}
    ]
    run = read(status="failed", error=error, status_history=history)
    assert run.disposition is Disposition.FAILED
    assert run.errors == ("Extraction step 'Extract Invoice' failed: Template not found",)


@pytest.mark.parametrize("metadata", [{"customer_id": "12345"}, {}, None, MISSING])
def test_t2_metadata_as_object_and_as_null(metadata) -> None:
    """Rule: optional."""
    assert read(metadata=metadata) == read()


@pytest.mark.parametrize("duration", [0, 30000, None, MISSING])
@pytest.mark.parametrize("fields", [ACTIVE, {"status": "completed"}])
def test_t3_duration_with_and_without_a_value(fields, duration) -> None:
    """Rule: the duration decides nothing; the status does."""
    assert read(**{**fields, "duration": duration}) == read(**fields)


def test_t4_paging_follows_next_offset_whatever_limit_the_response_shows() -> None:
    """Rule: page by ``next_offset``; stop at null or no rows."""
    first = TableFlowApi().list_flow_runs(limit=50).first
    page = first.read(wrapped(RUN, {**RUN, "id": "b"}, total=250, limit=100, offset=0, next_offset=100))
    assert dict(page.next.request.query) == {"limit": "50", "offset": "100"}
    assert page.next.read(wrapped(total=250, limit=100, offset=100, next_offset=200)).next is None


def test_t4_runs_that_the_filter_should_have_left_out_are_dropped() -> None:
    """Rule: filter again on arrival."""
    call = TableFlowApi().list_flow_runs(status="completed", flow_id=RUN["flow_id"], limit=50).first
    assert dict(call.request.query) == {"limit": "50", "offset": "0", "flow_id": RUN["flow_id"], "status": "completed"}
    others = ({**RUN, **ACTIVE, "id": "b"}, {**RUN, "flow_id": "other", "id": "c"})
    page = call.read(wrapped(RUN, *others, total=3, limit=100, offset=0, next_offset=None))
    assert [run.run_id for run in page.items] == [RUN["id"]]


@pytest.mark.parametrize(
    "body",
    [
        wrapped(RUN, RUN, total=3, limit=2, offset=0, next_offset=2),
        wrapped(RUN, RUN, total=3, limit=2, offset=0),
        {"flow_runs": [RUN, RUN], "total": 3, "limit": 2, "offset": 0, "next_offset": 2},
        {"flow_runs": [RUN, RUN], "total": 3, "limit": 2, "offset": 0},
        {"data": [RUN, RUN], "total": 3, "limit": 2, "offset": 0},
    ],
)
def test_t5_more_to_come_in_either_form_of_paging(body) -> None:
    """Rule: accept ``pagination`` and ``total``/``limit``/``offset`` at the top."""
    page = TableFlowApi().list_flow_runs(limit=2).first.read(body)
    assert dict(page.next.request.query)["offset"] == "2"


@pytest.mark.parametrize(
    "body",
    [
        wrapped(RUN, total=1, limit=2, offset=0, next_offset=None),
        wrapped(RUN, total=1, limit=2, offset=0),
        {"flow_runs": [RUN], "total": 1, "limit": 2, "offset": 0, "next_offset": None},
        {"flow_runs": [RUN], "total": 1, "limit": 2, "offset": 0},
        {"flow_runs": [RUN]},
        [RUN],
    ],
)
def test_t5_the_end_in_either_form_of_paging(body) -> None:
    """Rule: accept ``pagination`` and ``total``/``limit``/``offset`` at the top, and a bare list."""
    page = TableFlowApi().list_flow_runs(limit=2).first.read(body)
    assert ([run.run_id for run in page.items], page.next) == ([RUN["id"]], None)


@pytest.mark.parametrize("metadata", [{"order_number": "PO-2024-001"}, None])
def test_t6_a_wait_polls_the_run_whether_or_not_it_carries_metadata_for_webhooks(metadata) -> None:
    """Rule: there is no event about a flow run, whatever the flow page says; poll."""
    steps = TableFlowApi().poll(RunTarget("tableflow", RUN["id"]))
    call = next(steps)
    assert (call.request.method, call.request.path) == ("GET", f"/v2/flows/runs/{RUN['id']}")
    assert call.read({**RUN, "metadata": metadata}) == read()


DOCUMENTED_ONLY = {
    "flow_attempts": [{"attempt": 1}, {"attempt": 2}],
    "current_attempt": 2,
    "input_files": {"invoice": [{"name": "a.pdf", "size": 3}]},
    "steps": [{"id": "step_1", "status": "completed"}],
}


@pytest.mark.parametrize("name", [None, *DOCUMENTED_ONLY])
def test_t7_fields_that_no_example_shows_are_optional(name) -> None:
    """Rule: optional; only the number of the attempt is read."""
    fields = {name: DOCUMENTED_ONLY[name]} if name else {}
    run = read(**fields)
    assert run.attempt == (2 if name == "current_attempt" else None)
    assert (run.lifecycle, run.disposition) == (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED)


@pytest.mark.parametrize("file_type", [{"extension": "pdf", "mime_type": "application/pdf"}, "application/pdf"])
def test_t8_file_type_as_object_and_as_text(file_type) -> None:
    """Rule: accept both; what a run or a flow says of files is passed on as sent."""
    config = {"file_fields": [{"key": "invoice", "required": True, "file_types": [file_type]}]}
    (flow,) = TableFlowApi().list_flows().read([{"id": "f", "name": "Invoices", "file_input_config": config}])
    assert (flow.flow_id, flow.name, flow.raw["file_input_config"]) == ("f", "Invoices", config)
    files = {"invoice": [{"name": "a.pdf", "file_type": file_type}]}
    assert read(input_files=files) == read()


@pytest.mark.parametrize("extra", [{}, {"added_by_the_server": True}])
def test_t9_metadata_with_a_key_that_was_not_sent(extra) -> None:
    """Rule: noise of the example; metadata is passed on as it comes."""
    run = read(metadata={"customer_id": "12345", **extra})
    assert run == read()
    assert run.raw["metadata"] == {"customer_id": "12345", **extra}


@pytest.mark.parametrize(
    "drive_files",
    [
        {},
        {"reconciliation": {"file_id": "1ABC123DEF456", "sheets": [{"sheet_id": 0, "title": "Results"}]}},
        {"reconciliation": "https://docs.example.com/spreadsheets/1ABC123DEF456"},
    ],
)
def test_t10_drive_files_as_ids_and_as_links(drive_files) -> None:
    """Rule: do not expect addresses, so none of them becomes the run's link."""
    run = read(drive_files=drive_files)
    assert run == read()
    assert run.url == APP_URL


@pytest.mark.parametrize(
    ("status", "lifecycle", "disposition"),
    [
        ("processing", Lifecycle.RUNNING, Disposition.NONE),
        ("review", Lifecycle.PAUSED, Disposition.NONE),
        ("completed", Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED),
        ("Completed", Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED),
        ("failed", Lifecycle.NOT_RUNNING, Disposition.FAILED),
        ("archived", Lifecycle.UNKNOWN, Disposition.NONE),
        (None, Lifecycle.UNKNOWN, Disposition.NONE),
    ],
)
def test_every_status_has_its_meaning_and_a_new_one_is_neither_success_nor_failure(
    status, lifecycle, disposition
) -> None:
    run = read(status=status)
    assert (run.lifecycle, run.disposition) == (lifecycle, disposition)


def test_a_run_that_is_rerun_has_no_end_and_no_error() -> None:
    run = read(status="processing", error="old failure", current_attempt=2)
    assert (run.completed_at, run.errors, run.attempt) == (None, (), 2)
