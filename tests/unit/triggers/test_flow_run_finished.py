"""Tests of an asset watcher's trigger against the sandbox; ``tests/airflow/test_watchers`` has a real Airflow."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.connection import get_async_connection

from airflow_provider_flowruns.client import aio
from airflow_provider_flowruns.client.aio_transport import MAX_CONNECTIONS
from airflow_provider_flowruns.compat.versions import get_base_event_trigger
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.runs import Disposition
from airflow_provider_flowruns.polling import backoff, scheduler
from airflow_provider_flowruns.polling import flow_watcher as watcher
from airflow_provider_flowruns.sandbox import Sandbox, SandboxRun
from airflow_provider_flowruns.triggers import connection, cursor, poll_loop
from airflow_provider_flowruns.triggers import flow_run_finished as finished
from airflow_provider_flowruns.triggers.flow_run import FlowRunFinishedTrigger

SERVICES = ("portable", "activepieces", "tableflow")
UNKNOWN = {"portable": 999_999, "activepieces": "NoSuchFlow00000000000", "tableflow": "NoSuchFlow000000"}
RUNNING: dict[str, Any] = {"waiting": 0.0, "running": 0.3}


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "MIN_POLL_INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(finished, "_CHECK_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(finished, "_DELIVERED_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(watcher, "PERMANENT_ERROR_INTERVAL_SECONDS", 0.2)
    monkeypatch.setattr(backoff, "INITIAL_BACKOFF_SECONDS", 0.2)
    monkeypatch.setattr(aio, "RELOAD_INTERVAL_SECONDS", 0.2)
    monkeypatch.setattr(cursor, "RETRY_DELAYS_SECONDS", (0.01, 0.01))


def create_trigger(service: str, flow_id: Any, **given: Any) -> Any:
    """Return a trigger that polls often, and writes to a log that a test can read."""
    trigger = FlowRunFinishedTrigger(service, flow_id, **{"poll_interval": 0.1, **given})
    trigger._log = logging.getLogger("watcher")  # type: ignore[assignment]
    return trigger


class Watchers:
    """Triggers that run concurrently, and the events that they fired."""

    def __init__(self, sandbox: Sandbox, *triggers: FlowRunFinishedTrigger) -> None:
        self.sandbox = sandbox
        self.triggers = triggers
        self.reported: list[dict[str, Any]] = []

    @property
    def run_ids(self) -> list[str]:
        return [run["run_id"] for run in self.reported]

    def play(self, script: Callable[[], Awaitable[None]]) -> None:
        """Run the triggers for as long as a script takes; none of them may end by itself."""
        asyncio.run(self.play_in_loop(script))

    async def play_in_loop(self, script: Callable[[], Awaitable[None]]) -> None:
        """Do so in an event loop that runs."""

        async def listen(trigger: FlowRunFinishedTrigger) -> None:
            async for event in trigger.run():
                self.reported.append(event.payload)

        tasks = [asyncio.create_task(listen(trigger)) for trigger in self.triggers]
        async with asyncio.timeout(60):
            await script()
        assert not [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        # Nothing to await: the sandbox runs in a thread of its own.
        while not condition():  # ruff: ignore[async-busy-wait]
            await asyncio.sleep(0.02)

    async def until_reported(self, *runs: SandboxRun) -> None:
        await self.until(lambda: {str(run.id) for run in runs} <= set(self.run_ids))

    async def polls(self, count: int) -> None:
        """Wait for so many requests more."""
        before = self.sandbox.ledger.count()
        await self.until(lambda: self.sandbox.ledger.count() >= before + count)


async def two_runs_in_turn(watchers: Watchers, flow: Any) -> None:
    await watchers.polls(2)
    await watchers.until_reported(flow.add_run(**RUNNING))
    await watchers.until_reported(flow.add_run(**RUNNING))


class Store:
    """The state store that Airflow 3.3 passes to the trigger of one asset; not all of Airflow 3.3.0's are async."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.failures = 0
        self.failing_reads = 0
        self.tries = 0

    async def aget(self, key: str) -> Any:
        if self.failing_reads:
            self.failing_reads -= 1
            raise OSError("the database is down")
        return self.values.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self.tries += 1
        if self.failures:
            self.failures -= 1
            raise OSError("the database is down")
        self.values[key] = value


