"""A standstill of the event loop is detected, and a killed trigger then does not cancel its run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.triggers import flow_run, standstill
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
from airflow_provider_flowruns.triggers.standstill import (
    TAKEOVER_WINDOW_SECONDS,
    StandstillDetector,
    get_standstill_detector,
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(autouse=True)
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(standstill, "MIN_STANDSTILL_SECONDS", 1.5)
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (60.0, 60.0))


def test_a_responsive_loop_did_not_stand_still() -> None:
    async def work() -> float | None:
        with get_standstill_detector() as detector:
            await asyncio.sleep(0.3)
            return detector.get_recent_seconds()

    assert asyncio.run(work()) is None


def test_a_loop_that_was_blocked_stood_still() -> None:
    async def work() -> float | None:
        with get_standstill_detector() as detector:
            await asyncio.sleep(0.1)
            time.sleep(2.0)  # noqa: ASYNC251 - blocks on purpose
            await asyncio.sleep(0.1)
            return detector.get_recent_seconds()

    assert (asyncio.run(work()) or 0.0) >= 2.0


@pytest.mark.parametrize("clock", ["monotonic", "wall"])
def test_either_clock_shows_a_pause(clock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = {"monotonic": 1_000.0, "wall": 1_800_000_000.0}
    monkeypatch.setattr(standstill, "_read_clocks", lambda: tuple(moments.values()))

    async def work() -> float | None:
        with get_standstill_detector():
            moments[clock] += 45.0
        return get_standstill_detector().get_recent_seconds()

    assert asyncio.run(work()) == pytest.approx(45.0)


def test_a_standstill_is_remembered_for_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "time", lambda: now)

    async def work() -> StandstillDetector:
        detector = StandstillDetector()
        with detector:
            nonlocal now
            now += 45.0
        return detector

    loop = asyncio.new_event_loop()
    try:
        detector = loop.run_until_complete(work())
    finally:
        loop.close()
    now += TAKEOVER_WINDOW_SECONDS
    assert detector.get_recent_seconds() == pytest.approx(45.0)
    now += 1.0
    assert detector.get_recent_seconds() is None


def test_the_last_user_stops_the_ticks() -> None:
    async def work() -> list[Any]:
        with get_standstill_detector(), get_standstill_detector():
            await asyncio.sleep(0.1)
        loop: Any = asyncio.get_running_loop()
        return [timer for timer in loop._scheduled if not timer.cancelled() and "Standstill" in repr(timer)]

    assert asyncio.run(work()) == []


def trigger_on(run: Any, seconds: float = 600.0, *, cancel_on_kill: bool = True) -> FlowRunTrigger:
    now = Clock().now()
    config = WaitConfig(
        target=RunTarget("portable", str(run.id), str(run.flow_id)),
        interval_seconds=30.0,
        deadline_at=now + seconds,
    )
    return FlowRunTrigger("portable_default", RunWaiter(config, now).to_json(), cancel_on_kill)


def killed(trigger: FlowRunTrigger, frozen: float = 0.0) -> None:
    """Kill a trigger as core does: its task is cancelled, then ``on_kill`` is awaited."""

    async def work() -> None:
        async def listen() -> None:
            async for _ in trigger.run():
                raise AssertionError("nothing has ended")

        running = asyncio.create_task(listen())
        await asyncio.sleep(0.2)
        time.sleep(frozen)  # noqa: ASYNC251 - the whole process stands still
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await trigger.on_kill()

    asyncio.run(work())


@pytest.fixture
def run(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a run whose task has failed."""

    async def failed(task_instance: Any) -> str:
        return "failed"

    monkeypatch.setattr(flow_run, "get_task_state", failed)
    monkeypatch.setattr(FlowRunTrigger, "_log", logging.getLogger("killed"))
    for name, value in sandbox.connections().items():
        monkeypatch.setenv(name, value)
    return sandbox.portable.add_flow().add_run(outcome="RUNNING")


def test_a_killed_task_s_run_is_cancelled(run: Any, sandbox: Sandbox) -> None:
    killed(trigger_on(run))
    assert [event.run_id for event in sandbox.ledger.canceled] == [run.id]


def test_after_a_standstill_the_run_is_not_cancelled(
    run: Any, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        killed(trigger_on(run), frozen=2.0)
    assert not sandbox.ledger.canceled
    assert f"its run {run.id} is not cancelled: this triggerer stood still for 2 s" in caplog.text


def test_past_its_deadline_the_run_is_not_cancelled(
    run: Any, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    trigger = trigger_on(run, seconds=-1.0)

    with caplog.at_level(logging.WARNING):
        asyncio.run(trigger.on_kill())
    assert not sandbox.ledger.canceled
    assert f"its run {run.id} is not cancelled: the deadline of the wait has passed" in caplog.text


def test_a_run_that_the_task_may_not_cancel_is_left_alone_and_the_log_says_why(
    run: Any, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        killed(trigger_on(run, cancel_on_kill=False))
    assert not sandbox.ledger.canceled
    assert "The run is left as it is: this task did not start it, or has cancel_on_kill=False" in caplog.text
