"""Triggers share a poll loop, and each has its own log, which Airflow finds by the context of a line."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from contextvars import ContextVar
from typing import Any

import pytest

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.triggers.flow_run import FlowRunFinishedTrigger, FlowRunTrigger

current_trigger: ContextVar[str] = ContextVar("current_trigger")


class ByContext(logging.Handler):
    """Sorts lines by context, as the triggerer does."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: defaultdict[str, list[str]] = defaultdict(list)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines[current_trigger.get()].append(record.getMessage())


class FullPipe(logging.Handler):
    """Takes no line until it is emptied, as the pipe to the triggerer's supervisor does."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full, self.is_emptied = threading.Event(), threading.Event()
        self.has_given_up = False

    def emit(self, record: logging.LogRecord) -> None:
        self.is_full.set()
        self.has_given_up |= not self.is_emptied.wait(20.0)


def wait_for(flow_id: str, run_id: str) -> FlowRunTrigger:
    now = Clock().now()
    config = WaitConfig(target=RunTarget("portable", run_id, flow_id), interval_seconds=0.2, deadline_at=now + 60)
    trigger = FlowRunTrigger("portable_default", RunWaiter(config, now).to_json())
    trigger.first_wait = (0.1, 0.3)  # type: ignore[misc]
    return trigger


def test_each_line_is_in_the_log_of_its_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = ByContext()
    log = logging.getLogger("own-log")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    for kind in (FlowRunTrigger, FlowRunFinishedTrigger):
        monkeypatch.setattr(kind, "_log", log)

    async def run(name: str, trigger: Any) -> None:
        current_trigger.set(name)
        async for _ in trigger.run():
            pass

    async def side_by_side(sandbox: Sandbox) -> None:
        flows = [sandbox.portable.add_flow() for _ in range(5)]
        runs = {str(flow.add_run(outcome="RUNNING").id): str(flow.id) for flow in flows}
        watcher = FlowRunFinishedTrigger("portable", 999_999, poll_interval=5)
        triggers = {"watcher": watcher, **{run_id: wait_for(flow_id, run_id) for run_id, flow_id in runs.items()}}
        tasks = [asyncio.create_task(run(name, trigger)) for name, trigger in triggers.items()]
        async with asyncio.timeout(60):
            while sum(map(len, handler.lines.values())) < len(triggers):  # ruff: ignore[async-busy-wait]
                await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        for run_id in runs:
            assert handler.lines[run_id]
            assert all(f"run {run_id} " in line for line in handler.lines[run_id])
        assert all("flow 999999 " in line for line in handler.lines["watcher"])

    with Sandbox() as sandbox:
        for name, value in sandbox.connections().items():
            monkeypatch.setenv(name, value)
        asyncio.run(side_by_side(sandbox))
    log.removeHandler(handler)


def test_a_log_that_takes_no_lines_holds_up_the_wait_and_not_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a supervisor that waits for the event loop, and does not empty the log meanwhile, would wait forever."""
    pipe = FullPipe()
    log = logging.getLogger("full-pipe")
    log.setLevel(logging.INFO)
    log.addHandler(pipe)
    monkeypatch.setattr(FlowRunTrigger, "_log", log)

    async def wait(trigger: FlowRunTrigger) -> list[Any]:
        return [event async for event in trigger.run()]

    async def side_by_side(sandbox: Sandbox) -> None:
        flow = sandbox.portable.add_flow()
        run = flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=0.5)
        waiting = asyncio.create_task(wait(wait_for(str(flow.id), str(run.id))))
        async with asyncio.timeout(60):
            while not pipe.is_full.is_set():  # ruff: ignore[async-busy-wait]
                await asyncio.sleep(0.01)
        assert not pipe.has_given_up
        assert not waiting.done()
        pipe.is_emptied.set()
        (event,) = await waiting
        assert event.payload["outcome"] == "succeeded"

    with Sandbox() as sandbox:
        for name, value in sandbox.connections().items():
            monkeypatch.setenv(name, value)
        try:
            asyncio.run(side_by_side(sandbox))
        finally:
            pipe.is_emptied.set()