class RecordingStore(Store):
    """A store that records every saved text, and the runs reported by then."""

    def __init__(self) -> None:
        super().__init__()
        self.watchers: Watchers | None = None
        self.history: list[tuple[list[str], dict[str, Any]]] = []

    async def aset(self, key: str, value: Any) -> None:
        await super().aset(key, value)
        assert self.watchers
        self.history.append((list(self.watchers.run_ids), json.loads(value)))


class OlderStore:
    """The state store of Airflow 3.3.0."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


class AmbiguousStore:
    """The state store that Airflow passes to a trigger that several assets share."""

    async def aget(self, key: str) -> Any:
        raise ValueError("Task has 2 concrete inlets and outlets")

    aset = aget


@pytest.mark.parametrize("service", SERVICES)
def test_each_completed_run_is_an_event_with_its_summary(service: str, sandbox: Sandbox) -> None:
    flow = getattr(sandbox, service).add_flow()
    flow.add_run(ago=60, waiting=0.0)
    watchers = Watchers(sandbox, create_trigger(service, flow.id))

    async def script() -> None:
        await watchers.polls(2)
        failed = flow.add_run(outcome="FAILED", **RUNNING)
        runs = [flow.add_run(**RUNNING) for _ in range(3)]
        await watchers.until_reported(*runs)
        await watchers.until(lambda: failed.ended_at is not None)
        await watchers.polls(3)
        assert Counter(watchers.run_ids) == Counter(str(run.id) for run in runs)

    watchers.play(script)
    for run in watchers.reported:
        assert run == json.loads(json.dumps(run))
        assert (run["service"], run["flow_id"], run["disposition"]) == (service, str(flow.id), "SUCCEEDED")


def test_a_retried_run_is_reported_again(sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    watchers = Watchers(sandbox, create_trigger("activepieces", flow.id, outcomes=["FAILED"]))

    async def script() -> None:
        await watchers.polls(2)
        run = flow.add_run(outcome="FAILED", **RUNNING)
        await watchers.until_reported(run)
        run.rerun(run.plan.timeline)
        await watchers.until(lambda: len(watchers.reported) == 2)
        await watchers.polls(3)

    watchers.play(script)
    assert watchers.run_ids == [flow.runs[0].id] * 2


@pytest.mark.parametrize(
    ("outcomes", "reported"),
    [
        ("FAILED", {"FAILED"}),
        (["canceled", "succeeded"], {"CANCELED", "SUCCEEDED"}),
        (("SUCCEEDED", "FAILED", "CANCELED"), {"SUCCEEDED", "FAILED", "CANCELED"}),
    ],
)
def test_only_the_requested_outcomes_are_reported(outcomes: Any, reported: set[str], sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    watchers = Watchers(sandbox, create_trigger("activepieces", flow.id, outcomes=outcomes))

    async def script() -> None:
        await watchers.polls(2)
        runs = [flow.add_run(outcome=outcome, **RUNNING) for outcome in ("SUCCEEDED", "FAILED", "CANCELED")]
        await watchers.until(lambda: all(run.ended_at is not None for run in runs))
        await watchers.polls(4)

    watchers.play(script)
    assert Counter(run["disposition"] for run in watchers.reported) == dict.fromkeys(reported, 1)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_error_does_not_end_it_and_is_logged_once(
    status: int, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    flow = sandbox.portable.add_flow()
    watchers = Watchers(sandbox, create_trigger("portable", flow.id))

    async def script() -> None:
        await watchers.polls(2)
        trouble = sandbox.faults.add("status", status=status, times=None)
        run = flow.add_run(**RUNNING)
        await watchers.until(lambda: trouble.hits >= 4)
        assert not watchers.reported
        trouble.remove()
        await watchers.until_reported(run)

    with caplog.at_level(logging.WARNING):
        watchers.play(script)
    assert len([record for record in caplog.records if f"flow {flow.id} cannot be polled" in record.message]) == 1
    assert sandbox.portable.token not in caplog.text


@pytest.mark.parametrize("service", SERVICES)
def test_a_flow_that_does_not_exist_yet_is_watched_as_soon_as_it_does(
    service: str, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    watchers = Watchers(sandbox, create_trigger(service, UNKNOWN[service]))

    async def script() -> None:
        await watchers.polls(2)
        flow = getattr(sandbox, service).add_flow(flow_id=UNKNOWN[service])
        await watchers.polls(4)
        await watchers.until_reported(flow.add_run(**RUNNING))

    with caplog.at_level(logging.WARNING):
        watchers.play(script)
    assert "cannot be polled" in caplog.text


def test_a_corrected_token_is_used(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = sandbox.portable.add_flow()
    name = "AIRFLOW_CONN_PORTABLE_DEFAULT"
    good = json.loads(sandbox.connection_json("portable"))
    monkeypatch.setenv(name, json.dumps({**good, "password": "made-up-old-token"}))
    watchers = Watchers(
        sandbox, *(create_trigger("portable", flow.id, outcomes=end) for end in ("SUCCEEDED", "FAILED"))
    )

    async def script() -> None:
        await watchers.until(lambda: len([poll for poll in sandbox.ledger.requests if poll.status == 401]) >= 6)
        monkeypatch.setenv(name, json.dumps(good))
        await watchers.until(lambda: len([poll for poll in sandbox.ledger.requests if poll.status == 200]) >= 4)
        await watchers.until_reported(flow.add_run(**RUNNING))

    watchers.play(script)


@pytest.mark.parametrize("service", SERVICES)
def test_fifty_watchers_share_one_loop(service: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    flows = [getattr(sandbox, service).add_flow() for _ in range(50)]
    watchers = Watchers(sandbox, *(create_trigger(service, flow.id, poll_interval=1.0) for flow in flows))
    lookups: Counter[str] = Counter()
    poll_loop_ids: set[int] = set()
    look_up, wait_for_result = get_async_connection, poll_loop.PollLoop.wait_for_result

    async def counting(conn_id: str) -> Any:
        lookups[conn_id] += 1
        return await look_up(conn_id)

    async def noting(self: poll_loop.PollLoop, *arguments: Any) -> Any:
        poll_loop_ids.add(id(self))
        return await wait_for_result(self, *arguments)

    monkeypatch.setattr(connection, "get_async_connection", counting)
    monkeypatch.setattr(poll_loop.PollLoop, "wait_for_result", noting)
    polls = {flow.id: 0 for flow in flows}

    def count_polls() -> Counter[Any]:
        text = [f"{one.path} {one.query}" for one in sandbox.ledger.requests]
        return Counter({flow_id: sum(str(flow_id) in one for one in text) for flow_id in polls})

    async def script() -> None:
        await watchers.until(lambda: min(count_polls().values()) >= 2)
        await watchers.until_reported(*(flow.add_run(**RUNNING) for flow in flows))
        # One task per watcher, and a few requests in flight: no timers or loops of their own.
        assert len(asyncio.all_tasks()) <= len(flows) + scheduler.MAX_CONCURRENT_REQUESTS + 1

    watchers.play(script)
    assert Counter(run["flow_id"] for run in watchers.reported) == Counter(str(flow.id) for flow in flows)
    assert lookups == {f"{service}_default": 1}
    assert len(poll_loop_ids) == 1
    assert sandbox.ledger.connections_opened <= MAX_CONNECTIONS


def test_watchers_of_one_portable_flow_share_its_requests(sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    watchers = Watchers(
        sandbox, *(create_trigger("portable", flow.id, outcomes=one, poll_interval=1.0) for one in ENDS)
    )

    async def script() -> None:
        await watchers.polls(2 * len(ENDS))
        await watchers.until_reported(flow.add_run(**RUNNING))

    watchers.play(script)
    seconds = sandbox.ledger.requests[-1].time - sandbox.ledger.requests[0].time
    # Each has a first poll of its own; from then on they share requests.
    assert sandbox.ledger.count() <= 2 * len(ENDS) + 2 * (seconds + 1)


ENDS = [
    ["SUCCEEDED"],
    ["FAILED", "SUCCEEDED"],
    ["CANCELED", "SUCCEEDED"],
    ["CANCELED", "FAILED", "SUCCEEDED"],
    ["FAILED"],
    ["CANCELED"],
    ["CANCELED", "FAILED"],
]


# -- the place it keeps


@pytest.mark.parametrize("kind", [Store, OlderStore])
def test_a_restarted_watcher_continues_where_the_other_stopped(kind: type[Any], sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    store = kind()

    def watchers_with_store() -> Watchers:
        trigger = create_trigger("portable", flow.id)
        trigger.asset_state_store = store
        return Watchers(sandbox, trigger)

    before, after = watchers_with_store(), watchers_with_store()

    async def first() -> None:
        await before.polls(2)
        reported = flow.add_run(**RUNNING)
        await before.until_reported(reported)
        await before.until(
            lambda: any(str(reported.id) in json.loads(one)["completed"] for one in store.values.values())
        )

    before.play(first)
    missed = [flow.add_run(waiting=0.0, running=0.01) for _ in range(70)]

    async def second() -> None:
        await after.until_reported(*missed)
        await after.polls(3)

    after.play(second)
    assert Counter(after.run_ids) == Counter(str(run.id) for run in missed)


def stored_for(trigger: FlowRunFinishedTrigger, store: Any) -> FlowRunFinishedTrigger:
    """Give a trigger the store of its asset, as the triggerer does."""
    trigger.asset_state_store = store
    return trigger


def test_the_cursor_is_saved_after_each_event(sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    store = RecordingStore()
    watchers = store.watchers = Watchers(sandbox, stored_for(create_trigger("portable", flow.id), store))

    async def script() -> None:
        await watchers.until(lambda: bool(store.values))
        runs = [flow.add_run(waiting=0.0, running=0.01) for _ in range(6)]
        await watchers.until_reported(*runs)
        await watchers.until(lambda: set(watchers.run_ids) <= {*store.history[-1][1]["completed"]})

    watchers.play(script)
    ids = {str(run.id) for run in flow.runs}
    for reported, stored in store.history:
        assert ids & {*stored["completed"]} == {*reported}, "a run is saved after its event, and before the next event"
    assert {len(reported) for reported, _ in store.history} == set(range(7))


def test_a_watcher_killed_between_two_events_repeats_at_most_the_last_one(sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    store = Store()
    before = Watchers(sandbox, stored_for(create_trigger("portable", flow.id), store))

    async def until_the_third() -> None:
        await before.until(lambda: bool(store.values))
        for _ in range(6):
            flow.add_run(waiting=0.0, running=0.01)
        await before.until(lambda: len(before.reported) == 3)

    before.play(until_the_third)
    after = Watchers(sandbox, stored_for(create_trigger("portable", flow.id), store))

    async def until_all() -> None:
        await after.until(lambda: len({*before.run_ids, *after.run_ids}) == 6)
        await after.polls(3)

    after.play(until_all)
    reported = Counter(before.run_ids + after.run_ids)
    assert {run_id for run_id, count in reported.items() if count > 1} <= {before.run_ids[-1]}
    assert reported.total() <= 7


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [1]), (2, [1, 1]), (20, [1] * 20), (21, [2] * 10 + [1]), (120, [7] * 17 + [1])],
)
def test_runs_are_reported_individually_unless_there_are_too_many_and_the_last_always_is(
    count: int, sizes: list[int]
) -> None:
    runs: list[Any] = [{"run_id": str(number)} for number in range(count)]
    groups = list(finished._split_into_groups(runs))
    assert [run for group in groups for run in group] == runs
    assert [len(group) for group in groups] == sizes
    assert len(groups) <= finished._MAX_GROUPS


@pytest.mark.parametrize("count", range(1, 400, 7))
def test_any_number_of_runs_is_reported_in_at_most_twenty_groups(count: int) -> None:
    runs: list[Any] = [{}] * count
    groups = list(finished._split_into_groups(runs))
    assert len(groups) <= finished._MAX_GROUPS
    assert len(groups[-1]) == 1


# -- one that stood still, and was replaced


def test_runs_that_another_watcher_reported_are_not_reported_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has polled the completed runs, and stands still before it reports them; another watcher does so instead."""
    flow = sandbox.portable.add_flow()
    store = Store()
    frozen = Watchers(sandbox, stored_for(create_trigger("portable", flow.id), store))
    other = Watchers(sandbox, stored_for(create_trigger("portable", flow.id), store))
    has_seen, may_go_on = asyncio.Event(), asyncio.Event()
    pause = finished._pause

    async def standstill(seconds: float) -> None:
        has_seen.set()
        await may_go_on.wait()
        await pause(seconds)

    async def script() -> None:
        await frozen.until(lambda: bool(store.values))
        monkeypatch.setattr(finished, "_pause", standstill)
        runs = [flow.add_run(waiting=0.0, running=0.01) for _ in range(3)]
        await has_seen.wait()
        monkeypatch.setattr(finished, "_pause", pause)
        before = dict(store.values)

        async def take_over() -> None:
            await other.until_reported(*runs)
            run_ids = {str(run.id) for run in runs}
            await other.until(lambda: run_ids <= {*json.loads(*store.values.values())["completed"]})

        await other.play_in_loop(take_over)
        assert store.values != before
        may_go_on.set()
        await frozen.polls(3)
        await frozen.until_reported(flow.add_run(**RUNNING))

    with caplog.at_level(logging.INFO):
        frozen.play(script)
    assert Counter(other.run_ids) == Counter(str(run.id) for run in flow.runs[:3])
    assert frozen.run_ids == [str(flow.runs[3].id)]
    assert "another triggerer has taken this watcher over" in caplog.text


