"""Five thousand waits on services with errors, resets and rate limits: each ends with the outcome of its own run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.model.targets import FlowStatusTarget, RunTarget, Target
from airflow_provider_flowruns.polling import backoff
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow, SandboxRun
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

#: Range of the runs' durations in seconds.
MIN_DURATION_SECONDS, MAX_DURATION_SECONDS = 4.0, 14.0
#: Deadline and error budget of the waits in seconds: far more than they take on a slow machine.
TIMEOUT_SECONDS = 1_800.0


@dataclass(frozen=True)
class Waiting:
    """A wait, and the run that it must end with."""

    trigger: FlowRunTrigger
    run: SandboxRun
    outcome: str


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.5, 2.0))
    monkeypatch.setattr(backoff, "INITIAL_BACKOFF_SECONDS", 0.5)
    with Sandbox() as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running


def trigger_on(target: Target) -> FlowRunTrigger:
    now = Clock().now()
    config = WaitConfig(
        target=target,
        interval_seconds=3.0,
        deadline_at=now + TIMEOUT_SECONDS,
        error_budget_seconds=TIMEOUT_SECONDS,
    )
    return FlowRunTrigger(conn_id=f"{target.service}_default", waiter=RunWaiter(config, now).to_json())


def waits_on(sandbox: Sandbox) -> Iterator[Waiting]:
    numbers = Random(5)

    def add_run(flow: Any, *outcomes: str) -> tuple[SandboxRun, str]:
        outcome = numbers.choice(outcomes)
        run = flow.add_run(
            outcome=outcome, waiting=0.5, running=numbers.uniform(MIN_DURATION_SECONDS, MAX_DURATION_SECONDS)
        )
        return run, outcome.lower()

    flow: SandboxFlow[Any]
    for flow in [sandbox.activepieces.add_flow() for _ in range(4)]:
        for _ in range(900):
            run, outcome = add_run(flow, "SUCCEEDED", "FAILED", "CANCELED")
            yield Waiting(trigger_on(RunTarget("activepieces", run.id)), run, outcome)
    for flow in [sandbox.portable.add_flow() for _ in range(10)]:
        for _ in range(50):
            run, outcome = add_run(flow, "SUCCEEDED", "FAILED", "CANCELED")
            yield Waiting(trigger_on(RunTarget("portable", str(run.id), str(flow.id))), run, outcome)
    for flow in [sandbox.portable.add_flow() for _ in range(30)]:
        run, outcome = add_run(flow, "SUCCEEDED", "FAILED")
        for _ in range(10):
            yield Waiting(trigger_on(FlowStatusTarget("portable", str(flow.id))), run, outcome)
    for flow in [sandbox.tableflow.add_flow() for _ in range(2)]:
        for _ in range(300):
            run, outcome = add_run(flow, "SUCCEEDED", "FAILED")
            yield Waiting(trigger_on(RunTarget("tableflow", run.id)), run, outcome)


def add_trouble(sandbox: Sandbox) -> None:
    for service in ("portable", "activepieces", "tableflow"):
        for after in (5, 20, 40):
            limited: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "1"} if after == 20 else None}
            sandbox.faults.add("status", service, times=8, after=after, **limited)
    sandbox.faults.add("status", status=503, times=None, share=0.05)
    sandbox.faults.add("reset", times=None, share=0.02)


async def outcome_of(waiting: Waiting) -> str:
    events = [event async for event in waiting.trigger.run()]
    assert waiting.run.ended_at is not None, "completed before its run"
    (event,) = events
    return str(event.payload["outcome"])


@pytest.mark.nightly
def test_every_wait_ends_with_the_true_outcome_of_its_run(sandbox: Sandbox) -> None:
    waits = list(waits_on(sandbox))
    assert len(waits) == 5_000
    add_trouble(sandbox)

    async def together() -> list[str]:
        async with asyncio.timeout(TIMEOUT_SECONDS / 2):
            return await asyncio.gather(*map(outcome_of, waits))

    outcomes = asyncio.run(together())

    wrong = [(wait, outcome) for wait, outcome in zip(waits, outcomes, strict=True) if outcome != wait.outcome]
    assert not wrong, wrong[:5]
    struck = Counter((request.service, request.status) for request in sandbox.ledger.requests if request.fault)
    assert all(struck[service.name, 429] >= 8 for service in sandbox.services)
    assert sum(struck[service.name, 503] for service in sandbox.services) > 0
    assert sum(struck[service.name, None] for service in sandbox.services) > 0
    # Far fewer than one per wait and round: runs read in batches were not polled individually.
    assert len(sandbox.ledger.requests) < len(waits)
