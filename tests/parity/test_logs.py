"""What a person reads in a task's log, in every mode: how the wait began, what changed, and why it failed."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_flowruns.operators.activepieces import ActivepiecesGetFlowRunOperator
from airflow_provider_flowruns.operators.base import ReadOperator
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.polling.wording import MAX_LINE_CHARS
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.tasks.base import ServiceTask
from airflow_provider_flowruns.testing.task_modes import MODES, run_in, run_task, task_context
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

VENDOR_ERRORS = ("source refused the login", "table orders: " + "column missing, " * 40)


@pytest.fixture(autouse=True)
def task_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return what tasks and triggers log."""
    log = logging.getLogger("flowruns-logs")
    for kind in (FlowRunSensor, PortableRunFlowOperator, ReadOperator):
        monkeypatch.setattr(kind, "log", log)
    monkeypatch.setattr(FlowRunTrigger, "_log", log)
    caplog.set_level(logging.INFO, "flowruns-logs")
    return caplog


def lines(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelname == level and one.name == "flowruns-logs"]


def make_sensor(flow_id: Any, **arguments: Any) -> Callable[..., PortableFlowSensor]:
    def make(**mode: Any) -> PortableFlowSensor:
        given = {"task_id": "wait", "flow_id": flow_id, "poke_interval": 0.1, "timeout": 20.0, **arguments}
        return PortableFlowSensor(**{**given, **mode})

    return make


@pytest.mark.parametrize("mode", MODES)
def test_a_wait_begins_with_all_that_it_is_about(mode: str, sandbox: Sandbox, task_log: Any) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0, ago=120.0)
    guard = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=30)
    # So old that the worker does not wait for its end, which it does for a run of a few seconds.
    flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=7.5, ago=6.0)
    assert run_in(mode, make_sensor(flow.id, completed_after=guard)).state == "success"
    told = lines(task_log, "INFO")
    assert told[0] == f"Waiting for a run of Portable flow {flow.id}"
    assert told[1] == f"Only a run that ended {guard:%Y-%m-%d %H:%M:%S} UTC or later counts (completed_after)"
    argument = "deferrable=True" if mode == "deferrable" else f"mode={mode!r}"
    assert re.fullmatch(rf"Waits until [\d :-]+ UTC \(timeout\), with {argument}", told[2])
    pace = "later" if mode == "reschedule" else "sooner"
    assert told[3] == f"Polls every 0.1 s or {pace}; fails after 15 min without a response (error_budget)"
    assert max(map(len, told[:4])) <= MAX_LINE_CHARS
    assert sum(line.startswith("Waiting for ") for line in told) == 1
    takeovers = [line for line in told if line.startswith("The triggerer waits for ")]
    assert len(takeovers) == (mode == "deferrable")
    assert any(line.endswith(" counts, it is fresh enough") for line in told)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_does_not_count_is_named_once_with_the_reason(mode: str, sandbox: Sandbox, task_log: Any) -> None:
    flow = sandbox.portable.add_flow()
    run = flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0, ago=120.0)
    guard = datetime.now(UTC).replace(microsecond=0)
    end = run_in(mode, make_sensor(flow.id, completed_after=guard, timeout=1.0))
    assert end.error == "AirflowSensorTimeout"
    reasons = [line for line in lines(task_log, "INFO") if line.startswith("no fresh run yet")]
    assert len(reasons) == 1
    assert f"the newest, run {run.id}, ended " in reasons[0]
    assert reasons[0].endswith(" UTC, before completed_after")
    errors = lines(task_log, "ERROR")
    assert errors[0].startswith("FR103: timed out after 1 s (timeout): no fresh run yet: the newest, ")
    assert (
        f"Do: see in the service why no run ended {guard:%Y-%m-%d %H:%M:%S} UTC or later (completed_after)"
        in " ".join(errors)
    )
    assert errors[-1].endswith("/docs/errors.md#fr103")


@pytest.mark.parametrize("mode", MODES)
def test_a_failure_is_explained_in_short_lines_of_its_own(mode: str, sandbox: Sandbox, task_log: Any) -> None:
    flow = sandbox.portable.add_flow()
    run = flow.add_run(outcome="FAILED", waiting=0.1, running=0.3, errors=VENDOR_ERRORS)
    guard = datetime.now(UTC) - timedelta(seconds=30)
    end = run_in(mode, make_sensor(flow.id, completed_after=guard))
    assert end.message.startswith(f"FR101: run {run.id} failed: source refused the login")
    errors = lines(task_log, "ERROR")
    assert errors[0] == f"FR101: run {run.id} of flow {flow.id} failed"
    assert "- source refused the login" in errors
    assert sum(line.startswith("- ") for line in errors) == 2
    assert "column missing, " * 5 in " ".join(line.strip() for line in errors)
    assert "Run: https://app.portable.io/" in errors
    assert errors[-2:] == [
        "Do: open the run in the service, mend what it reports, then clear this task",
        "More on FR101: https://github.com/airflow-provider-flowruns/airflow-provider-flowruns/blob/main/docs/errors.md#fr101",
    ]
    assert max(len(line) for line in errors if not line.startswith("More on ")) <= MAX_LINE_CHARS


ENDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "canceled": ({"outcome": "CANCELED", "running": 2.0}, "FR102", "on_canceled='skip'"),
    "timed out": ({"outcome": "RUNNING"}, "FR103", "raise timeout"),
    "execution_timeout": ({"outcome": "RUNNING"}, "FR103", "raise execution_timeout"),
    "unobservable": ({"outcome": "RUNNING"}, "FR104", "error_budget (0.4 s)"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ENDS)
def test_every_other_end_names_its_code_and_the_argument(name: str, mode: str, sandbox: Sandbox, task_log: Any) -> None:
    behaviour, code, argument = ENDS[name]
    flow = sandbox.portable.add_flow()
    flow.add_run(waiting=0.1, **behaviour)
    arguments: dict[str, Any] = {}
    if name == "timed out":
        arguments["timeout"] = 0.6
    if name == "execution_timeout":
        arguments["execution_timeout"] = timedelta(seconds=0.6)
    if name == "unobservable":
        arguments["error_budget"] = 0.4
        sandbox.faults.add("status", status=503, times=None)
    end = run_in(mode, make_sensor(flow.id, **arguments))
    assert end.message.startswith(f"{code}: ")
    errors = lines(task_log, "ERROR")
    assert errors[0].startswith(f"{code}: ")
    assert any(line.startswith("Do: ") for line in errors)
    assert argument in " ".join(errors)
    assert max(len(line) for line in errors if not line.startswith("More on ")) <= MAX_LINE_CHARS


@pytest.mark.parametrize("mode", MODES)
def test_a_refusal_says_what_to_do_on_a_line_of_its_own(mode: str, sandbox: Sandbox, task_log: Any) -> None:
    flow = sandbox.portable.add_flow()
    end = run_in(mode, make_sensor(flow.id, portable_conn_id="portable_bad"))
    assert end.error == "AuthenticationError"
    errors = lines(task_log, "ERROR")
    assert errors[0].startswith("FR201: Portable responded with 401 to GET /v2/flows/")
    assert errors[1] == ("Do: connection 'portable_bad': put a valid Portable API token in the connection's password")
    assert errors[-1].endswith("#fr201")


@pytest.mark.parametrize("mode", MODES)
def test_a_softened_failure_warns_and_does_not_report_an_error(mode: str, sandbox: Sandbox, task_log: Any) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(outcome="FAILED", waiting=0.1, running=0.3, errors=("no",))
    assert run_in(mode, make_sensor(flow.id, soft_fail=True)).state == "skipped"
    assert not lines(task_log, "ERROR")
    assert any(line.startswith("FR101: ") for line in lines(task_log, "WARNING"))


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_waiting_operator_tells_the_same(deferrable: bool, sandbox: Sandbox, task_log: Any) -> None:
    flow = sandbox.portable.add_flow()

    def make() -> PortableRunFlowOperator:
        return PortableRunFlowOperator(
            task_id="start", flow_id=flow.id, poll_interval=0.1, timeout=0.9, deferrable=deferrable
        )

    flow.next_run(outcome="RUNNING")
    end = run_task(make, task_context())
    told = lines(task_log, "INFO")
    assert f"Waiting for the run that this task started on Portable flow {flow.id}" in told
    assert any(line.endswith(f" UTC (timeout), with deferrable={deferrable}") for line in told)
    assert end.message.startswith("FR103: ")
    errors = lines(task_log, "ERROR")
    assert re.match(r"FR103: timed out after \d+(\.\d)? s \(timeout\): run ", errors[0])
    assert "Do: see in the service whether the run is stuck; if it only needs longer, raise timeout" in errors


def test_an_operator_that_reads_explains_its_error(sandbox: Sandbox, task_log: Any) -> None:
    end = run_task(lambda: ActivepiecesGetFlowRunOperator(task_id="read", run_id="A" * 21), task_context())
    assert end.error == "NotFoundError"
    errors = lines(task_log, "ERROR")
    assert errors[0].startswith("FR203: Activepieces responded with 404 to GET /api/v1/flow-runs/")
    assert any(line.startswith("Do: connection 'activepieces_default': the id must belong to") for line in errors)


def test_nothing_becomes_a_line_a_poll(sandbox: Sandbox, task_log: Any) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(outcome="RUNNING", waiting=0.0)
    run_in("poke", make_sensor(flow.id, timeout=1.5))
    assert sandbox.ledger.count() >= 5
    assert len(lines(task_log, "INFO")) == 6


def iterate_tasks(kind: type[Any] = ServiceTask) -> Any:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from iterate_tasks(subclass)


def test_every_task_of_this_package_explains_its_errors() -> None:
    methods = {
        method
        for task in iterate_tasks()
        if task.__module__.startswith("airflow_provider_flowruns.")
        for name in ("execute", "execute_complete", "resume_after_other_run")
        if (method := vars(task).get(name))
    }
    assert len(methods) >= 7
    missing = [one.__qualname__ for one in methods if not _is_explained(one)]
    assert not missing, f"decorate with tasks.explained_errors.explains_errors: {missing}"


def _is_explained(method: Any) -> bool:
    while method is not None:
        if method.__code__.co_qualname.startswith("explains_errors."):
            return True
        method = getattr(method, "__wrapped__", None)
    return False
