"""Many waits in one event loop against the sandbox: batches, shared requests, errors and cancellation."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.model.targets import FlowStatusTarget, NewestRunsTarget, RunTarget, Target
from airflow_provider_flowruns.polling import backoff
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.sandbox import RecordedRequest, Sandbox
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

LATENCY = 0.05
INTERVAL = 0.3
LIST = "/flow-runs$"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.05, 0.1))
    with Sandbox(latency=LATENCY) as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running


def trigger_on(target: Target, **changes: Any) -> FlowRunTrigger:
    now = Clock().now()
    config = {"interval_seconds": INTERVAL, "deadline_at": now + 120, "error_budget_seconds": 60.0, **changes}
    waiter = RunWaiter(WaitConfig(target=target, **config), now)
    return FlowRunTrigger(conn_id=f"{target.service}_default", waiter=waiter.to_json())


def trigger_on_run(run: Any, service: str = "activepieces", **changes: Any) -> FlowRunTrigger:
    flow_id = str(run.flow_id) if service == "portable" else None
    return trigger_on(RunTarget(service, str(run.id), flow_id), **changes)


async def outcome_of(trigger: FlowRunTrigger) -> str:
    (event,) = [event async for event in trigger.run()]
    return str(event.payload["outcome"])


def outcomes_of(triggers: Sequence[FlowRunTrigger]) -> list[str]:
    async def together() -> list[str]:
        return await asyncio.gather(*map(outcome_of, triggers))

    return asyncio.run(together())


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the sandbox runs in another thread
            await asyncio.sleep(0.01)


def ids_in(request: RecordedRequest) -> list[str]:
    return [value for name, value in request.query if name == "flowRunIds"]


def requests_to(sandbox: Sandbox, service: str) -> list[RecordedRequest]:
    return [request for request in sandbox.ledger.requests if request.service == service]


# -- batches


def test_three_hundred_runs_are_polled_by_the_hundred(sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    outcomes: list[Any] = ["SUCCEEDED", "FAILED", "CANCELED"] * 100
    runs = [flow.add_run(outcome=outcome, waiting=0.1, running=1.5) for outcome in outcomes]

    assert outcomes_of([trigger_on_run(run) for run in runs]) == [outcome.lower() for outcome in outcomes]

    # Individually they would take a thousand. A run may be polled individually if no other is due.
    assert len(sandbox.ledger.requests) < 200
    lists = [request for request in sandbox.ledger.requests if ids_in(request)]
    assert 50 <= max(len(ids_in(request)) for request in lists) <= 100
    assert all(int(dict(request.query)["limit"]) == len(ids_in(request)) for request in lists)


def test_only_runs_missing_from_lists_are_polled_individually(sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    runs = [flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=3.0) for _ in range(20)]
    runs[3].archived_at, runs[7].environment = runs[3].created, "TESTING"

    assert outcomes_of([trigger_on_run(run) for run in runs]) == ["succeeded"] * 20

    missing = [runs[3].id, runs[7].id]
    listed = Counter(run_id for request in sandbox.ledger.requests for run_id in ids_in(request))
    single_polls = Counter(
        request.path.rpartition("/")[2] for request in sandbox.ledger.requests if not ids_in(request)
    )
    assert all(listed[run_id] <= 1 for run_id in missing)
    assert all(single_polls[run_id] for run_id in missing)
    # A run may be polled individually if no other is due.
    others = [run.id for run in runs if run.id not in missing]
    assert sum(listed[run_id] for run_id in others) > sum(single_polls[run_id] for run_id in others)


def refused_list(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    sandbox.faults.add("status", status=status, path=LIST, body={"message": "not like this"}, times=None)


def no_project(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.loads(sandbox.connection_json("activepieces"))
    del connection["extra"]["project_id"]
    monkeypatch.setenv("AIRFLOW_CONN_ACTIVEPIECES_DEFAULT", json.dumps(connection))


def old_server(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.activepieces.supports_run_id_filter = False
    others = sandbox.activepieces.add_flow("Others")
    for _ in range(30):
        others.add_run(outcome="FAILED")


WITHOUT_LISTS: dict[str, Callable[[Sandbox, pytest.MonkeyPatch], None]] = {
    "400": lambda sandbox, patch: refused_list(sandbox, patch, 400),
    "403": lambda sandbox, patch: refused_list(sandbox, patch, 403),
    "404": lambda sandbox, patch: refused_list(sandbox, patch, 404),
    "no project": no_project,
    "a server that ignores the ids": old_server,
}


@pytest.mark.parametrize("name", WITHOUT_LISTS)
def test_without_a_usable_list_each_run_is_polled_individually(
    name: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = sandbox.activepieces.add_flow()
    runs = [flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0) for _ in range(20)]
    WITHOUT_LISTS[name](sandbox, monkeypatch)

    assert outcomes_of([trigger_on_run(run) for run in runs]) == ["succeeded"] * 20

    single_polls = {request.path.rpartition("/")[2] for request in sandbox.ledger.requests if not ids_in(request)}
    assert single_polls == {run.id for run in runs}
    # A run that was missing from a list is not requested in a list again.
    requested = [run_id for request in sandbox.ledger.requests for run_id in ids_in(request)]
    assert len(requested) == len(set(requested))


def test_large_rows_come_a_few_at_a_time(sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow("A flow with very many steps " * 700)
    runs = [flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=2.0) for _ in range(40)]

    assert outcomes_of([trigger_on_run(run) for run in runs]) == ["succeeded"] * 40

    batches = [len(ids_in(request)) for request in sandbox.ledger.requests if ids_in(request)]
    assert all(size < 10 for size in batches[-3:])


# -- shared requests


def test_waits_on_one_flow_share_one_request_at_a_time(sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(outcome="FAILED", waiting=0.1, running=1.5)

    assert outcomes_of([trigger_on(FlowStatusTarget("portable", str(flow.id))) for _ in range(100)]) == ["failed"] * 100

    arrivals = [request.time for request in sandbox.ledger.requests]
    assert len(arrivals) < 100
    # Each response takes the latency, and no request is sent while another is in flight.
    assert all(after - before >= LATENCY for before, after in pairwise(arrivals))


def test_attempts_of_one_flow_share_its_pages(sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    outcomes: list[Any] = ["SUCCEEDED", "FAILED"] * 30
    runs = [flow.add_run(outcome=outcome, waiting=0.1, running=1.5) for outcome in outcomes]

    assert outcomes_of([trigger_on_run(run, "portable") for run in runs]) == [outcome.lower() for outcome in outcomes]

    assert len(sandbox.ledger.requests) < len(runs)
    assert {request.path for request in sandbox.ledger.requests} == {f"/portable/v2/flows/{flow.id}/run"}


@pytest.mark.parametrize(("waits", "older_than"), [(30, 0), (3, 0), (8, 300)])
def test_a_list_is_polled_only_where_it_is_cheaper(waits: int, older_than: int, sandbox: Sandbox) -> None:
    """TableFlow's list contains all runs: for few runs, or runs far back in it, single requests are cheaper."""
    flow = sandbox.tableflow.add_flow()
    runs = [flow.add_run(outcome="SUCCEEDED", ago=60, waiting=0, running=62.5) for _ in range(waits)]
    for _ in range(older_than):
        flow.add_run(outcome="SUCCEEDED", ago=10)

    assert outcomes_of([trigger_on_run(run, "tableflow") for run in runs]) == ["succeeded"] * waits

    lists, singles = sandbox.ledger.count(path="/runs$"), sandbox.ledger.count(path="/runs/[^/]+$")
    if waits < 5:
        assert lists <= 1  # the flow's history, read once to learn how long its runs take
    elif older_than:
        assert lists < 2 * waits
        assert singles >= waits
    else:
        assert lists > 0
        assert lists + singles < 5 * waits  # individually they would take eight times as many


