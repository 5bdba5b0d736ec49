"""Runs that nothing tells from the task's own: all are waited for, none is guessed at, and none is cancelled."""

from __future__ import annotations

import json
import os
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from msgspec.structs import replace

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.testing.task_modes import StateStore, run_task, task_context
from tests.faults.starts import Make, add_flow, both_modes, started

At = Callable[..., Any]


@pytest.fixture
def with_the_start(monkeypatch: pytest.MonkeyPatch) -> At:
    """Return a function that lets another API client start the flow while our start is in flight."""
    start = PortableApi.run_flow

    def also(flow: Any, **run: Any) -> list[Any]:
        others: list[Any] = []

        def run_flow(self: Any, flow_id: Any) -> Any:
            call = start(self, flow_id)

            def read(body: Any) -> Any:
                others.append(flow.add_run(**{"trigger": "API", "waiting": 0.0, "running": 0.5, **run}))
                return call.read(body)

            return replace(call, read=read)

        monkeypatch.setattr(PortableApi, "run_flow", run_flow)
        return others

    return also


@both_modes
@pytest.mark.parametrize(
    ("ours", "theirs", "error"),
    [
        ("SUCCEEDED", "SUCCEEDED", None),
        ("SUCCEEDED", "FAILED", "FlowRunFailed"),
        ("FAILED", "SUCCEEDED", "FlowRunFailed"),
        ("SUCCEEDED", "CANCELED", "FlowRunCanceled"),
    ],
)
def test_a_task_succeeds_only_if_all_runs_that_may_be_its_own_do(
    ours: str,
    theirs: str,
    error: str | None,
    deferrable: bool,
    sandbox: Sandbox,
    operator: Make,
    with_the_start: At,
    capfd: pytest.CaptureFixture[str],
) -> None:
    flow = add_flow(sandbox, "portable", outcome=ours)
    others = with_the_start(flow, outcome=theirs)

    end = run_task(operator("portable", flow, deferrable=deferrable), task_context())

    ids = {started(sandbox, flow)[0], str(others[0].id)}
    assert (end.error, len(started(sandbox, flow))) == (error, 1), end
    said = "".join(capfd.readouterr())
    assert "nothing tells them apart" in said
    assert all(run_id in said for run_id in ids)
    if error:
        assert all(run_id in end.message for run_id in ids)
    else:
        assert end.xcom["run_id"] in ids


@both_modes
def test_a_run_that_shows_later_than_another_is_waited_for_too(
    deferrable: bool, sandbox: Sandbox, operator: Make, with_the_start: At
) -> None:
    """While a list lags, the other one is all it shows."""
    flow = add_flow(sandbox, "portable", outcome="FAILED", running=2.5, visible_after=1.0)
    with_the_start(flow, outcome="SUCCEEDED", running=3.0)
    end = run_task(operator("portable", flow, deferrable=deferrable), task_context())
    assert (end.error, len(started(sandbox, flow))) == ("FlowRunFailed", 1), end


def test_a_short_run_of_another_client_is_not_accepted_before_ours_is_visible(
    sandbox: Sandbox, operator: Make, with_the_start: At
) -> None:
    flow = add_flow(sandbox, "portable", outcome="FAILED", visible_after=1.0)
    with_the_start(flow, outcome="SUCCEEDED", running=0.1)
    end = run_task(operator("portable", flow, poll_interval=2.0), task_context())
    assert end.error == "FlowRunFailed", end


def test_a_retry_goes_on_waiting_for_all_of_them(sandbox: Sandbox, operator: Make, with_the_start: At) -> None:
    flow = add_flow(sandbox, "portable", running=1.5)
    with_the_start(flow, outcome="FAILED", running=0.3)
    store = StateStore()
    assert run_task(operator("portable", flow, timeout=0.6), task_context(store)).error == "FlowRunTimeout"
    second = run_task(operator("portable", flow), task_context(store, try_number=2))
    assert (second.error, len(started(sandbox, flow))) == ("FlowRunFailed", 1), second


def test_one_of_them_that_is_not_shown_any_more_keeps_the_task_from_success(
    sandbox: Sandbox, operator: Make, with_the_start: At
) -> None:
    flow = add_flow(sandbox, "portable", running=1.5)
    others = with_the_start(flow, outcome="FAILED", running=0.3)
    store = StateStore()
    assert run_task(operator("portable", flow, timeout=0.6), task_context(store)).error == "FlowRunTimeout"
    flow._runs.remove(others[0])
    end = run_task(operator("portable", flow), task_context(store, try_number=2))
    assert end.error == "FlowRunUnobservable", end
    assert len(started(sandbox, flow)) == 1


def test_none_of_them_is_cancelled(sandbox: Sandbox, operator: Make, with_the_start: At) -> None:
    flow = add_flow(sandbox, "portable", outcome="RUNNING")
    with_the_start(flow, outcome="SUCCEEDED", running=0.2)
    task = operator("portable", flow, timeout=0.8, cancel_on_timeout=True)()
    with pytest.raises(Exception, match="timed out"):
        task.execute(task_context())
    task.on_kill()
    assert sandbox.ledger.canceled == []
    assert sandbox.ledger.count(method="POST", path="/cancel$") == 0


# -- runs that cannot be ours


