"""Starts on services whose clock is off: exactly one run, which is found, whatever the two clocks say."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.task_modes import StateStore, run_task, task_context
from tests.faults.starts import START, Make, add_flow, all_services, both_modes, started

DAY = 86_400.0


@pytest.fixture(
    params=[-6 * DAY, -600.0, 0.0, 600.0, 3_600.0, 6 * DAY],
    ids=["6 days behind", "10 minutes behind", "right", "10 minutes ahead", "an hour ahead", "6 days ahead"],
)
def sandbox(request: pytest.FixtureRequest, quick_starts: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox whose clock is so many seconds ahead of ours."""
    offset = request.param
    with Sandbox(clock=lambda: time.time() + offset) as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running


@both_modes
@all_services
@pytest.mark.parametrize("has_run_before", [False, True], ids=["first run", "later run"])
def test_a_start_is_found(
    service: str, has_run_before: bool, deferrable: bool, sandbox: Sandbox, operator: Make
) -> None:
    flow = add_flow(sandbox, service)
    if has_run_before:
        flow.add_run(outcome="FAILED", ago=100.0)
    end = run_task(operator(service, flow, deferrable=deferrable), task_context())
    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end


@all_services
def test_a_start_whose_response_was_lost_is_found(service: str, sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, service)
    flow.add_run(outcome="FAILED", ago=100.0)
    sandbox.faults.add("accept_then_reset", method="POST", path=START[service], times=1)
    end = run_task(operator(service, flow), task_context())
    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end


@all_services
def test_a_retry_finds_its_own_run(service: str, sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, service, running=1.0)
    store = StateStore()
    assert run_task(operator(service, flow, timeout=0.4), task_context(store)).error == "FlowRunTimeout"
    end = run_task(operator(service, flow), task_context(store, try_number=2))
    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end


@all_services
def test_a_start_that_was_lost_on_the_way_is_repeated_once(service: str, sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, service)
    sandbox.faults.add("reset", method="POST", path=START[service], times=1)
    store = StateStore()
    assert run_task(operator(service, flow), task_context(store)).error == "FlowRunUnobservable"
    end = run_task(operator(service, flow), task_context(store, try_number=2))
    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end