def test_a_wait_on_a_flow_follows_the_run_that_it_has_seen_active(sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    active = flow.add_run(outcome="FAILED", waiting=0.1, running=2.0)

    async def play() -> list[str]:
        waits = [
            asyncio.create_task(outcome_of(trigger_on(NewestRunsTarget("activepieces", flow.id)))) for _ in range(5)
        ]
        await until(lambda: sandbox.ledger.count(path=active.id))
        newer = flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=0.0)
        newest = asyncio.create_task(outcome_of(trigger_on_run(newer)))
        return [*await asyncio.gather(*waits), await newest]

    assert asyncio.run(play()) == ["failed"] * 5 + ["succeeded"]


# -- errors


TROUBLE: dict[str, dict[str, Any]] = {
    "503": {"kind": "status", "status": 503},
    "reset": {"kind": "reset"},
    "no JSON": {"kind": "html"},
}


@pytest.mark.parametrize("name", TROUBLE)
def test_an_error_counts_for_all_waits_that_shared_the_request(name: str, sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    runs = [flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=0.5) for _ in range(10)]
    fault = sandbox.faults.add(**TROUBLE[name], times=None)

    async def play() -> list[str]:
        patient = [asyncio.create_task(outcome_of(trigger_on_run(run))) for run in runs]
        impatient = [asyncio.create_task(outcome_of(trigger_on_run(run, error_budget_seconds=0.5))) for run in runs]
        ends = await asyncio.gather(*impatient)
        assert not any(waiting.done() for waiting in patient)
        fault.remove()
        return [*ends, *await asyncio.gather(*patient)]

    assert asyncio.run(play()) == ["unobservable"] * 10 + ["succeeded"] * 10


