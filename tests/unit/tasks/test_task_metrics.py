"""What tasks report in a worker: polls, starts, the second runs that they prevent, and cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_flowruns import metrics as metrics_module
from airflow_provider_flowruns.exceptions import FlowRunFailed, FlowRunTimeout
from airflow_provider_flowruns.notifications.flow_run import FlowRunNotifier
from airflow_provider_flowruns.operators.portable import PortableCancelFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.testing.task_modes import StateStore, run_task, task_context
from airflow_provider_flowruns.triggers import flow_run as trigger_module
from tests.faults.starts import SERVICES, START, add_flow, started
from tests.statsd_server import StatsdServer
from tests.worker_time import TaskKilled, WorkerTime

MakeTask = Callable[..., Any]
all_services = pytest.mark.parametrize("service", SERVICES)


def list_commands(statsd: StatsdServer) -> dict[str, int]:
    """Return the counters about runs."""
    return {name: number for name, number in statsd.sum_counters().items() if name.startswith("flowruns.run.")}


@all_services
def test_a_start_and_the_polls_of_its_wait(
    service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask, statsd: StatsdServer
) -> None:
    flow = add_flow(timed_sandbox, service, running=100.0)
    make_starter_task(service, flow).execute(task_context())
    assert list_commands(statsd) == {"flowruns.run.started": 1}
    polls = len(statsd.find("flowruns.poll.latency", service=service, conn_id=f"{service}_default"))
    assert polls > 3
    assert statsd.sum_counters()["flowruns.poll.sent"] == polls
    (delay,) = statsd.find("flowruns.wait.detection_delay", service=service)
    assert 0.0 <= delay <= 10_000.0  # at most the polling interval


@all_services
def test_a_retry_that_finds_its_run_prevents_a_second_one(
    service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask, statsd: StatsdServer
) -> None:
    flow = add_flow(timed_sandbox, service, running=500.0)
    store = StateStore()
    with pytest.raises(FlowRunTimeout):
        make_starter_task(service, flow, timeout=100.0).execute(task_context(store))
    make_starter_task(service, flow).execute(task_context(store, try_number=2))
    assert list_commands(statsd) == {"flowruns.run.started": 1, "flowruns.run.duplicates_prevented": 1}
    assert len(started(timed_sandbox, flow)) == 1


def test_a_retry_after_a_failed_run_prevents_nothing(
    timed_sandbox: Sandbox, make_starter_task: MakeTask, statsd: StatsdServer
) -> None:
    flow = add_flow(timed_sandbox, "portable", outcome="FAILED", running=10.0)
    store = StateStore()
    for try_number in (1, 2):
        with pytest.raises(FlowRunFailed):
            make_starter_task("portable", flow).execute(task_context(store, try_number=try_number))
    assert list_commands(statsd) == {"flowruns.run.started": 2}


def test_a_start_that_was_rejected_is_none(
    timed_sandbox: Sandbox, make_starter_task: MakeTask, statsd: StatsdServer
) -> None:
    flow = add_flow(timed_sandbox, "portable")
    timed_sandbox.faults.add("status", status=403, method="POST", path=START["portable"])
    with pytest.raises(Exception, match="403"):
        make_starter_task("portable", flow).execute(task_context())
    assert list_commands(statsd) == {}


def test_a_killed_task_reports_its_cancel(
    timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime, statsd: StatsdServer
) -> None:
    task = make_starter_task("portable", add_flow(timed_sandbox, "portable", outcome="RUNNING"))
    worker_time.kill_after(100.0)
    with pytest.raises(TaskKilled):
        task.execute(task_context())
    task.on_kill()
    assert list_commands(statsd) == {"flowruns.run.started": 1, "flowruns.run.cancels": 1}


def test_a_cancel_that_failed_is_none(
    timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime, statsd: StatsdServer
) -> None:
    timed_sandbox.faults.add("status", status=500, method="POST", path="/cancel$")
    task = make_starter_task("portable", add_flow(timed_sandbox, "portable", outcome="RUNNING"))
    worker_time.kill_after(100.0)
    with pytest.raises(TaskKilled):
        task.execute(task_context())
    task.on_kill()
    assert list_commands(statsd) == {"flowruns.run.started": 1}


def test_the_cancel_operator_reports_its_cancel(sandbox: Sandbox, statsd: StatsdServer) -> None:
    flow = add_flow(sandbox, "portable")
    flow.add_run(outcome="RUNNING", waiting=0.0)
    PortableCancelFlowOperator(task_id="c", flow_id=flow.id, poll_interval=0.1).execute(task_context())
    assert list_commands(statsd) == {"flowruns.run.cancels": 1}


def test_a_trigger_reports_the_cancel_of_its_killed_task(
    timed_sandbox: Sandbox, make_starter_task: MakeTask, statsd: StatsdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get_failed(task_instance: Any) -> str:
        return "failed"

    monkeypatch.setattr(trigger_module, "get_task_state", get_failed)
    task = make_starter_task("portable", add_flow(timed_sandbox, "portable", outcome="RUNNING"), deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(task_context())
    trigger: Any = deferred.value.trigger
    trigger.task_instance = None
    asyncio.run(trigger.on_kill())
    assert len(timed_sandbox.ledger.canceled) == 1
    assert list_commands(statsd) == {"flowruns.run.started": 1, "flowruns.run.cancels": 1}


@pytest.mark.parametrize("is_async", [False, True])
def test_the_notifier_reports_its_start(is_async: bool, sandbox: Sandbox, statsd: StatsdServer) -> None:
    context: Any = {}
    notifier = FlowRunNotifier(service="portable", flow_id=sandbox.portable.add_flow().id, conn_id="portable_default")
    if is_async:
        asyncio.run(notifier.async_notify(context))
    else:
        notifier.notify(context)
    assert list_commands(statsd) == {"flowruns.run.started": 1}


class BrokenStats:
    """A backend that fails whatever it is asked for."""

    def __getattr__(self, name: str) -> Any:
        raise OSError("no route to host")


@pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])
def test_a_broken_backend_breaks_no_wait(
    deferrable: bool, sandbox: Sandbox, statsd: StatsdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_module, "get_stats", BrokenStats)
    monkeypatch.setattr(trigger_module.FlowRunTrigger, "first_wait", (0.0, 0.1))
    flow = sandbox.portable.add_flow()
    flow.add_run(waiting=0.0, running=0.5)
    end = run_task(
        lambda: PortableFlowSensor(task_id="w", flow_id=flow.id, deferrable=deferrable, poke_interval=0.2),
        task_context(),
    )
    assert end.state == "success"
