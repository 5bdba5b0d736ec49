"""Finding the runs of starts: what decides on each service, what is asked for it, and what is made of odd answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.model.calls import CallSequence, Request
from airflow_provider_flowruns.model.errors import ApiError, NotFoundError
from airflow_provider_flowruns.model.runs import FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import (
    RunTarget,
    StartedRunTarget,
    StartMarker,
    Target,
    sent_time,
    start_value,
)
from airflow_provider_flowruns.services import activepieces_starts
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.base import Service, cancel_run
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi

PROJECT, FLOW = "p" * 21, "f" * 21
NOW = 1_800_000_000.0
Answer = Callable[[Request], Any]


def value(number: int) -> str:
    return f"a_dag/manual__1/start/-1/{number:012x}"


def marker(number: int = 1, **changes: Any) -> StartMarker:
    arguments: dict[str, Any] = {"not_before_at": NOW, "not_after_at": NOW + 1.0, "after_run_id": "99"}
    return StartMarker(value(number), "airflow_run", **{**arguments, **changes})


def take(steps: CallSequence[Any], answer: Answer) -> tuple[Any, list[Request]]:
    """Take steps with an answering server; an ApiError that it returns comes instead of an answer."""
    sent: list[Request] = []
    try:
        call = next(steps)
        while True:
            assert len(sent) < 200, "it walks on and on"
            sent.append(call.request)
            body = answer(call.request)
            call = steps.throw(body) if isinstance(body, ApiError) else steps.send(call.read(body))
    except StopIteration as end:
        return end.value, sent


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat()


def ids(runs: tuple[FlowRun, ...]) -> list[str | None]:
    return [run.run_id for run in runs]


# -- what a mark allows


@pytest.mark.parametrize(
    ("created", "is_allowed"), [(-6.0, False), (-4.0, True), (0.5, True), (5.0, True), (7.0, False), (None, True)]
)
def test_a_mark_allows_what_was_created_in_its_time(created: float | None, is_allowed: bool) -> None:
    (run,) = attempts_of([{"id": 1, "trigger": "API", **({"createdAt": iso(created)} if created is not None else {})}])
    assert marker().allows(run) is is_allowed
    assert marker(not_before_at=None, not_after_at=None).allows(run)


def attempts_of(records: list[dict[str, Any]]) -> tuple[FlowRun, ...]:
    call = PortableApi().get_run_attempts(7).first
    return tuple(call.read({"data": [{"flow": 7, "lifecycle": "RUNNING", **record} for record in records]}).items)


def test_a_start_s_value_is_its_own_and_tells_its_time() -> None:
    values = {start_value(NOW + 0.25) for _ in range(1_000)}
    assert len(values) == 1_000
    assert {sent_time(one) for one in values} == {NOW + 0.25}
    assert sent_time("0123456789ab") is None


# -- Portable


def portable_target(**changes: Any) -> Target:
    arguments: dict[str, Any] = {"not_before_at": NOW, "not_after_at": NOW + 1.0, "after_run_id": "10"}
    return StartedRunTarget("portable", "7", StartMarker(value(1), "", **{**arguments, **changes}))


def portable_server(records: list[dict[str, Any]]) -> Answer:
    def answer(request: Request) -> Any:
        query = dict(request.query)
        offset = int(query["offset"])
        return {"data": records[offset : offset + int(query["limit"])]}

    return answer


def attempt(number: int, created: float, trigger: str = "API") -> dict[str, Any]:
    return {"id": number, "flow": 7, "lifecycle": "RUNNING", "trigger": trigger, "createdAt": iso(created)}


def test_portable_goes_by_order_even_if_times_are_not_known() -> None:
    records = [attempt(12, 900.0, "SCHEDULED"), attempt(11, -7_000.0), attempt(10, -8_000.0), attempt(9, -9_000.0)]
    found, sent = take(
        PortableApi().poll(portable_target(not_before_at=None, not_after_at=None)), portable_server(records)
    )
    assert ids(found) == ["11"]
    assert len(sent) == 1


def test_portable_takes_every_api_attempt_when_there_was_none_before() -> None:
    records = [attempt(12, 0.9), attempt(11, 0.1)]
    found, _ = take(PortableApi().poll(portable_target(after_run_id=None)), portable_server(records))
    assert ids(found) == ["12", "11"]


def test_portable_leaves_out_what_was_created_at_another_time() -> None:
    records = [attempt(14, 60.0), attempt(13, 0.9), attempt(12, 0.1), attempt(11, -60.0), attempt(10, -90.0)]
    found, _ = take(PortableApi().poll(portable_target()), portable_server(records))
    assert ids(found) == ["13", "12"]


def test_portable_walks_back_to_the_newest_attempt_before_and_no_further() -> None:
    records = [attempt(number, 10.0 * number - 110.0, "SCHEDULED") for number in range(500, 0, -1)]
    records[500 - 11] = attempt(11, 0.0)
    found, sent = take(PortableApi().poll(portable_target()), portable_server(records))
    assert ids(found) == ["11"]
    assert len(sent) == 5


def test_portable_reads_no_endless_history_when_that_attempt_is_gone() -> None:
    records = [attempt(number, float(number), "SCHEDULED") for number in range(20_000, 11, -1)]
    found, sent = take(PortableApi().poll(portable_target()), portable_server(records))
    assert (found, len(sent)) == ((), 20)


def test_portable_serves_starts_and_runs_of_one_flow_from_one_list() -> None:
    records = [attempt(12, 0.9), attempt(11, 0.1), attempt(10, -1.0), attempt(9, -9.0)]
    targets = [portable_target(), portable_target(after_run_id="11"), RunTarget("portable", "9", "7")]
    batch_result, sent = take(PortableApi().poll_batch(targets, 3, 100), portable_server(records))
    assert [ids(batch_result.found[target]) for target in targets] == [["12", "11"], ["12"], ["9"]]
    assert len(sent) == 1


# -- TableFlow


def tableflow_target(number: int = 1, **changes: Any) -> Target:
    return StartedRunTarget("tableflow", "f", marker(number, **changes))


def document(number: int, created: float, **fields: Any) -> dict[str, Any]:
    common = {"id": f"run-{number}", "flow_id": "f", "status": "processing", "trigger_method": "api"}
    return {**common, "created_at": int(NOW + created), **fields}


def tableflow_server(records: list[dict[str, Any]]) -> Answer:
    def answer(request: Request) -> Any:
        query = dict(request.query)
        offset, after = int(query["offset"]), int(query["offset"]) + int(query["limit"])
        following = after if after < len(records) else None
        return {"flow_runs": records[offset:after], "pagination": {"next_offset": following}}

    return answer


def test_tableflow_goes_by_the_value_whatever_the_times() -> None:
    records = [document(3, 9_000.0, metadata={"airflow_run": value(1)}), document(2, 0.0, metadata={})]
    found, _ = take(TableFlowApi().poll(tableflow_target()), tableflow_server(records))
    assert ids(found) == ["run-3"]


def test_tableflow_reads_back_to_the_start_and_no_further() -> None:
    records = [document(number, float(number - 200), metadata={}) for number in range(1_000, 0, -1)]
    found, sent = take(TableFlowApi().poll(tableflow_target()), tableflow_server(records))
    assert (found, len(sent)) == ((), 9)


def test_tableflow_without_times_reads_a_bounded_number_of_pages() -> None:
    records = [document(number, 0.0, metadata={}) for number in range(5_000, 0, -1)]
    target = tableflow_target(not_before_at=None, not_after_at=None)
    assert len(take(TableFlowApi().poll(target), tableflow_server(records))[1]) == 10


def test_tableflow_takes_by_time_only_api_runs_without_metadata() -> None:
    records = [
        document(5, 60.0),
        document(4, 0.5, metadata={"somebody": "else"}),
        document(3, 0.5, trigger_method="manual"),
        document(2, 0.5, metadata=None),
        document(1, -60.0),
    ]
    assert take(TableFlowApi().poll(tableflow_target()), tableflow_server(records))[0] == ()
    found, _ = take(TableFlowApi().poll(tableflow_target(can_match_by_time=True)), tableflow_server(records))
    assert [(run.run_id, run.kind) for run in found] == [("run-2", Kind.STARTED)]


def test_tableflow_serves_all_starts_of_a_flow_from_one_list() -> None:
    records = [document(number, 0.0, metadata={"airflow_run": value(number)}) for number in range(10, 0, -1)]
    targets = [tableflow_target(number) for number in (1, 5, 11)]
    batch_result, sent = take(TableFlowApi().poll_batch(targets, 3, 100), tableflow_server(records))
    assert [ids(batch_result.found[target]) for target in targets] == [["run-1"], ["run-5"], []]
    assert len(sent) == 1


# -- Activepieces


class Pieces:
    """A server with runs of one flow, that counts how often each is read."""

    def __init__(self, *runs: dict[str, Any]) -> None:
        self.runs = sorted(runs, key=lambda run: str(run["created"]), reverse=True)
        self.reads: list[str] = []
        self.hidden: set[str] = set()

    def __call__(self, request: Request) -> Any:
        name = request.path.rpartition("/")[2]
        if name != "flow-runs":
            self.reads.append(name)
            if name in self.hidden:
                return NotFoundError("Activepieces", "GET", request.path, 404, "no")
            return next(run for run in self.runs if run["id"] == name)
        query = dict(request.query)
        shown = [
            {key: what for key, what in run.items() if key != "steps"}
            for run in self.runs
            if query.get("createdAfter", "") <= str(run["created"]).replace("+00:00", "Z")
            and str(run["created"]).replace("+00:00", "Z") <= query.get("createdBefore", "~")
        ]
        return {"data": shown[: int(query["limit"])]}


def piece(number: int, created: float = 0.5, called_with: Any = None, status: str = "RUNNING") -> dict[str, Any]:
    """A run; ``called_with`` is its trigger's output, None when it shows none."""
    steps = {} if called_with is None else {"trigger": {"output": called_with}}
    common = {"id": f"{number:021d}", "flowId": FLOW, "projectId": PROJECT, "status": status}
    return {**common, "created": iso(created), "steps": steps}