def test_a_cursor_of_another_watcher_is_not_overwritten(sandbox: Sandbox) -> None:
    store = Store()
    newer = "the other's"

    async def script() -> None:
        mine = cursor.CursorStore(store, "key", logging.getLogger("watcher"))
        await mine.load()
        await mine.save("first")
        await mine.save("second")
        store.values["key"] = newer
        with pytest.raises(cursor.TakenOver) as taken:
            await mine.save("third")
        assert taken.value.text == store.values["key"] == newer
        await mine.check()
        await mine.save("fourth")
        assert store.values["key"] == "fourth"

    asyncio.run(script())


def test_a_failed_write_that_was_stored_is_not_taken_for_another_watchers(sandbox: Sandbox) -> None:
    class Unsure(Store):
        async def aset(self, key: str, value: Any) -> None:
            self.values[key] = value
            raise OSError("no answer")

    async def script() -> None:
        mine = cursor.CursorStore(Unsure(), "key", logging.getLogger("watcher"))
        await mine.load()
        for text in ("first", "second"):
            await mine.save(text)
            await mine.check()

    asyncio.run(script())


def test_a_deleted_cursor_is_saved_again() -> None:
    store = Store()

    async def script() -> None:
        mine = cursor.CursorStore(store, "key", logging.getLogger("watcher"))
        await mine.load()
        await mine.save("first")
        store.values.clear()
        await mine.check()
        await mine.save("second")

    asyncio.run(script())
    assert store.values == {"key": "second"}