def test_a_rejected_token_ends_all_waits(sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    runs = [flow.add_run(outcome="RUNNING") for _ in range(50)]
    sandbox.activepieces.token = "made-up-new-token"

    assert outcomes_of([trigger_on_run(run) for run in runs]) == ["refused"] * 50


def test_retry_after_holds_back_the_whole_connection_and_no_other(sandbox: Sandbox) -> None:
    flow, other = sandbox.activepieces.add_flow(), sandbox.portable.add_flow()
    runs = [flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=0.5) for _ in range(50)]
    other.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0)
    sandbox.faults.add("status", service="activepieces", status=429, headers={"Retry-After": "5"})

    async def play() -> list[str]:
        scout = asyncio.create_task(outcome_of(trigger_on_run(runs[0])))
        await until(lambda: [request for request in requests_to(sandbox, "activepieces") if request.status])
        await asyncio.sleep(LATENCY)
        rest = [asyncio.create_task(outcome_of(trigger_on_run(run))) for run in runs[1:]]
        assert await outcome_of(trigger_on(FlowStatusTarget("portable", str(other.id)))) == "succeeded"
        assert len(requests_to(sandbox, "activepieces")) == 1
        return [await scout, *await asyncio.gather(*rest)]

    assert asyncio.run(play()) == ["succeeded"] * 50
    first, second, *_ = requests_to(sandbox, "activepieces")
    assert second.time >= first.time + 5


def test_rate_limits_without_retry_after_double_the_delay(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "INITIAL_BACKOFF_SECONDS", 0.8)
    run = sandbox.portable.add_flow().add_run(outcome="SUCCEEDED", waiting=0.1, running=0.1)
    sandbox.faults.add("status", status=429, times=2)

    assert outcomes_of([trigger_on_run(run, "portable")]) == ["succeeded"]
    first, second, third = (request.time for request in sandbox.ledger.requests[:3])
    assert second >= first + 0.8
    assert third >= second + 1.6


def test_a_deadline_is_kept_although_retry_after_is_a_day(sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    runs = [flow.add_run(outcome="RUNNING") for _ in range(10)]
    sandbox.faults.add("status", status=429, headers={"Retry-After": "86400"}, times=None)
    deadline = Clock().now() + 3

    async def play() -> list[str]:
        scout = asyncio.create_task(outcome_of(trigger_on_run(runs[0], deadline_at=deadline)))
        await until(lambda: [request for request in sandbox.ledger.requests if request.status])
        await asyncio.sleep(LATENCY)
        rest = await asyncio.gather(*(outcome_of(trigger_on_run(run, deadline_at=deadline)) for run in runs[1:]))
        return [await scout, *rest]

    assert asyncio.run(play()) == ["timed_out"] * 10
    _, *last_polls = sandbox.ledger.requests
    assert last_polls
    assert all(request.time >= deadline - 0.01 for request in last_polls)


# -- cancellation


async def cancelled(waits: Sequence[asyncio.Task[str]]) -> list[Any]:
    for waiting in waits:
        waiting.cancel()
    return [type(end) for end in await asyncio.gather(*waits, return_exceptions=True)]


def test_cancelling_waits_during_a_request_does_not_affect_others(sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    runs = [flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=0.2) for _ in range(10)]
    sandbox.faults.add("hang", seconds=1.0, times=None)

    async def play() -> list[str]:
        waits = [asyncio.create_task(outcome_of(trigger_on_run(run))) for run in runs]
        await until(lambda: sandbox.ledger.requests)
        assert await cancelled(waits[:5]) == [asyncio.CancelledError] * 5
        return await asyncio.gather(*waits[5:])

    assert asyncio.run(play()) == ["succeeded"] * 5


@pytest.mark.parametrize("fault", ["hang", None])
def test_the_last_wait_to_leave_stops_timers_and_closes_connections(fault: str | None, sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    runs = [flow.add_run(outcome="RUNNING") for _ in range(10)]
    if fault:
        sandbox.faults.add(fault, times=None)

    def loop_timers() -> list[asyncio.TimerHandle]:
        loop: Any = asyncio.get_running_loop()
        return [timer for timer in loop._scheduled if not timer.cancelled() and "PollLoop." in repr(timer)]

    async def come_and_go() -> None:
        waits = [asyncio.create_task(outcome_of(trigger_on_run(run))) for run in runs]
        await until(loop_timers)
        seen = len(sandbox.ledger.requests)
        await until(lambda: len(sandbox.ledger.requests) > seen)
        assert await cancelled(waits) == [asyncio.CancelledError] * 10

    async def play() -> None:
        tasks_before = asyncio.all_tasks()
        for _ in range(2):
            opened = sandbox.ledger.connections_opened
            await come_and_go()
            assert not loop_timers()
            await until(lambda: asyncio.all_tasks() == tasks_before)
            assert sandbox.ledger.connections_opened > opened  # none was kept from the time before

    asyncio.run(play())