def called(number: int) -> dict[str, Any]:
    return {"body": {"x": 1, "airflow_run": value(number)}}


def piece_target(number: int = 1, **changes: Any) -> Target:
    return StartedRunTarget("activepieces", FLOW, marker(number, **changes))


OTHERS = {"body": {"somebody": "else"}}


def test_activepieces_finds_the_run_by_what_it_was_called_with() -> None:
    server = Pieces(piece(1, 0.5, OTHERS), piece(2, 0.6, called(1)), piece(3, 0.7, called(2)))
    found, _ = take(ActivepiecesApi(PROJECT).poll(piece_target()), server)
    assert [run.run_id for run in found] == [server.runs[1]["id"]]


@pytest.mark.parametrize(
    "output",
    [
        {"body": f'{{"x": 1, "airflow_run": "{value(1)}"}}'},
        {"rawBody": f'{{"airflow_run": "{value(1)}"}}'},
        {"queryParams": {"airflow_run": value(1)}},
        {"body": [{"deep": [{"er": {"airflow_run": value(1)}}]}]},
        [value(1)],
        value(1),
        {"body": "x" * 1_000_000 + value(1)},
        {"body": {"large": ["y" * 1_000] * 500, "airflow_run": value(1)}},
    ],
    ids=["text", "raw", "query", "deep", "list", "bare", "end of a long text", "beside much else"],
)
def test_activepieces_finds_the_value_wherever_the_trigger_hands_it_on(output: Any) -> None:
    found, _ = take(ActivepiecesApi(PROJECT).poll(piece_target()), Pieces(piece(1, 0.5, output)))
    assert len(found) == 1


