"""What no service should send: the run it is about is neither a success nor in the way of the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.model.calls import Call, Page
from airflow_provider_flowruns.model.errors import UnexpectedResponseError
from airflow_provider_flowruns.model.rows import Rows
from airflow_provider_flowruns.model.runs import Disposition, Lifecycle
from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.base import Service
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi
from airflow_provider_flowruns.testing.reading import drive, measure_longest_text
from tests.adapters import ENDED, PROJECT
from tests.adapters import build_attempt as attempt
from tests.adapters import build_document as document
from tests.adapters import build_piece as piece

PORTABLE, ACTIVEPIECES, TABLEFLOW = PortableApi(), ActivepiecesApi(PROJECT), TableFlowApi()
UNKNOWN = (Lifecycle.UNKNOWN, Disposition.NONE)


def ids(runs: Any) -> list[str | None]:
    return [run.run_id for run in runs]


# -- a word that is there but is no word


UNREADABLE = [0, 1, False, True, 1.5, [], ["RUNNING"], ["NOT_RUNNING"], {"a": 1}, "(unreadable)", "x" * 10_000]


@pytest.mark.parametrize("lifecycle", UNREADABLE, ids=lambda value: repr(value)[:20])
def test_a_portable_lifecycle_that_cannot_be_read_is_not_a_missing_one(lifecycle) -> None:
    record = {"id": 7, "lifecycle": lifecycle, "disposition": "SUCCEEDED", "completedAt": ENDED}
    runs = [
        PORTABLE.get_flow_status(7).read(record),
        PORTABLE.get_workflow_status(7).read(record),
        PORTABLE.get_run_attempts(7).first.read([record]).items[0],
    ]
    for run in runs:
        assert (run.lifecycle, run.disposition) == UNKNOWN
        assert len(run.vendor_status) <= 420


@pytest.mark.parametrize("lifecycle", [None, "", " ", {}])
def test_a_portable_lifecycle_that_is_missing_is_told_by_the_end(lifecycle) -> None:
    record = {"id": 7, "lifecycle": lifecycle, "disposition": "SUCCEEDED", "completedAt": ENDED}
    run = PORTABLE.get_flow_status(7).read(record)
    assert (run.lifecycle, run.disposition) == (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED)


@pytest.mark.parametrize("completed_at", [0, -1, False, True, [], [ENDED], {}, "soon", "0001-01-01T00:00:00Z"])
def test_a_portable_run_without_lifecycle_has_ended_only_at_a_time(completed_at) -> None:
    record = {"id": 7, "disposition": "SUCCEEDED", "completedAt": completed_at}
    run = PORTABLE.get_flow_status(7).read(record)
    assert (run.lifecycle, run.disposition, run.completed_at) == (*UNKNOWN, None)


@pytest.mark.parametrize("disposition", UNREADABLE, ids=lambda value: repr(value)[:20])
def test_a_portable_disposition_that_cannot_be_read_is_no_outcome(disposition) -> None:
    record = {"id": 7, "lifecycle": "NOT_RUNNING", "disposition": disposition, "completedAt": ENDED}
    (with_status,) = PORTABLE.get_run_attempts(7).first.read([{**record, "status": "SUCCEEDED"}]).items
    for run in (PORTABLE.get_flow_status(7).read(record), with_status):
        assert (run.lifecycle, run.disposition) == UNKNOWN


# -- a row that cannot be read


NO_ROWS = [None, 7, "text", [], [{}]]
NO_IDS = [{}, [], [[]], {"id": 1}, None, "", " ", True, 1.5, "x" * 1_000]
LISTS: list[tuple[Callable[[], Call[Any]], Callable[..., dict[str, Any]]]] = [
    (lambda: PORTABLE.get_run_attempts(7).first, attempt),
    (lambda: PORTABLE.get_run_attempts(7, sort="ASC").first, attempt),
    (PORTABLE.list_flows, attempt),
    (lambda: ACTIVEPIECES.get_flow_runs([f"{number:021d}" for number in (1, 2, 3)]), piece),
    (lambda: ACTIVEPIECES.list_flow_runs().first, piece),
    (lambda: ACTIVEPIECES.list_flows().first, piece),
    (lambda: TABLEFLOW.list_flow_runs().first, document),
    (lambda: TABLEFLOW.list_runs_of_flow("f"), document),
    (TABLEFLOW.list_flows, document),
]
LIST_IDS = [f"{make().service} {make().request.path}" for make, _ in LISTS]


def rows_of(result: Any) -> Rows[Any]:
    rows = getattr(result, "items", getattr(result, "runs", result))
    assert isinstance(rows, Rows)
    return rows


@pytest.mark.parametrize(("make", "row"), LISTS, ids=LIST_IDS)
@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"data": rows}])
def test_one_malformed_row_is_left_out_and_the_others_are_read(make, row, wrap) -> None:
    good = [row(2), row(1)]
    expected = rows_of(make().read(wrap(good)))
    assert len(expected) == 2
    for odd in [*NO_ROWS, *(row(3, id=no_id) for no_id in NO_IDS)]:
        for place in range(3):
            rows = rows_of(make().read(wrap([*good[:place], odd, *good[place:]])))
            assert rows == expected
            assert (rows.total, rows.unread, rows.is_first_unread) == (3, 1, place == 0)


@pytest.mark.parametrize(
    ("make", "row", "odd"),
    [
        (LISTS[0][0], attempt, "run-1"),
        (LISTS[4][0], piece, 2**63),
        (LISTS[4][0], piece, "../../../../admin/users"),
        (LISTS[6][0], document, "a/b"),
        (LISTS[6][0], document, "\ufffd"),
    ],
)
def test_a_run_under_an_id_that_nobody_could_ask_about_is_left_out(make, row, odd) -> None:
    rows = rows_of(make().read([row(2), row(1, id=odd)]))
    assert (len(rows), rows.unread) == (1, 1)


@pytest.mark.parametrize(("make", "row"), LISTS, ids=LIST_IDS)
def test_a_list_of_which_no_row_can_be_read_is_refused(make, row) -> None:
    with pytest.raises(ValueError, match="none can be read"):
        make().read([row(1, id={}), None])


@pytest.mark.parametrize(("make", "row"), LISTS, ids=LIST_IDS)
@pytest.mark.parametrize("body", [None, 7, "text", {}, {"data": {}}, {"data": None}])
def test_what_is_no_list_is_refused(make, row, body) -> None:
    with pytest.raises(ValueError, match="expected a list"):
        make().read(body)


def test_paging_counts_the_rows_that_cannot_be_read() -> None:
    page = PORTABLE.get_run_attempts(7, limit=3).first.read([attempt(3), {}, attempt(1)])
    assert dict(page.next.request.query)["offset"] == "3"
    page = ACTIVEPIECES.list_flow_runs(limit=3).first.read({"data": [piece(3), None, piece(1)]})
    assert page.next is not None
    page = TABLEFLOW.list_flow_runs(limit=3).first.read({"flow_runs": [document(3), 7, document(1)], "total": 9})
    assert dict(page.next.request.query)["offset"] == "3"


@pytest.mark.parametrize(
    ("service", "targets", "body"),
    [
        (
            PORTABLE,
            [RunTarget("portable", str(number), "7") for number in (1, 2, 3)],
            [attempt(3), attempt(2, id=[]), attempt(2, id={}), 7, attempt(1)],
        ),
        (
            ACTIVEPIECES,
            [RunTarget("activepieces", f"{number:021d}") for number in (1, 2, 3)],
            {"data": [piece(3), piece(2, id=[]), piece(2, id={}), 7, piece(1)]},
        ),
        (
            TABLEFLOW,
            [RunTarget("tableflow", f"run-{number}") for number in (1, 2, 3)],
            # One that has ended would be polled individually, for its details.
            {
                "flow_runs": [document(n, status="review", **odd) for n, odd in ((3, {}), (2, {"id": []}), (1, {}))]
                + [7]
            },
        ),
    ],
    ids=["portable", "activepieces", "tableflow"],
)
def test_a_look_at_several_sees_all_but_the_one_that_cannot_be_read(service: Service, targets, body) -> None:
    batch_result = drive(service.poll_batch(targets, 3, 100), body)
    assert {target.run_id for target in batch_result.found} == {targets[0].run_id, targets[2].run_id}


# -- which run is the newest


def test_who_waits_for_the_newest_of_several_is_not_shown_an_older_one() -> None:
    newest, run = NewestRunsTarget("portable", "7"), RunTarget("portable", "1", "7")
    batch_result = drive(PORTABLE.poll_batch([newest, run], 2, 100), {"data": [attempt(3, id={}), attempt(1)]})
    assert set(batch_result.found) == {run}


def test_a_history_that_is_asked_for_oldest_first_keeps_its_order() -> None:
    body = {"data": [attempt(1), attempt(2), attempt(3)]}
    assert ids(PORTABLE.get_run_attempts(7, sort="ASC").first.read(body).items) == ["1", "2", "3"]
    assert ids(PORTABLE.get_run_attempts(7, sort="asc").first.read(body).items) == ["1", "2", "3"]
    assert ids(PORTABLE.get_run_attempts(7, sort="desc").first.read(body).items) == ["3", "2", "1"]


def test_portable_cancels_no_flow_of_which_a_run_cannot_be_read() -> None:
    page = {"data": [attempt(3, lifecycle="RUNNING", disposition="NONE"), {}, attempt(1)]}
    said = drive(PORTABLE.cancel("7", "3"), page)
    assert "was not cancelled" in said
    assert "1 of its run attempts cannot be read" in said


# -- times


LATEST = "9999-12-31T23:59:59.999999Z"


@pytest.mark.parametrize("created", [LATEST, "0001-01-01T00:00:00Z", -1, 1e300, True, "nan", None, [], {}])
def test_a_full_page_with_a_run_at_the_end_of_the_calendar_is_read(created) -> None:
    rows = [piece(2, created=created), piece(1)]
    page = ACTIVEPIECES.list_flow_runs(limit=2).first.read({"data": rows})
    assert ids(page.items) == [f"{2:021d}", f"{1:021d}"]
    assert dict(page.next.request.query)["createdBefore"] == "2026-01-31T11:00:01.001000Z"
    assert ACTIVEPIECES.list_flow_runs(limit=1).first.read({"data": rows[:1]}).next is None


@pytest.mark.parametrize("moment", ["9999-12-30T00:00:00Z", "0001-01-02T00:00:00Z"])
def test_the_first_and_last_times_that_are_read_lead_on(moment) -> None:
    page = ACTIVEPIECES.list_flow_runs(limit=1).first.read({"data": [piece(1, created=moment)]})
    assert page.next is not None
    assert json.loads(json.dumps(page.items[0].summary()))["created_at"][:4] == moment[:4]


# -- what is shown is bounded


HUGE_TEXT = "x" * 1_000_000
RUNS: list[tuple[Callable[[], Call[Any]], dict[str, Any]]] = [
    (
        lambda: PORTABLE.get_run_attempts(7).first,
        attempt(1, lifecycle=HUGE_TEXT, trigger=HUGE_TEXT, flow=HUGE_TEXT, resources=[{"name": HUGE_TEXT}]),
    ),
    (
        lambda: PORTABLE.get_run_attempts(7).first,
        attempt(1, details={HUGE_TEXT: {"errors": [HUGE_TEXT]}}),
    ),
    (
        lambda: ACTIVEPIECES.list_flow_runs().first,
        piece(1, status="FAILED", triggeredBy=HUGE_TEXT, projectId=HUGE_TEXT, failedStep={"name": HUGE_TEXT}),
    ),
    (
        lambda: ACTIVEPIECES.list_flow_runs().first,
        piece(1, status=HUGE_TEXT, flowId=[[HUGE_TEXT]]),
    ),
    (
        lambda: TABLEFLOW.list_flow_runs().first,
        document(1, status=HUGE_TEXT, trigger_method=HUGE_TEXT, flow_id=HUGE_TEXT, current_attempt=10**100),
    ),
]


@pytest.mark.parametrize(("make", "row"), RUNS)
def test_no_text_of_a_summary_is_longer_than_an_error_may_be(make, row) -> None:
    (run,) = make().read([row]).items
    summary = run.summary()
    assert measure_longest_text(summary) <= 2_000
    assert summary["attempt"] is None


@pytest.mark.parametrize(
    ("service", "body"),
    [
        (PORTABLE, {"data": [attempt(1)]}),
        (ACTIVEPIECES, {"data": [{**piece(1), "displayName": {"a": HUGE_TEXT}}, {"id": HUGE_TEXT, "version": 7}]}),
        (ActivepiecesApi(), {"data": [{"id": {}, "displayName": HUGE_TEXT}] * 9}),
        (TABLEFLOW, {"data": [document(1, workspace_id=HUGE_TEXT), document(2, workspace_id={"a": 1})]}),
    ],
)
def test_what_a_connection_test_says_is_short(service: Service, body: Any) -> None:
    assert len(drive(service.check(), body)) < 2_000


def test_a_time_far_ahead_is_read_as_it_stands() -> None:
    run = PORTABLE.get_flow_status(7).read({"id": 7, "completedAt": "9998-01-01T00:00:00Z"})
    assert run.completed_at == datetime(9998, 1, 1, tzinfo=UTC)


def test_a_page_says_how_many_of_its_rows_could_not_be_read() -> None:
    assert (Page(Rows([1, 2], total=4, unread=1)).unread, Page((1, 2)).unread) == (1, 0)


@pytest.mark.parametrize("flow_id", [None, "", {}, [], True])
def test_a_run_of_no_flow_may_be_of_the_flow_that_was_asked_for(flow_id) -> None:
    """The service may ignore the filter, and this run may be the newest one."""
    target = NewestRunsTarget("tableflow", "f")
    others = [document(9, flow_id="g"), document(8, flow_id="g")]
    with pytest.raises(UnexpectedResponseError, match="the newest run in the list cannot be read"):
        drive(TABLEFLOW.poll(target), {"flow_runs": [*others, document(7, flow_id=flow_id), document(6)]})
    runs = drive(TABLEFLOW.poll(target), {"flow_runs": [*others, document(6), document(5, flow_id=flow_id)]})
    assert ids(runs) == ["run-6"]


def test_a_flows_newest_run_is_found_behind_others_that_the_filter_should_have_left_out() -> None:
    target = NewestRunsTarget("tableflow", "f")
    others = [document(9, flow_id="g"), document(8, id={}, flow_id="g")]
    for rows in ([*others, document(6)], [others[0], document(6), others[1]]):
        with pytest.raises(UnexpectedResponseError, match="the newest run in the list cannot be read"):
            drive(TABLEFLOW.poll(target), {"flow_runs": rows})
    older = document(5, id={}, flow_id="g")
    assert ids(drive(TABLEFLOW.poll(target), {"flow_runs": [others[0], document(6), older]})) == ["run-6"]
