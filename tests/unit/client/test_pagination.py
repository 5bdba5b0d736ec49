"""Walking a list page by page gives every item once, in order, and ends."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from msgspec.structs import replace

from airflow_provider_flowruns.client.pagination import Paginator
from airflow_provider_flowruns.model.calls import CallSequence, Pages, Request
from airflow_provider_flowruns.model.errors import ApiError, InvalidRequestError, NotFoundError, UnexpectedResponseError
from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi

PROJECT_ID = "19NxIjX88XDYnuT9t5cwP"
T0 = datetime(2026, 1, 31, 12, tzinfo=UTC)

Server = Callable[[Request], Any]


def walked(pages: Pages, server: Server) -> tuple[list, list[Request]]:
    """Return the items of a list and the requests it took, as both clients walk it."""
    paginator, items, sent = Paginator(pages), [], []

    def serve(request: Request) -> Any:
        sent.append(request)
        return server(request)

    while paginator.call:
        items += paginator.read_page(driven(paginator.fetch_page(), serve))
    return items, sent


def driven(steps: CallSequence, server: Server) -> Any:
    """Return what steps come to, as both clients drive them."""
    try:
        call = next(steps)
        while True:
            try:
                result = call.read(server(call.request))
            except ApiError as error:
                call = steps.throw(error)
            else:
                call = steps.send(result)
    except StopIteration as end:
        return end.value


def ids(runs: list) -> list[str]:
    return [run.run_id for run in runs]


def query(request: Request) -> dict[str, str]:
    return dict(request.query)


# -- Portable: limit and offset, until a short page


def attempts(count: int) -> Server:
    def serve(request: Request) -> dict:
        start, size = int(query(request)["offset"]), int(query(request)["limit"])
        return {"data": [{"id": number} for number in range(count)][start : start + size]}

    return serve


@pytest.mark.parametrize(
    ("count", "offsets"),
    [(0, ["0"]), (2, ["0"]), (3, ["0", "3"]), (4, ["0", "3"]), (7, ["0", "3", "6"]), (9, ["0", "3", "6", "9"])],
)
def test_portable_asks_until_a_short_page(count, offsets) -> None:
    items, sent = walked(PortableApi().get_run_attempts(5, limit=3), attempts(count))
    assert ids(items) == [str(number) for number in range(count)]
    assert [query(request)["offset"] for request in sent] == offsets
    assert {query(request)["limit"] for request in sent} == {"3"}


def test_portable_gives_an_attempt_once_when_a_new_one_shifts_the_pages() -> None:
    answers = iter([[5, 4, 3], [3, 2, 1], [0]])
    items, sent = walked(
        PortableApi().get_run_attempts(5, limit=3), lambda _: {"data": [{"id": id} for id in next(answers)]}
    )
    assert ids(items) == ["5", "4", "3", "2", "1", "0"]
    assert [query(request)["offset"] for request in sent] == ["0", "3", "6"]


def test_portable_goes_on_behind_what_came_when_that_is_more_than_asked_for() -> None:
    answers = iter([[5, 4, 3], [2]])
    pages = PortableApi().get_run_attempts(5, limit=2)
    items, sent = walked(pages, lambda _: {"data": [{"id": id} for id in next(answers)]})
    assert ids(items) == ["5", "4", "3", "2"]
    assert [query(request)["offset"] for request in sent] == ["0", "3"]


def test_portable_keeps_its_filters_on_every_page() -> None:
    pages = PortableApi().get_run_attempts(5, limit=1, start_time=T0, end_time=T0 + timedelta(hours=1))
    _, sent = walked(pages, attempts(2))
    wanted = {"startTime": "2026-01-31T12:00:00Z", "endTime": "2026-01-31T13:00:00Z"}
    assert all(wanted.items() <= query(request).items() for request in sent)
    assert len(sent) == 3


def refusing(words: set[str], server: Server) -> Server:
    def serve(request: Request) -> Any:
        if query(request).get("sort") in words:
            raise InvalidRequestError("Portable", "GET", request.path, 400, "bad sort")
        return server(request)

    return serve


@pytest.mark.parametrize(
    ("refused", "sorts"), [(set(), ["ASC", "ASC"]), ({"ASC"}, ["ASC", "asc", "asc"]), ({"asc"}, ["ASC", "ASC"])]
)
def test_portable_says_ascending_in_the_spelling_that_the_server_takes(refused, sorts) -> None:
    items, sent = walked(PortableApi().get_run_attempts(5, sort="asc", limit=2), refusing(refused, attempts(3)))
    assert ids(items) == ["0", "1", "2"]
    assert [query(request)["sort"] for request in sent] == sorts


def test_a_list_that_is_refused_in_every_spelling_raises_the_refusal() -> None:
    pages = PortableApi().get_run_attempts(5, sort="ASC")
    with pytest.raises(InvalidRequestError, match="bad sort"):
        walked(pages, refusing({"ASC", "asc"}, attempts(3)))


def test_a_later_page_that_is_refused_is_not_tried_in_other_words() -> None:
    def serve(request: Request) -> Any:
        if query(request)["offset"] != "0":
            raise InvalidRequestError("Portable", "GET", request.path, 400, "too far")
        return attempts(3)(request)

    with pytest.raises(InvalidRequestError, match="too far"):
        walked(PortableApi().get_run_attempts(5, sort="ASC", limit=2), serve)


def test_a_list_with_one_spelling_raises_the_first_refusal() -> None:
    def serve(request: Request) -> Any:
        raise InvalidRequestError("Portable", "GET", request.path, 400, "no")

    with pytest.raises(InvalidRequestError, match="no"):
        walked(PortableApi().get_run_attempts(5), serve)


def test_portable_that_ignores_the_offset_ends_in_an_error_and_not_in_an_endless_walk() -> None:
    requests = []

    def serve(request: Request) -> Any:
        requests.append(request)
        return {"data": [{"id": 2}, {"id": 1}]}

    with pytest.raises(UnexpectedResponseError, match="does not advance"):
        walked(PortableApi().get_run_attempts(5, limit=2), serve)
    assert 2 < len(requests) < 20


@pytest.mark.parametrize("ignores_offset", [True, False])
def test_looking_for_an_attempt_that_is_not_there_ends(ignores_offset) -> None:
    offsets = []

    def serve(request: Request) -> dict:
        offsets.append(query(request)["offset"])
        return attempts(250)(replace(request, query=(("limit", "100"), ("offset", "0"))) if ignores_offset else request)

    with pytest.raises(NotFoundError, match="flow 5 has no run attempt 999"):
        driven(PortableApi().poll(RunTarget("portable", "999", "5")), serve)
    assert offsets == (["0", "100"] if ignores_offset else ["0", "100", "200"])


def test_looking_for_an_attempt_stops_at_the_page_that_holds_it() -> None:
    offsets = []

    def serve(request: Request) -> dict:
        offsets.append(query(request)["offset"])
        return attempts(950)(request)

    (run,) = driven(PortableApi().poll(RunTarget("portable", "120", "5")), serve)
    assert (run.run_id, offsets) == ("120", ["0", "100"])


# -- Activepieces: overlapping windows back in time, because the server's cursor loses runs


def stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def runs_of(moments: list[datetime]) -> Server:
    """Serve runs as Activepieces does: newest first by ``created``, bounds inclusive, ``limit`` without a cap."""
    rows = sorted(((moment, f"run{number:018}") for number, moment in enumerate(moments)), reverse=True)

    def serve(request: Request) -> dict:
        asked = query(request)
        before = datetime.fromisoformat(asked["createdBefore"]) if "createdBefore" in asked else datetime.max
        after = datetime.fromisoformat(asked["createdAfter"]) if "createdAfter" in asked else datetime.min
        found = [
            {"id": id, "created": stamp(moment), "status": "SUCCEEDED"}
            for moment, id in rows
            if after.replace(tzinfo=UTC) <= moment <= before.replace(tzinfo=UTC)
        ]
        return {"data": found[: int(asked["limit"])], "next": "a cursor that is not followed", "previous": None}

    return serve


def listed(moments: list[datetime], limit: int, **filters: Any) -> tuple[list, list[Request]]:
    return walked(ActivepiecesApi(PROJECT_ID).list_flow_runs(limit=limit, **filters), runs_of(moments))


MINUTES = [T0 + timedelta(minutes=minute) for minute in range(10)]
BURST = [T0] * 8
AROUND = [T0 - timedelta(seconds=1), T0 + timedelta(seconds=1)]


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([], id="nothing"),
        pytest.param(MINUTES, id="a minute apart"),
        pytest.param([T0 + timedelta(milliseconds=number) for number in range(8)], id="a millisecond apart"),
        pytest.param([T0 + timedelta(microseconds=number) for number in range(8)], id="a microsecond apart"),
        pytest.param([T0 + timedelta(milliseconds=99 * number) for number in range(12)], id="same second"),
        pytest.param(BURST, id="same millisecond"),
        pytest.param([*AROUND, *BURST], id="same millisecond among others"),
        pytest.param([*BURST, *BURST, *MINUTES], id="a burst of five pages at the end"),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_activepieces_gives_every_run_once_and_newest_first(moments, limit) -> None:
    items, _ = listed(moments, limit)
    assert len(ids(items)) == len(set(ids(items))) == len(moments)
    times = [run.created_at for run in items]
    assert times == sorted(times, reverse=True)


def test_activepieces_asks_for_a_larger_page_when_a_burst_fills_one() -> None:
    _, sent = listed(BURST, limit=3)
    sizes = [int(query(request)["limit"]) for request in sent]
    assert sizes == sorted(sizes)
    assert max(sizes) > len(BURST)


def test_activepieces_moves_by_time_and_never_by_cursor() -> None:
    _, sent = listed(MINUTES, limit=4)
    assert all("cursor" not in query(request) for request in sent)
    windows = [query(request).get("createdBefore") for request in sent]
    assert windows[0] is None
    assert windows[1:] == sorted(map(str, windows[1:]), reverse=True)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_activepieces_stays_within_the_window_asked_for(limit) -> None:
    items, sent = listed(MINUTES, limit, created_after=MINUTES[2], created_before=MINUTES[6])
    assert [run.created_at for run in items] == MINUTES[6:1:-1]
    assert {query(request)["createdAfter"] for request in sent} == {"2026-01-31T12:02:00Z"}


def test_activepieces_that_gives_no_times_ends_after_a_page() -> None:
    served = [{"id": "a" * 21, "status": "RUNNING"}, {"id": "b" * 21, "status": "RUNNING"}]
    items, sent = walked(ActivepiecesApi(PROJECT_ID).list_flow_runs(limit=2), lambda _: {"data": served})
    assert (len(items), len(sent)) == (2, 1)


def test_activepieces_that_ignores_the_window_ends() -> None:
    rows = runs_of(MINUTES)

    def serve(request: Request) -> Any:
        return rows(Request("GET", request.path, (("limit", query(request)["limit"]),)))

    items, sent = walked(ActivepiecesApi(PROJECT_ID).list_flow_runs(limit=3), serve)
    assert len(items) == len(MINUTES)
    assert len(sent) < 20


@pytest.mark.parametrize(
    ("cursors", "requests"),
    [
        ([None], 1),
        (["b", "c", None], 3),
        (["b", "b", None], 2),
        (["", None], 1),
    ],
)
def test_activepieces_flows_follow_the_cursor_until_it_ends_or_stands_still(cursors, requests) -> None:
    answers = iter(cursors)
    sent = []

    def serve(request: Request) -> dict:
        sent.append(query(request).get("cursor"))
        return {"data": [{"id": f"flow{len(sent)}"}], "next": next(answers)}

    items, _ = walked(ActivepiecesApi(PROJECT_ID).list_flows(limit=1), serve)
    assert [flow.flow_id for flow in items] == [f"flow{number + 1}" for number in range(requests)]
    assert sent == [None, *cursors[: requests - 1]]


def test_activepieces_flows_end_at_an_empty_page_whatever_its_cursor() -> None:
    _, sent = walked(ActivepiecesApi(PROJECT_ID).list_flows(), lambda _: {"data": [], "next": "bmV4dF91bmRlZmluZWQ="})
    assert len(sent) == 1


# -- TableFlow: next_offset


def table(count: int, **changes: Any) -> Server:
    def serve(request: Request) -> dict:
        start, size = int(query(request)["offset"]), int(query(request)["limit"])
        rows = [{"id": f"r{number}", "status": "completed"} for number in range(count)][start : start + size]
        following = start + size if start + size < count else None
        return {"flow_runs": rows, "pagination": {"total": count, "next_offset": following, **changes}}

    return serve


@pytest.mark.parametrize(("count", "offsets"), [(0, ["0"]), (3, ["0"]), (4, ["0", "3"]), (7, ["0", "3", "6"])])
def test_tableflow_asks_until_next_offset_is_null(count, offsets) -> None:
    items, sent = walked(TableFlowApi().list_flow_runs(limit=3), table(count))
    assert ids(items) == [f"r{number}" for number in range(count)]
    assert [query(request)["offset"] for request in sent] == offsets


@pytest.mark.parametrize("standing_still", [0, -3, "3", 3.5, True, {}])
def test_tableflow_ends_when_next_offset_does_not_move(standing_still) -> None:
    items, sent = walked(TableFlowApi().list_flow_runs(limit=3), table(9, next_offset=standing_still))
    assert (len(items), len(sent)) == (3, 1)


def test_tableflow_ends_when_next_offset_stands_still_later_on() -> None:
    items, sent = walked(TableFlowApi().list_flow_runs(limit=3), table(9, next_offset=3))
    assert (len(items), len(sent)) == (6, 2)


def test_tableflow_ends_at_an_empty_page_whatever_its_next_offset() -> None:
    _, sent = walked(TableFlowApi().list_flow_runs(limit=3), table(0, next_offset=3))
    assert len(sent) == 1


def test_tableflow_goes_on_over_a_page_of_which_the_filter_leaves_nothing() -> None:
    pages = TableFlowApi().list_flow_runs(limit=2, status="failed")

    def serve(request: Request) -> dict:
        answer = table(6)(request)
        if query(request)["offset"] == "4":
            answer["flow_runs"][0]["status"] = "failed"
        return answer

    items, sent = walked(pages, serve)
    assert ids(items) == ["r4"]
    assert [query(request)["offset"] for request in sent] == ["0", "2", "4"]


# -- all of them


def test_nothing_is_asked_before_it_is_needed() -> None:
    paginator, served = Paginator(PortableApi().get_run_attempts(5, limit=2)), []

    def items():
        while paginator.call:
            served.append(paginator.call.request)
            yield from paginator.read_page(paginator.call.read(attempts(9)(paginator.call.request)))

    assert ids(list(islice(items(), 4))) == ["0", "1", "2", "3"]
    assert [query(request)["offset"] for request in served] == ["0", "2"]


def test_a_walk_remembers_what_came_lately_and_not_all_that_ever_came() -> None:
    paginator = Paginator(PortableApi().get_run_attempts(5, limit=1000))
    serve, given = attempts(60_500), 0
    while call := paginator.call:
        given += len(paginator.read_page(call.read(serve(call.request))))
        assert len(paginator._seen) <= 20_000
    assert given == 60_500


def test_a_long_walk_still_gives_an_attempt_once_when_thousands_of_new_ones_shift_the_pages() -> None:
    total = 40_000

    def serve(request: Request) -> dict:
        start = int(query(request)["offset"])
        arrived = 9_500 if start >= 30_000 else 0
        newest_first = range(total + arrived - 1, -1, -1)
        return {"data": [{"id": number} for number in newest_first[start : start + 1000]]}

    items, _ = walked(PortableApi().get_run_attempts(5, limit=1000), serve)
    assert ids(items) == [str(number) for number in range(total - 1, -1, -1)]


def test_a_burst_larger_than_what_is_remembered_is_given_once() -> None:
    moments = [T0] * 25_000
    items, _ = listed(moments, 1000)
    assert len(set(ids(items))) == len(items) == 25_000
