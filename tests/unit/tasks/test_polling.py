"""The worker waits for a started run until its end, until the triggerer can take over, or until it is visible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.tasks.polling import (
    FIND_BEFORE_DEFERRING_SECONDS,
    FIND_WITHOUT_WAITING_SECONDS,
    WorkerWait,
)
from airflow_provider_flowruns.tasks.started_run import StartedRun, StartedRunStore
from airflow_provider_flowruns.tasks.starting import AMBIGUITY_SECONDS, RunFinder, RunStarter
from airflow_provider_flowruns.testing.task_modes import task_context
from tests.faults.starts import SERVICES, add_flow, started
from tests.worker_time import WorkerTime

#: Starts a flow and returns the wait for its run, and what is known of the run.
Begin = Callable[..., tuple[WorkerWait, StartedRun]]


@pytest.fixture
def begin(timed_sandbox: Sandbox, make_starter_task: Callable[..., Any]) -> Begin:
    def start(service: str, flow: Any, **arguments: Any) -> tuple[WorkerWait, StartedRun]:
        task, context = make_starter_task(service, flow, **arguments), task_context()
        store = StartedRunStore(context)
        started_run = task.start_run(RunStarter(task, store, context))
        finder = RunFinder(task, store, interval_seconds=10.0, **task.wait_limits)
        return WorkerWait(task, finder.new_waiter(started_run), store, context), started_run

    return start


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("outcome", ["SUCCEEDED", "FAILED"])
def test_the_result_is_that_of_the_started_run(
    service: str, outcome: str, timed_sandbox: Sandbox, begin: Begin, worker_time: WorkerTime
) -> None:
    flow = add_flow(timed_sandbox, service, outcome=outcome, running=200.0)
    wait, started_run = begin(service, flow)

    result = wait.wait_for_end(is_deferrable=False)

    assert result
    assert (result.outcome, [result.run and result.run["run_id"]]) == (
        Outcome(outcome.lower()),
        started(timed_sandbox, flow),
    )
    assert started_run.label == f"run {started(timed_sandbox, flow)[0]}"
    assert worker_time.elapsed >= 200.0


@pytest.mark.parametrize("service", SERVICES)
def test_a_deferrable_wait_ends_as_soon_as_the_run_is_known(
    service: str, timed_sandbox: Sandbox, begin: Begin, worker_time: WorkerTime
) -> None:
    flow = add_flow(timed_sandbox, service, outcome="RUNNING")
    wait, started_run = begin(service, flow)
    assert wait.wait_for_end(is_deferrable=True) is None
    assert started_run.label == f"run {started(timed_sandbox, flow)[0]}"
    assert worker_time.elapsed < FIND_BEFORE_DEFERRING_SECONDS


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("seconds", [0.5, 2.0, 4.0])
def test_a_run_that_ends_within_seconds_is_seen_before_deferring(
    service: str, seconds: float, timed_sandbox: Sandbox, begin: Begin, worker_time: WorkerTime
) -> None:
    wait, _ = begin(service, add_flow(timed_sandbox, service, outcome="SUCCEEDED", waiting=0.0, running=seconds))
    begun, requests = worker_time.now, len(timed_sandbox.ledger.requests)
    result = wait.wait_for_end(is_deferrable=True)
    assert result
    assert result.outcome is Outcome.SUCCEEDED
    is_identified_by_time = service == "portable"  # and therefore not decided before
    assert worker_time.now - begun <= max(AMBIGUITY_SECONDS if is_identified_by_time else 0.0, seconds) + 1.5
    assert len(timed_sandbox.ledger.requests) - requests <= 8


@pytest.mark.parametrize("service", ["portable", "activepieces"])
def test_a_deferrable_wait_leaves_a_run_that_is_not_visible_to_the_triggerer(
    service: str, timed_sandbox: Sandbox, begin: Begin, worker_time: WorkerTime
) -> None:
    wait, started_run = begin(service, add_flow(timed_sandbox, service, visible_after=100_000.0))
    begun = worker_time.now
    assert wait.wait_for_end(is_deferrable=True) is None
    assert started_run.label == f"the run of {started_run}"
    assert worker_time.now - begun >= FIND_BEFORE_DEFERRING_SECONDS


@pytest.mark.parametrize("service", SERVICES)
def test_without_waiting_the_run_is_returned_as_first_seen(service: str, timed_sandbox: Sandbox, begin: Begin) -> None:
    flow = add_flow(timed_sandbox, service, outcome="RUNNING")
    wait, started_run = begin(service, flow)
    seen = wait.wait_until_visible(started_run)
    assert isinstance(seen, FlowRun)
    assert [seen.run_id] == started(timed_sandbox, flow)


@pytest.mark.parametrize("service", ["portable", "activepieces"])
def test_without_waiting_an_accepted_run_that_is_not_visible_is_pending(
    service: str, timed_sandbox: Sandbox, begin: Begin, worker_time: WorkerTime, capfd: pytest.CaptureFixture[str]
) -> None:
    wait, started_run = begin(service, add_flow(timed_sandbox, service, visible_after=100_000.0))
    begun = worker_time.now
    seen = wait.wait_until_visible(started_run)
    assert isinstance(seen, FlowRun)
    assert (seen.run_id, seen.lifecycle, seen.disposition) == (None, "PENDING", "NONE")
    assert FIND_WITHOUT_WAITING_SECONDS <= worker_time.now - begun < FIND_WITHOUT_WAITING_SECONDS + 10.0
    assert f"No run of {started_run} is visible yet" in "".join(capfd.readouterr())


def test_without_waiting_a_lost_start_without_a_run_is_unobservable(timed_sandbox: Sandbox, begin: Begin) -> None:
    timed_sandbox.faults.add("reset", method="POST", path="/webhooks/", times=1)
    wait, started_run = begin("activepieces", add_flow(timed_sandbox, "activepieces"))
    result = wait.wait_until_visible(started_run)
    assert isinstance(result, WaitResult)
    assert result.outcome is Outcome.UNOBSERVABLE
