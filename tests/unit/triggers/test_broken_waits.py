"""An unreadable wait, or a bug in this package, ends only the task of its own trigger."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.exceptions import FlowRunUnobservable
from airflow_provider_flowruns.model.targets import FlowStatusTarget
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig, WaitResult
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.tasks.outcomes import result_or_raise
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

UNREADABLE = ['{"schema": 99}', '{"schema": 1}', '{"schema": 1, "plan": {}, "memory": {}}', "[]", "null", "no JSON", ""]


@pytest.fixture(autouse=True)
def poll_immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.01, 0.02))


def raised_by(trigger: FlowRunTrigger) -> FlowRunUnobservable:
    """Return the exception that the task raises after the trigger's only event."""

    async def events() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    [payload] = asyncio.run(events())
    with pytest.raises(FlowRunUnobservable) as raised:
        result_or_raise(WaitResult.from_dict(payload), soft_fail=True)
    return raised.value


@pytest.mark.parametrize("waiter", UNREADABLE)
def test_an_unreadable_wait_ends_its_task_and_not_the_triggerer(waiter: str) -> None:
    """An exception in the constructor would end the triggerer, again at every restart."""
    trigger = FlowRunTrigger("portable_default", waiter, cancel_on_kill=True)
    assert trigger.serialize()[1]["waiter"] == waiter
    assert "install the same release" in str(raised_by(trigger))


def test_a_bug_in_this_package_ends_the_task_as_unobservable_without_the_exceptions_text(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError(sandbox.portable.token)

    monkeypatch.setattr(AsyncClient, "poll", broken)
    flow, now = sandbox.portable.add_flow(), time.time()
    config = WaitConfig(target=FlowStatusTarget("portable", str(flow.id)), interval_seconds=1.0, deadline_at=now + 60)
    text = str(raised_by(FlowRunTrigger("portable_default", RunWaiter(config, now).to_json())))
    assert "RuntimeError in " in text
    assert sandbox.portable.token not in text
