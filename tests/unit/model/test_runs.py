"""A run as the services' modules make it, and its summary as XCom takes it."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from airflow_provider_flowruns.model.calls import Call, Request
from airflow_provider_flowruns.model.limits import MAX_COUNT
from airflow_provider_flowruns.model.runs import (
    MAX_DETAILS_BYTES,
    MAX_ERROR_CHARS,
    MAX_ERRORS,
    MAX_RESOURCES,
    Disposition,
    Flow,
    FlowRun,
    Kind,
    Lifecycle,
    ResourceCounts,
    RunDetails,
    format_iso,
)
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.activepieces_arguments import STATUSES
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi

#: The same examples every time, and none that fails because a machine is busy.
examples = settings(deadline=None, derandomize=True, database=None, max_examples=50)

RUN = FlowRun(
    service="portable",
    kind=Kind.RUN,
    run_id="7",
    flow_id="5",
    lifecycle=Lifecycle.NOT_RUNNING,
    disposition=Disposition.SUCCEEDED,
    vendor_status="not_running/succeeded",
    attempt=2,
    trigger="API",
    created_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
    started_at=None,
    completed_at=datetime(2026, 1, 31, 12, 30, 0, 250_000, tzinfo=UTC),
    resources=(ResourceCounts("orders", 3, 2, 1, ("late",)), ResourceCounts("items", 30, 20, 10)),
    errors=("once",),
    url="https://flows.example.com/7",
    record={"secret": "kept out of XCom"},
)


def test_summary_is_the_run_as_plain_json() -> None:
    assert json.loads(json.dumps(RUN.summary())) == {
        "service": "portable",
        "kind": "run",
        "run_id": "7",
        "flow_id": "5",
        "lifecycle": "NOT_RUNNING",
        "disposition": "SUCCEEDED",
        "vendor_status": "not_running/succeeded",
        "attempt": 2,
        "trigger": "API",
        "created_at": "2026-01-31T12:00:00+00:00",
        "started_at": None,
        "completed_at": "2026-01-31T12:30:00.250000+00:00",
        "rows": {"extracted": 33, "analyzed": 22, "loaded": 11},
        "resources": [
            {"name": "orders", "extracted": 3, "analyzed": 2, "loaded": 1, "errors": ["late"]},
            {"name": "items", "extracted": 30, "analyzed": 20, "loaded": 10, "errors": []},
        ],
        "errors": ["once"],
        "url": "https://flows.example.com/7",
        "details": {},
        "truncated": False,
    }


def test_summary_holds_plain_types_only() -> None:
    assert {type(value) for value in RUN.summary().values()} <= {str, int, bool, dict, list, type(None)}


def test_a_run_without_resources_has_no_rows() -> None:
    assert replace(RUN, resources=()).summary()["rows"] is None


def test_details_are_built_for_a_summary_only() -> None:
    built: list[FlowRun] = []

    def build(run: FlowRun) -> RunDetails:
        built.append(run)
        return RunDetails({"tags": ["nightly"]})

    run = replace(RUN, build_details=build)
    assert (run, run.is_active, run.rows()) == (RUN, False, RUN.rows())
    assert run.brief_summary() == RUN.summary()
    assert built == []
    assert run.summary() == {**RUN.summary(), "details": {"tags": ["nightly"]}}
    assert run.details() == {"tags": ["nightly"]}


@pytest.mark.parametrize(
    ("details", "truncated"),
    [
        (RunDetails({"a": 1}), False),
        (RunDetails({"a": 1}, is_cut=False), False),
        (RunDetails({"a": 1}, is_cut=True), True),
        (RunDetails({"a": "x" * MAX_DETAILS_BYTES}), True),
    ],
)
def test_summary_says_whether_details_were_cut(details: RunDetails, truncated: bool) -> None:
    summary = replace(RUN, build_details=lambda run: details).summary()
    assert summary["truncated"] is truncated
    assert len(json.dumps(summary["details"])) <= MAX_DETAILS_BYTES


LONG = "x" * (MAX_ERROR_CHARS + 1)
FULL = "x" * MAX_ERROR_CHARS


@pytest.mark.parametrize(
    ("fields", "truncated"),
    [
        ({"errors": ("x",) * MAX_ERRORS}, False),
        ({"errors": ("x",) * (MAX_ERRORS + 1)}, True),
        ({"errors": (FULL,)}, False),
        ({"errors": (LONG,)}, True),
        ({"resources": (ResourceCounts("r"),) * MAX_RESOURCES}, False),
        ({"resources": (ResourceCounts("r"),) * (MAX_RESOURCES + 1)}, True),
        ({"resources": (ResourceCounts("r", errors=("x",) * MAX_ERRORS),)}, False),
        ({"resources": (ResourceCounts("r", errors=("x",) * (MAX_ERRORS + 1)),)}, True),
        ({"resources": (ResourceCounts("r", errors=(LONG,)),)}, True),
    ],
)
def test_summary_says_exactly_when_something_was_cut(fields, truncated) -> None:
    run = replace(RUN, **fields)
    assert run.summary()["truncated"] is truncated
    assert msgspec.json.encode(run.encodable_summary()) == msgspec.json.encode(run.summary())


@examples
@given(
    errors=st.lists(st.sampled_from(["short", LONG]), max_size=MAX_ERRORS + 2).map(tuple),
    resources=st.integers(0, MAX_RESOURCES + 2),
)
def test_summary_is_capped_whatever_the_service_sends(errors, resources) -> None:
    many = tuple(ResourceCounts(f"r{number}", extracted=1, errors=errors) for number in range(resources))
    run = replace(RUN, errors=errors, resources=many)
    summary = run.summary()
    lists = [summary["errors"], *(resource["errors"] for resource in summary["resources"])]
    assert all(len(texts) <= MAX_ERRORS and all(len(text) <= MAX_ERROR_CHARS for text in texts) for texts in lists)
    assert len(summary["resources"]) <= MAX_RESOURCES
    assert (summary["rows"] or {"extracted": 0})["extracted"] == resources
    assert msgspec.json.encode(run.encodable_summary()) == msgspec.json.encode(summary)


@pytest.mark.parametrize("lifecycle", Lifecycle)
def test_a_run_is_active_while_pending_running_or_paused(lifecycle) -> None:
    run = replace(RUN, lifecycle=lifecycle, disposition=Disposition.NONE)
    assert run.is_active is (lifecycle in {Lifecycle.PENDING, Lifecycle.RUNNING, Lifecycle.PAUSED})


def test_a_run_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        RUN.run_id = "8"  # type: ignore[misc]


def test_sums_of_rows_stay_within_what_airflows_channels_carry() -> None:
    many = (ResourceCounts("r", MAX_COUNT, MAX_COUNT, MAX_COUNT),) * 3
    rows = replace(RUN, resources=many).summary()["rows"]
    assert rows == {"extracted": MAX_COUNT, "analyzed": MAX_COUNT, "loaded": MAX_COUNT}


def test_summary_of_a_flow_is_plain_json() -> None:
    flow = Flow("tableflow", "f", "Invoices", True, {"steps": []})
    assert flow.summary() == {"service": "tableflow", "flow_id": "f", "name": "Invoices", "enabled": True}


@pytest.mark.parametrize(
    ("request_", "is_idempotent"),
    [
        (Request("GET", "/"), True),
        (Request("HEAD", "/"), True),
        (Request("POST", "/"), False),
        (Request("PATCH", "/"), False),
        (Request("POST", "/filter", is_read=True), True),
    ],
)
def test_only_reading_may_be_repeated(request_, is_idempotent) -> None:
    assert request_.is_idempotent is is_idempotent


WORDS = st.sampled_from(
    [None, "", "none", "RUNNING", "PENDING", "NOT_RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "NEW"]
)
TIMES = st.sampled_from([None, "", "2026-01-31T12:00:00Z", "soon"])
PORTABLE = st.fixed_dictionaries(
    {}, optional={"lifecycle": WORDS, "disposition": WORDS, "status": WORDS, "completedAt": TIMES}
)
STATUS = st.sampled_from([*STATUSES, *(status.lower() for status in STATUSES), "processing", "review", "completed", ""])
OTHER = st.fixed_dictionaries({}, optional={"status": STATUS, "finishTime": TIMES, "end_time": TIMES, "error": WORDS})
CALLS: list[tuple[Call[Any], Any]] = [
    (PortableApi().get_flow_status(1), PORTABLE),
    (PortableApi().get_workflow_status(1), PORTABLE),
    (PortableApi().get_run_attempts(1).first, PORTABLE.map(lambda one: [one])),
    (ActivepiecesApi().get_flow_run("A" * 21), OTHER),
    (TableFlowApi().get_flow_run("A"), OTHER),
]


def about(call, body):
    """Return a body with the id that the call asks about, where it asks about one."""
    asked = next((part for part in call.request.path.split("/") if part in {"1", "A", "A" * 21}), None)
    return [{"id": 7, **one} for one in body] if isinstance(body, list) else {"id": asked, **body}


@pytest.mark.parametrize(("call", "bodies"), CALLS, ids=[call.request.path for call, _ in CALLS])
@examples
@given(data=st.data())
def test_only_a_run_that_is_not_running_has_an_outcome(call, bodies, data) -> None:
    found = call.read(about(call, data.draw(bodies)))
    (run,) = getattr(found, "items", (found,))
    assert run.disposition is Disposition.NONE or run.lifecycle is Lifecycle.NOT_RUNNING
    assert all(moment is None or moment.tzinfo is UTC for moment in (run.created_at, run.started_at, run.completed_at))


def test_runs_are_equal_if_they_say_the_same_however_it_was_sent() -> None:
    other = replace(RUN, record={"another": "record"}, build_details=lambda run: RunDetails({}))
    assert (other, hash(other), repr(other)) == (RUN, hash(RUN), repr(RUN))
    assert replace(RUN, attempt=3) != RUN
    assert RUN != "another thing"
    assert "kept out" not in repr(RUN)


def test_a_record_that_was_not_decoded_is_decoded_when_it_is_looked_at() -> None:
    run = replace(RUN, record=Raw(b'{"id": 7, "name": "caf\\u0000"}'))
    assert run.raw == {"id": 7, "name": "caf\N{REPLACEMENT CHARACTER}"}


@examples
@given(moment=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))])))
def test_times_are_shown_in_iso_8601(moment: datetime) -> None:
    assert format_iso(moment) == moment.isoformat()