def test_activepieces_reads_no_run_twice_whoever_looks() -> None:
    server = Pieces(*(piece(number, 0.1, OTHERS) for number in range(3)), piece(9, status="QUEUED"))
    api = ActivepiecesApi(PROJECT)
    for _ in range(5):
        for number in (1, 2):
            take(api.poll(piece_target(number)), server)
    assert len(server.reads) == len(set(server.reads)) == 3


def test_activepieces_reads_a_run_again_that_has_only_just_begun() -> None:
    server = Pieces(piece(1))
    api = ActivepiecesApi(PROJECT)
    assert [run.run_id for run in take(api.poll(piece_target()), server)[0]] == [None]
    server.runs[0]["steps"] = {"trigger": {"output": called(1)}}
    assert [run.run_id for run in take(api.poll(piece_target()), server)[0]] == [server.runs[0]["id"]]


def test_activepieces_says_that_a_queued_run_may_be_the_one() -> None:
    (run,) = take(ActivepiecesApi(PROJECT).poll(piece_target()), Pieces(piece(1, status="QUEUED")))[0]
    assert (run.run_id, run.kind, run.lifecycle) == (None, Kind.STARTED, Lifecycle.PENDING)


def test_activepieces_counts_many_runs_first_and_then_reads_a_few_at_a_time_the_closest_first() -> None:
    server = Pieces(*(piece(number, 1.0 * number - 10.0, OTHERS) for number in range(150)))
    api = ActivepiecesApi(PROJECT)
    (run,), sent = take(api.poll(piece_target()), server)
    assert (run.run_id, run.lifecycle, server.reads, len(sent)) == (None, Lifecycle.UNKNOWN, [], 1)
    _, sent = take(api.poll(piece_target()), server)
    assert len(sent) == 1 + len(server.reads) == 1 + activepieces_starts.FEW_RUNS
    assert {int(read) for read in server.reads} == {9, 10, 11, 12}  # created around the start


