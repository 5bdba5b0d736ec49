"""Whatever is wrong with a saved wait or with this package, the task learns of it, and no other trigger is harmed."""

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
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.01, 0.02))


def raised_by(trigger: FlowRunTrigger) -> FlowRunUnobservable:
    """Return what the task ends with after the trigger's only event."""

    async def events() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    [payload] = asyncio.run(events())
    with pytest.raises(FlowRunUnobservable) as raised:
        result_or_raise(WaitResult.from_dict(payload), soft_fail=True)
    return raised.value


@pytest.mark.parametrize("waiter", UNREADABLE)
def test_a_wait_that_cannot_be_read_does_not_end_the_triggerer_but_its_task(waiter: str) -> None:
    """A constructor that raises would end the triggerer; it is called again at every restart."""
    trigger = FlowRunTrigger("portable_default", waiter, cancel_on_kill=True)
    assert trigger.serialize()[1]["waiter"] == waiter
    assert "install one release" in str(raised_by(trigger))


def test_a_fault_of_this_package_ends_the_task_as_unobservable_without_the_fault_s_words(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError(sandbox.portable.token)

    monkeypatch.setattr(AsyncClient, "poll", broken)
    flow, now = sandbox.portable.add_flow(), time.time()
    config = WaitConfig(target=FlowStatusTarget("portable", str(flow.id)), interval_seconds=1.0, deadline_at=now + 60)
    said = str(raised_by(FlowRunTrigger("portable_default", RunWaiter(config, now).to_json())))
    assert "RuntimeError in " in said
    assert sandbox.portable.token not in said