@pytest.mark.parametrize("clock", ["monotonic", "time"])
def test_a_pause_is_repeated_when_the_triggerer_stood_still(clock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By either clock: in a paused virtual machine, one of them stops."""
    moments = {"monotonic": 100.0, "time": 1_000.0}
    naps: list[float] = []
    for name in moments:
        monkeypatch.setattr(time, name, partial(moments.__getitem__, name))

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        for name in moments:
            moments[name] += seconds
        if len(naps) <= 2:
            moments[clock] += 45.0

    monkeypatch.setattr(asyncio, "sleep", nap)
    asyncio.run(finished._pause(3.0))
    assert naps == [3.0, 3.0, 3.0]


# -- whatever goes wrong


def test_loading_is_retried_until_the_store_can_be_read(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Starting without the cursor would miss runs."""
    monkeypatch.setattr(cursor, "LOAD_RETRY_INTERVAL_SECONDS", 0.01)
    flow = sandbox.portable.add_flow()
    store = Store()
    first = Watchers(sandbox, stored_for(create_trigger("portable", flow.id), store))
    first.play(lambda: first.until(lambda: bool(store.values)))
    missed = flow.add_run(ago=1, waiting=0.0, running=0.01)
    store.failing_reads = 15
    second = Watchers(sandbox, stored_for(create_trigger("portable", flow.id), store))
    with caplog.at_level(logging.WARNING):
        second.play(lambda: second.until_reported(missed))
    said = [record for record in caplog.records if "cannot be read, trying again" in record.message]
    assert len(said) == 2, "not at every try"


def test_an_unreadable_response_of_the_store_does_not_disable_it(sandbox: Sandbox) -> None:
    class Garbled(Store):
        async def aget(self, key: str) -> Any:
            self.tries += 1
            if self.tries == 1:
                json.loads("{")  # raises a subclass of ValueError
            return await super().aget(key)

    flow = sandbox.portable.add_flow()
    store = Garbled()
    watchers = Watchers(sandbox, stored_for(create_trigger("portable", flow.id), store))
    watchers.play(lambda: watchers.until(lambda: bool(store.values)))


def test_an_unreadable_cursor_is_logged_and_replaced(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(ago=5)
    store = Store()
    trigger = stored_for(create_trigger("portable", flow.id), store)
    store.values[trigger.state_key] = '{"schema": 99}'
    watchers = Watchers(sandbox, trigger)

    async def script() -> None:
        await watchers.polls(2)
        await watchers.until_reported(flow.add_run(**RUNNING))

    with caplog.at_level(logging.WARNING):
        watchers.play(script)
    assert "the saved cursor cannot be read" in caplog.text
    assert len(watchers.reported) == 1


def test_an_unusable_connection_is_tried_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = "AIRFLOW_CONN_PORTABLE_DEFAULT"
    good = json.loads(sandbox.connection_json("portable"))
    flow = sandbox.portable.add_flow()
    watchers = Watchers(sandbox, create_trigger("portable", flow.id))

    async def until_said(count: int) -> None:
        await watchers.until(lambda: len([one for one in caplog.records if one.levelno >= logging.WARNING]) >= count)

    async def script() -> None:
        await until_said(1)
        monkeypatch.setenv(name, json.dumps({**good, "extra": {"verify": "/no/such/file.pem"}}))
        await until_said(2)
        monkeypatch.setenv(name, json.dumps(good))
        await watchers.polls(2)
        await watchers.until_reported(flow.add_run(**RUNNING))

    monkeypatch.delenv(name)
    monkeypatch.setattr(watcher, "HEARTBEAT_INTERVAL_SECONDS", 0.1)
    with caplog.at_level(logging.WARNING):
        watchers.play(script)
    assert sandbox.portable.token not in caplog.text


def test_a_bug_in_this_package_does_not_end_it_and_is_logged_without_its_text(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flow = sandbox.portable.add_flow()
    watchers = Watchers(sandbox, create_trigger("portable", flow.id))
    step = watcher.FlowWatcher.step
    faults = 0

    def broken(self: watcher.FlowWatcher, seen: Any, now: float) -> Any:
        nonlocal faults
        if faults < 2 and flow.runs and flow.runs[-1].ended_at is not None:
            faults += 1
            raise RuntimeError(f"Authorization: Bearer {sandbox.portable.token}")
        return step(self, seen, now)

    monkeypatch.setattr(watcher.FlowWatcher, "step", broken)

    async def script() -> None:
        await watchers.polls(2)
        await watchers.until_reported(flow.add_run(**RUNNING))

    with caplog.at_level(logging.INFO):
        watchers.play(script)
    assert faults == 2
    assert len(watchers.reported) == 1
    assert f"Flow {flow.id} cannot be polled" in caplog.text
    assert "RuntimeError" in caplog.text
    assert sandbox.portable.token not in caplog.text


def test_watchers_of_one_asset_with_other_outcomes_have_their_own_cursor(sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    store = Store()
    triggers = [create_trigger("portable", flow.id, outcomes=outcome) for outcome in ("SUCCEEDED", "FAILED")]
    for trigger in triggers:
        trigger.asset_state_store = store
    watchers = Watchers(sandbox, *triggers)

    async def script() -> None:
        await watchers.until(lambda: len(store.values) == 2)

    watchers.play(script)


def test_without_a_store_it_starts_with_a_first_poll(sandbox: Sandbox) -> None:
    """Airflow 3.0 to 3.2 has no state store."""
    flow = sandbox.portable.add_flow()
    flow.add_run(ago=5)
    trigger = create_trigger("portable", flow.id)
    with suppress(AttributeError):
        del trigger.asset_state_store
    watchers = Watchers(sandbox, trigger)

    async def script() -> None:
        await watchers.polls(2)
        await watchers.until_reported(flow.add_run(**RUNNING))

    watchers.play(script)
    assert len(watchers.reported) == 1


def test_a_trigger_of_several_assets_saves_no_cursor_and_logs_it_once(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    flow = sandbox.portable.add_flow()
    trigger = create_trigger("portable", flow.id)
    trigger.asset_state_store = AmbiguousStore()
    watchers = Watchers(sandbox, trigger)

    with caplog.at_level(logging.WARNING):
        watchers.play(partial(two_runs_in_turn, watchers, flow))
    assert len([record for record in caplog.records if "give each asset its own watcher" in record.message]) == 1


def test_a_store_that_is_down_briefly_is_tried_again(sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    trigger, store = create_trigger("portable", flow.id), Store()
    trigger.asset_state_store, store.failures = store, 2
    watchers = Watchers(sandbox, trigger)

    async def script() -> None:
        await watchers.until(lambda: bool(store.values))

    watchers.play(script)
    assert store.tries == 3


def test_a_store_that_stays_down_does_not_end_it(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    flow = sandbox.portable.add_flow()
    trigger, store = create_trigger("portable", flow.id), Store()
    trigger.asset_state_store, store.failures = store, 1_000
    watchers = Watchers(sandbox, trigger)

    with caplog.at_level(logging.WARNING):
        watchers.play(partial(two_runs_in_turn, watchers, flow))
    assert "the cursor could not be saved; it continues without (OSError: the database is down)" in caplog.text
    assert len(watchers.reported) == 2


# -- its arguments


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"service": "nowhere"}, "service"),
        ({"flow_id": "../../admin"}, "flow_id"),
        ({"flow_id": None}, "flow_id"),
        ({"flow_id": ""}, "flow_id"),
        ({"service": "activepieces", "flow_id": "short"}, "flow_id"),
        ({"service": "tableflow", "flow_id": "a/b"}, "flow_id"),
        ({"flow_id": True}, "flow_id"),
        ({"flow_id": 1.0}, "flow_id"),
        ({"flow_id": "{{ params.flow_id }}"}, "flow_id"),
        ({"service": None}, "service"),
        ({"service": ["portable"]}, "service"),
        ({"conn_id": ""}, "conn_id"),
        ({"conn_id": " "}, "conn_id"),
        ({"conn_id": 7}, "conn_id"),
        ({"conn_id": True}, "conn_id"),
        ({"conn_id": b"portable"}, "conn_id"),
        ({"conn_id": "{{ var.value.conn }}"}, "conn_id"),
        ({"outcomes": []}, "outcomes"),
        ({"outcomes": ""}, "outcomes"),
        ({"outcomes": None}, "outcomes"),
        ({"outcomes": 1}, "outcomes"),
        ({"outcomes": True}, "outcomes"),
        ({"outcomes": [1]}, "outcomes"),
        ({"outcomes": [None]}, "outcomes"),
        ({"outcomes": [["SUCCEEDED"]]}, "outcomes"),
        ({"outcomes": {"a"}}, "outcomes"),
        ({"outcomes": {"SUCCEEDED": 1}}, "outcomes"),
        ({"outcomes": b"SUCCEEDED"}, "outcomes"),
        ({"outcomes": "DONE"}, "outcomes"),
        ({"outcomes": ["SUCCEEDED", "NONE"]}, "outcomes"),
        ({"outcomes": ["SUCCEEDED", 1]}, "outcomes"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"poll_interval": 0.001}, "poll_interval"),
        ({"poll_interval": 4.99}, "poll_interval"),
        ({"poll_interval": -60}, "poll_interval"),
        ({"poll_interval": True}, "poll_interval"),
        ({"poll_interval": None}, "poll_interval"),
        ({"poll_interval": "60"}, "poll_interval"),
        ({"poll_interval": float("nan")}, "poll_interval"),
        ({"poll_interval": float("inf")}, "poll_interval"),
        ({"poll_interval": 1e300}, "poll_interval"),
        ({"poll_interval": 10**400}, "poll_interval"),
        ({"poll_interval": timedelta(0)}, "poll_interval"),
        ({"poll_interval": timedelta(milliseconds=1)}, "poll_interval"),
        ({"poll_interval": timedelta.max}, "poll_interval"),
    ],
)
def test_an_invalid_argument_is_rejected_by_name(
    given: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the interval is the real one
    with pytest.raises(InvalidArgumentError, match=named) as refused:
        FlowRunFinishedTrigger(**{"service": "portable", "flow_id": 1, **given})
    # Any exception but a TypeError in a trigger's constructor ends the triggerer, with all other triggers.
    assert isinstance(refused.value, TypeError)


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"flow_id": "568101"},
        {"conn_id": "portable_default"},
        {"outcomes": ["succeeded", "FAILED", "FAILED"]},
        {"poll_interval": 60},
        {"poll_interval": timedelta(minutes=1)},
        {"outcomes": {Disposition.FAILED, "succeeded"}},
        {"outcomes": iter(["FAILED", "SUCCEEDED"])},
    ],
)
def test_equal_watchers_are_one_for_airflow(same: dict[str, Any]) -> None:
    given: dict[str, Any] = {"service": "portable", "flow_id": 568101, "outcomes": ("FAILED", "SUCCEEDED")}
    one, other = FlowRunFinishedTrigger(**given), FlowRunFinishedTrigger(**{**given, **same})
    loaded = FlowRunFinishedTrigger(**json.loads(json.dumps(one.serialize()[1])))
    assert loaded.serialize() == one.serialize()
    assert identity(one) == identity(other) == identity(loaded)


@pytest.mark.parametrize(
    "other",
    [{"service": "tableflow"}, {"flow_id": 2}, {"conn_id": "x"}, {"outcomes": "FAILED"}, {"poll_interval": 61}],
)
def test_different_watchers_are_not(other: dict[str, Any]) -> None:
    given: dict[str, Any] = {"service": "portable", "flow_id": 1}
    assert identity(FlowRunFinishedTrigger(**given)) != identity(FlowRunFinishedTrigger(**{**given, **other}))


def identity(trigger: FlowRunFinishedTrigger) -> Any:
    """Return what identifies a watcher in Airflow; Airflow 2 has no such method."""
    path, arguments = trigger.serialize()
    told_apart_by = getattr(get_base_event_trigger(), "hash", None)
    return told_apart_by(path, arguments) if told_apart_by else (path, json.dumps(arguments))