class SteppedClock:
    """The service's clock, which a test moves on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def stepped(quick_starts: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sandbox, SteppedClock]]:
    clock = SteppedClock()
    with Sandbox(clock=clock) as running:
        monkeypatch.setenv("AIRFLOW_CONN_PORTABLE_DEFAULT", running.connection_json("portable"))
        yield running, clock


def test_a_run_of_another_client_after_a_lost_start_is_not_taken_for_ours(
    stepped: tuple[Sandbox, SteppedClock], operator: Make
) -> None:
    sandbox, clock = stepped
    flow = add_flow(sandbox, "portable")
    sandbox.faults.add("reset", method="POST", path="/run$", times=1)
    store = StateStore()
    assert run_task(operator("portable", flow), task_context(store)).error == "FlowRunUnobservable"
    clock.ahead = 60.0
    other = flow.add_run(trigger="API", outcome="SUCCEEDED", waiting=0.0, running=0.1)

    end = run_task(operator("portable", flow), task_context(store, try_number=2))

    assert end.state == "success", end
    assert [end.xcom["run_id"]] == started(sandbox, flow) != [str(other.id)]


def test_a_run_of_another_client_that_showed_late_is_not_taken_for_ours(
    stepped: tuple[Sandbox, SteppedClock], operator: Make
) -> None:
    """It was created before our start, and the list did not show it yet when the newest run was saved."""
    sandbox, clock = stepped
    flow = add_flow(sandbox, "portable")
    clock.ahead = 60.0
    flow.add_run(trigger="API", outcome="FAILED", waiting=0.0, running=0.1, ago=30.0, visible_after=30.3)
    end = run_task(operator("portable", flow, poll_interval=1.0), task_context())
    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end


# -- joined runs


@both_modes
def test_a_joined_run_is_not_cancelled_when_it_does_not_end_in_time(
    deferrable: bool, sandbox: Sandbox, operator: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    flow = add_flow(sandbox, "portable")
    other = flow.add_run(outcome="RUNNING", waiting=0.0, trigger="SCHEDULED")
    make = operator("portable", flow, if_running="join", timeout=0.6, cancel_on_timeout=True, deferrable=deferrable)
    assert run_task(make, task_context()).error == "FlowRunTimeout"
    assert sandbox.ledger.count(method="POST", path="/cancel$") == 0
    said = "".join(capfd.readouterr())
    assert f"Joined run {other.id}" in said
    assert f"This task joined run {other.id} and did not start it, so it is not cancelled" in said


@pytest.mark.parametrize(("if_running", "cancels"), [("join", False), ("wait", True)])
def test_a_killed_task_cancels_its_own_run_and_no_joined_one(
    if_running: str, cancels: bool, sandbox: Sandbox, operator: Make
) -> None:
    flow = add_flow(sandbox, "portable", outcome="RUNNING")
    if if_running == "join":
        flow.add_run(outcome="RUNNING", waiting=0.0)
    worker = operator("portable", flow, if_running=if_running, timeout=0.5)()
    with pytest.raises(Exception, match="timed out"):
        worker.execute(task_context())
    worker.on_kill()
    assert bool(sandbox.ledger.canceled) is cancels
    with pytest.raises(TaskDeferred) as deferred:
        operator("portable", flow, if_running=if_running, deferrable=True, timeout=20.0)().execute(task_context())
    assert deferred.value.trigger.cancel_on_kill is cancels


# -- two machines

WORKER = """
import json, os, sys
from concurrent.futures import ThreadPoolExecutor
import tests.conftest
from airflow_provider_flowruns.testing.task_modes import run_task, task_context
from airflow_provider_flowruns.operators import portable_runs
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator

flow_id, first, portable_runs.MAX_STAGGER_SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

def work(number):
    operator = lambda: PortableRunFlowOperator(task_id="start", flow_id=flow_id, poll_interval=0.5, timeout=60)
    context = task_context(map_index=number)
    end = run_task(operator, context)
    record = json.loads(context["task_state_store"].values["flowruns_run"])
    return {"state": end.state, "error": end.error, "message": end.message, "candidates": record["candidates"]}

with ThreadPoolExecutor(3) as threads:
    ends = list(threads.map(work, range(first, first + 3)))
print("ENDS " + json.dumps(ends))
"""


@pytest.mark.parametrize("stagger", [0.0, 10.0], ids=["all at the same moment", "staggered"])
def test_two_machines_that_start_one_flow_at_once_leave_no_run_without_a_task(
    stagger: float, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Six tasks in two processes that share no temporary folder, and thus no lock; one of the runs fails."""
    flow = add_flow(sandbox, "portable", running=1.0)
    for outcome in ("SUCCEEDED", "FAILED"):
        flow.next_run(outcome=outcome, waiting=0.1, running=1.0)
    flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=3.0, trigger="SCHEDULED")  # all wait for its end
    workers = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
        arguments = [sys.executable, "-c", WORKER, str(flow.id), str(3 * number), str(stagger)]
        workers.append(
            subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    outputs = [worker.communicate(timeout=180)[0] for worker in workers]
    ends = [
        end
        for output in outputs
        for line in output.splitlines()
        if line.startswith("ENDS ")
        for end in json.loads(line.removeprefix("ENDS "))
    ]
    assert len(ends) == 6, outputs
    runs = started(sandbox, flow)
    failed = runs[1]
    assert len(runs) == 6
    assert {run_id for end in ends for run_id in end["candidates"]} == set(runs), "a run that no task waits for"
    for end in ends:
        assert end["state"] == ("failed" if failed in end["candidates"] else "success"), end
    shared = [end for end in ends if len(end["candidates"]) > 1]
    warned = "".join(outputs).count("nothing tells them apart")
    assert warned >= len(shared)
    alone = [end["candidates"][0] for end in ends if len(end["candidates"]) == 1]
    assert len(alone) == len(set(alone)), "two tasks on one run, without a warning"
