"""Several targets in few requests: what is asked, when it ends, and what is made of odd answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest

from airflow_provider_flowruns.model.calls import Request
from airflow_provider_flowruns.model.errors import ApiError, ConfigurationError, ServerError
from airflow_provider_flowruns.model.targets import (
    BatchResult,
    FlowStatusTarget,
    NewestRunsTarget,
    RunTarget,
    StartedRunTarget,
    StartMarker,
    Target,
    WorkflowStatusTarget,
)
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.base import Service
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi

PROJECT = "p" * 21
MARK = StartMarker("c", "k", 0.0)


def drive(
    service: Service, targets: Sequence[Target], answer: Callable[[Request], Any], most: int = 100
) -> tuple[BatchResult, list[dict[str, str]]]:
    """Take the steps with an answering server; return what was seen and the queries that were sent."""
    steps = service.poll_batch(targets, len(targets), most)
    sent: list[dict[str, str]] = []
    try:
        call = next(steps)
        while True:
            assert len(sent) < 50, "it walks on and on"
            sent.append(dict(call.request.query))
            try:
                response = answer(call.request)
            except ApiError as error:
                call = steps.throw(error)
            else:
                call = steps.send(call.read(response))
    except StopIteration as end:
        return end.value, sent


def ids(batch_result: BatchResult) -> dict[str | None, list[str | None]]:
    return {
        getattr(target, "run_id", None): [run.run_id for run in runs] for target, runs in batch_result.found.items()
    }


# -- Activepieces


def piece(number: int) -> str:
    return f"{number:021d}"


def pieces(*numbers: int) -> list[Target]:
    return [RunTarget("activepieces", piece(number)) for number in numbers]


def piece_record(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": piece(number), "flowId": "f" * 21, "projectId": PROJECT, "status": "RUNNING", **fields}


def test_activepieces_asks_for_all_ids_at_once() -> None:
    api = ActivepiecesApi(PROJECT)
    call = next(api.poll_batch(pieces(1, 2, 3), 3, 100))
    assert call.request.path == "/api/v1/flow-runs"
    assert call.request.query == (
        ("projectId", PROJECT),
        ("limit", "3"),
        *(("flowRunIds", piece(number)) for number in (1, 2, 3)),
    )


def test_activepieces_finds_in_any_order_and_leaves_out_the_rest() -> None:
    records = [piece_record(3, status="FAILED"), piece_record(9), piece_record(1)]
    batch_result, sent = drive(ActivepiecesApi(PROJECT), pieces(1, 2, 3), lambda request: {"data": records})
    assert ids(batch_result) == {piece(1): [piece(1)], piece(3): [piece(3)]}
    assert {run.run_id for run in batch_result.runs} == {piece(1), piece(3)}
    assert len(sent) == 1


def test_activepieces_tells_how_large_a_row_is_and_does_not_keep_it() -> None:
    records = [piece_record(1, flowVersion={"text": "x" * 5_000})]
    batch_result, _ = drive(ActivepiecesApi(PROJECT), pieces(1, 2), lambda request: {"data": records})
    assert 5_000 <= batch_result.bytes_per_run <= 6_000
    assert [run.raw for run in batch_result.runs] == [{}]


def test_activepieces_shows_one_run_to_everyone_who_names_it() -> None:
    targets = [*pieces(1), RunTarget("activepieces", piece(1), "f" * 21)]
    batch_result, sent = drive(ActivepiecesApi(PROJECT), targets, lambda request: {"data": [piece_record(1)]})
    assert set(batch_result.found) == set(targets)
    assert sent[0]["limit"] == "1"


def test_activepieces_without_a_project_sends_nothing() -> None:
    with pytest.raises(ConfigurationError, match="project_id"):
        next(ActivepiecesApi(None).poll_batch(pieces(1, 2), 2, 100))


# -- Portable


def attempts(*numbers: int) -> list[Target]:
    return [RunTarget("portable", str(number), "7") for number in numbers]


NEWEST = NewestRunsTarget("portable", "7")


def portable_server(total: int, *, ignores_offset: bool = False) -> Callable[..., Any]:
    """Return a server with the attempts ``total`` to 1, newest first."""

    def answer(request: Request) -> Any:
        query = dict(request.query)
        offset = 0 if ignores_offset else int(query["offset"])
        numbers = range(total, 0, -1)[offset : offset + int(query["limit"])]
        return {
            "data": [{"id": number, "flow": 7, "lifecycle": "RUNNING", "disposition": "NONE"} for number in numbers]
        }

    return answer


def test_portable_reads_one_page_for_the_newest_runs_and_recent_attempts() -> None:
    batch_result, sent = drive(PortableApi(), [NEWEST, *attempts(300, 299, 250)], portable_server(300))
    assert [(query["limit"], query["offset"]) for query in sent] == [("100", "0")]
    assert ids(batch_result)["250"] == ["250"]
    assert ids(batch_result)[None] == [str(number) for number in range(300, 250, -1)]
    assert len(batch_result.runs) == 100


def test_portable_reads_few_attempts_when_nobody_waits_for_one() -> None:
    batch_result, sent = drive(PortableApi(), [NEWEST], portable_server(300))
    assert [query["limit"] for query in sent] == ["50"]
    assert len(batch_result.found[NEWEST]) == 50


def test_portable_walks_on_until_all_are_found() -> None:
    batch_result, sent = drive(PortableApi(), attempts(300, 30), portable_server(300))
    assert [query["offset"] for query in sent] == ["0", "100", "200"]
    assert ids(batch_result) == {"300": ["300"], "30": ["30"]}


def test_portable_makes_its_pages_as_large_as_many_attempts_need() -> None:
    _, sent = drive(PortableApi(), attempts(*range(1, 81)), portable_server(160))
    assert [query["limit"] for query in sent] == ["160"]


def test_portable_stops_at_the_last_page_without_what_is_not_there() -> None:
    batch_result, sent = drive(PortableApi(), attempts(150, 999), portable_server(150))
    assert [query["offset"] for query in sent] == ["0", "100"]
    assert ids(batch_result) == {"150": ["150"]}


def test_portable_stops_at_a_server_that_ignores_the_offset() -> None:
    batch_result, sent = drive(PortableApi(), [NEWEST, *attempts(150, 999)], portable_server(150, ignores_offset=True))
    assert len(sent) == 2
    assert set(ids(batch_result)) == {None, "150"}
    assert len(batch_result.found[NEWEST]) == 50
    assert len(batch_result.runs) == 100


def test_portable_with_an_empty_list() -> None:
    batch_result, sent = drive(PortableApi(), [NEWEST, *attempts(1)], portable_server(0))
    assert len(sent) == 1
    assert batch_result.found == {NEWEST: ()}


# -- TableFlow


def documents(*numbers: int) -> list[Target]:
    return [RunTarget("tableflow", f"run-{number}") for number in numbers]


def tableflow_server(total: int) -> Callable[..., Any]:
    """Return a server with the runs ``total`` to 1, newest first."""

    def answer(request: Request) -> Any:
        query = dict(request.query)
        offset, limit = int(query["offset"]), int(query["limit"])
        after = offset + limit
        return {
            "flow_runs": [
                {"id": f"run-{number}", "flow_id": "f", "status": "processing", "note": "x" * 1_000}
                for number in range(total, 0, -1)[offset:after]
            ],
            "pagination": {"total": total, "next_offset": after if after < total else None},
        }

    return answer


def test_tableflow_reads_its_list_until_all_are_found() -> None:
    batch_result, sent = drive(TableFlowApi(), documents(500, 499, 401, 400, 399), tableflow_server(500))
    assert [query["offset"] for query in sent] == ["0", "100"]
    assert len(batch_result.found) == 5
    assert len(batch_result.runs) == 200
    assert batch_result.bytes_per_run >= 1_000


def test_tableflow_stops_where_a_page_saved_no_more_than_one_read() -> None:
    """The next page would be a request too, and the rest may lie deep down in the list."""
    batch_result, sent = drive(TableFlowApi(), documents(500, 1, 2, 3, 4), tableflow_server(500))
    assert len(sent) == 1
    assert list(ids(batch_result)) == ["run-500"]


def test_tableflow_reads_no_page_for_a_single_missing_run() -> None:
    batch_result, sent = drive(TableFlowApi(), documents(500, 499, 498, 497, 1), tableflow_server(500))
    assert len(sent) == 1
    assert len(batch_result.found) == 4


def test_tableflow_reads_smaller_pages_when_rows_are_large() -> None:
    _, sent = drive(TableFlowApi(), documents(500, 499, 490, 489), tableflow_server(500), most=10)
    assert [(query["limit"], query["offset"]) for query in sent] == [("10", "0"), ("10", "10")]


def test_tableflow_shows_one_run_to_everyone_who_names_it() -> None:
    targets = [*documents(5), RunTarget("tableflow", "run-5", "f")]
    batch_result, _ = drive(TableFlowApi(), targets, tableflow_server(5))
    assert set(batch_result.found) == set(targets)


def test_tableflow_leaves_out_runs_that_have_ended() -> None:
    """Their details are in a single read only. They do not count as missing from the page."""
    server = tableflow_server(500)

    def respond(request: Request) -> Any:
        body = server(request)
        body["flow_runs"][0]["status"] = "completed"
        return body

    batch_result, sent = drive(TableFlowApi(), documents(500, 499, 498, 497), respond)
    assert len(sent) == 1
    assert ids(batch_result).keys() == {"run-497", "run-498", "run-499"}
    assert batch_result.runs[0].run_id == "run-500"


def test_tableflow_with_an_empty_list() -> None:
    batch_result, sent = drive(TableFlowApi(), documents(1, 2, 3, 4, 5), tableflow_server(0))
    assert len(sent) == 1
    assert batch_result == BatchResult({}, (), 0)


# -- a page that fails


def fail(server: Callable[[Request], Any], *numbers: int) -> Callable[[Request], Any]:
    """Let a server fail at some requests, counted from 1."""
    requests = count(1)

    def answer(request: Request) -> Any:
        if next(requests) in numbers:
            raise ServerError("Service", "GET", request.path, 503, "try later")
        return server(request)

    return answer


START = StartedRunTarget("portable", "7", MARK)


@pytest.mark.parametrize(
    ("api", "targets", "server", "found"),
    [
        (PortableApi(), [NEWEST, START, *attempts(300, 30)], portable_server(300), {NEWEST, *attempts(300)}),
        (TableFlowApi(), documents(500, 499, 400, 399), tableflow_server(500), set(documents(500, 499))),
    ],
    ids=["portable", "tableflow"],
)
def test_what_the_pages_before_showed_counts(
    api: Service, targets: list[Target], server: Callable[[Request], Any], found: set[Target]
) -> None:
    """Else one failure among many pages would leave all waits without a response."""
    batch_result, sent = drive(api, targets, fail(server, 2, 3))
    assert (len(sent), batch_result.found.keys(), len(batch_result.runs)) == (3, found, 100)
    assert isinstance(batch_result.error, ServerError)


@pytest.mark.parametrize(
    ("api", "targets", "server"),
    [
        (PortableApi(), [NEWEST, START, *attempts(300, 30)], portable_server(300)),
        (TableFlowApi(), documents(500, 499, 400, 399), tableflow_server(500)),
    ],
    ids=["portable", "tableflow"],
)
def test_a_page_after_the_first_is_requested_once_more(
    api: Service, targets: list[Target], server: Callable[[Request], Any]
) -> None:
    undisturbed, requests = drive(api, targets, server)
    batch_result, sent = drive(api, targets, fail(server, 2))
    assert batch_result.error is None
    assert ids(batch_result) == ids(undisturbed)
    assert sent == [requests[0], *requests[1:2], *requests[1:]]


@pytest.mark.parametrize("api", [PortableApi(), TableFlowApi()])
def test_nothing_is_found_if_the_first_page_fails(api: Service) -> None:
    targets = [NEWEST, *attempts(1)] if isinstance(api, PortableApi) else documents(1, 2)
    batch_result, _ = drive(api, targets, fail(portable_server(1), 1))
    assert (batch_result.found, batch_result.runs) == ({}, ())
    assert isinstance(batch_result.error, ServerError)


# -- who belongs together


@pytest.mark.parametrize(
    ("api", "together"),
    [
        (ActivepiecesApi, {RunTarget, StartedRunTarget}),
        (TableFlowApi, {RunTarget, StartedRunTarget}),
        (PortableApi, {RunTarget, NewestRunsTarget, StartedRunTarget}),
    ],
)
def test_what_can_be_looked_at_together(api: type[Service], together: set[type[Target]]) -> None:
    name = api.info.name
    targets: list[Target] = [
        FlowStatusTarget(name, "7"),
        WorkflowStatusTarget(name, "7"),
        NewestRunsTarget(name, "7"),
        RunTarget(name, "1", "7"),
        StartedRunTarget(name, "7", MARK),
    ]
    shared = {type(target) for target in targets if api.batch_key(target) is not None}
    assert shared == together
    one, other = (api.batch_key(RunTarget(name, run_id, "7")) for run_id in ("1", "2"))
    assert one == other


def test_portable_looks_together_only_within_a_flow() -> None:
    assert PortableApi.batch_key(NEWEST) == PortableApi.batch_key(attempts(1)[0])
    assert PortableApi.batch_key(NEWEST) != PortableApi.batch_key(NewestRunsTarget("portable", "8"))