def test_activepieces_learns_from_runs_it_reads_how_long_starts_are_in_the_queue() -> None:
    """100 starts within two seconds, each looked for by a process of its own; a run is made three seconds later."""
    jitter = random.Random(1)
    values = [f"a_dag/manual__1/start/-1/{start_value(NOW + 0.02 * number)}" for number in range(100)]
    server = Pieces(
        *(
            piece(number, 3.0 + 0.02 * number + jitter.random() * 0.05, {"body": {"airflow_run": one}})
            for number, one in enumerate(values)
        )
    )
    for number, one in enumerate(values):
        sent_at = NOW + 0.02 * number
        target = StartedRunTarget(
            "activepieces",
            FLOW,
            StartMarker(one, "airflow_run", sent_at - 0.5, sent_at + 0.6, "99"),
        )
        api = ActivepiecesApi(PROJECT)
        for _ in range(50):
            found, _ = take(api.poll(target), server)
            if found[0].run_id:
                break
        assert found[0].run_id == f"{number:021d}"
    assert len(server.reads) / 100 <= 6


def test_activepieces_leaves_a_run_that_cannot_be_read_for_the_next_look() -> None:
    server = Pieces(piece(1, 0.5, called(1)))
    server.hidden.add(server.runs[0]["id"])
    api = ActivepiecesApi(PROJECT)
    assert [run.run_id for run in take(api.poll(piece_target()), server)[0]] == [None]
    server.hidden.clear()
    assert [run.run_id for run in take(api.poll(piece_target()), server)[0]] == [server.runs[0]["id"]]


def test_activepieces_serves_all_starts_of_a_flow_from_one_list() -> None:
    server = Pieces(*(piece(number, 0.01 * number, called(number)) for number in range(30)))
    targets = [piece_target(number) for number in range(30)]
    batch_result, sent = take(ActivepiecesApi(PROJECT).poll_batch(targets, 30, 100), server)
    assert [ids(batch_result.found[target]) for target in targets] == [[f"{number:021d}"] for number in range(30)]
    assert (len(sent) - len(server.reads), len(server.reads)) == (1, 30)


def test_activepieces_takes_by_time_only_runs_that_show_no_call() -> None:
    server = Pieces(
        piece(1, 0.5, OTHERS),
        piece(2, 0.5, {"data": "what the trigger made of it"}),
        piece(3, 0.5, status="CANCELED"),
        piece(4, 400.0, {"data": "much later"}),
        piece(5, -60.0, {"data": "before"}),
    )
    api = ActivepiecesApi(PROJECT)
    assert take(api.poll(piece_target()), server)[0] == ()
    found, _ = take(api.poll(piece_target(can_match_by_time=True)), server)
    assert sorted(int(str(run.run_id)) for run in found) == [2, 3]
    assert {run.kind for run in found} == {Kind.STARTED}


def test_activepieces_without_times_looks_back_to_the_newest_run_before() -> None:
    before, other = piece(5, -60.0, {"data": 1}), piece(4, -90.0, {"data": 1})
    server = Pieces(piece(6, 0.5, {"data": 1}), before, other)
    target = piece_target(not_before_at=None, not_after_at=None, after_run_id=before["id"], can_match_by_time=True)
    found, sent = take(ActivepiecesApi(PROJECT).poll(target), server)
    assert [int(str(run.run_id)) for run in found] == [6]
    assert not {"createdAfter", "createdBefore"} & dict(sent[0].query).keys()


def test_activepieces_searches_in_the_server_s_own_time() -> None:
    _, first = take(ActivepiecesApi(PROJECT).poll(piece_target()), Pieces())
    _, last = take(ActivepiecesApi(PROJECT).poll(piece_target(can_match_by_time=True)), Pieces())
    windows = [(query["createdAfter"], query["createdBefore"]) for query in (dict(one.query) for one in first + last)]
    after = iso(-5.0).replace("+00:00", "Z")
    befores = [iso(6.0 + late).replace("+00:00", "Z") for late in (10.0, 180.0, 180.0, 3_600.0)]
    assert windows == [(after, before) for before in befores]


def test_activepieces_searches_for_starts_of_different_days_one_after_the_other() -> None:
    """What was created in between would hide the older one."""
    between = [piece(number, 600.0 + number, OTHERS) for number in range(300)]
    server = Pieces(piece(901, 0.5, called(1)), *between, piece(902, 90_000.5, called(2)))
    targets = [piece_target(1), piece_target(2, not_before_at=NOW + 90_000.0, not_after_at=NOW + 90_001.0)]
    batch_result, sent = take(ActivepiecesApi(PROJECT).poll_batch(targets, 2, 100), server)
    assert [ids(batch_result.found[target]) for target in targets] == [[f"{901:021d}"], [f"{902:021d}"]]
    assert len(sent) == 4


def test_activepieces_gives_a_search_up_among_too_many_runs() -> None:
    server = Pieces(*(piece(number, 1.0, OTHERS) for number in range(1_000)))
    api = ActivepiecesApi(PROJECT)
    for _ in range(60):
        found, sent = take(api.poll(piece_target()), server)
        assert len(sent) <= 2 * activepieces_starts.MAX_PAGES + activepieces_starts.FEW_RUNS
        if not found:
            break
    assert found == ()


# -- cancelling


def cancel(service: Service, target: Target, answer: Answer) -> tuple[str, list[str]]:
    said, sent = take(cancel_run(service, target), answer)
    return said, [request.path for request in sent if request.method == "POST"]


def test_a_lone_run_of_a_start_is_cancelled() -> None:
    server = portable_server([attempt(11, 0.5), {**attempt(10, -9.0), "lifecycle": "NOT_RUNNING"}])
    said, posts = cancel(PortableApi(), portable_target(), lambda request: server(request) if request.query else {})
    assert (said.startswith("requested the cancellation of Portable flow 7"), posts) == (True, ["/v2/flows/7/cancel"])


def test_of_several_runs_that_may_be_the_one_none_is_cancelled() -> None:
    said, posts = cancel(PortableApi(), portable_target(), portable_server([attempt(12, 0.7), attempt(11, 0.5)]))
    assert posts == []
    assert "nothing was cancelled" in said
    assert "12, 11 of flow 7" in said


def test_a_run_taken_by_its_time_alone_is_not_cancelled() -> None:
    server = Pieces(piece(2, 0.5, {"data": 1}, status="PAUSED"))
    said, posts = cancel(ActivepiecesApi(PROJECT), piece_target(can_match_by_time=True), server)
    assert posts == []
    assert "nothing was cancelled" in said
