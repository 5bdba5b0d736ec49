"""The situations that a sensor is put in, and what every mode must make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import timezone

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.adapter import SensorKind

#: Makes a situation in the sandbox, and returns the sensor's arguments.
Prepare = Callable[[SensorKind, Sandbox], dict[str, Any]]


@dataclass(frozen=True)
class Situation:
    """A situation and what every mode must make of it.

    :param name: its name.
    :param prepare: makes the situation in the sandbox and returns the sensor's arguments.
    :param error: class of the exception, None for success.
    :param soft: whether ``soft_fail`` turns the failure into a skip.
    :param applies: which sensors can meet it.
    """

    name: str
    prepare: Prepare
    error: str | None = None
    soft: bool = True
    applies: Callable[[SensorKind], bool] = field(default=lambda kind: True)


def _run(**run: Any) -> Prepare:
    """Return what adds one run with the given behaviour."""
    extra = run.pop("sensor", {})

    def prepare(kind: SensorKind, sandbox: Sandbox) -> dict[str, Any]:
        flow = kind.add_flow(sandbox)
        return {**kind.arguments(flow.id, flow.add_run(**run).id), **extra}

    return prepare


def _stale_then_fresh(kind: SensorKind, sandbox: Sandbox) -> dict[str, Any]:
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0, ago=2.1)  # ended a second before the task began
    begun = timezone.utcnow()
    # Over a second: cut to whole seconds its end is still after the guard, whether or not a poll saw it active.
    fresh = flow.add_run(outcome="SUCCEEDED", waiting=0.2, running=1.2)
    return {**kind.arguments(flow.id, fresh.id), **_guard(kind, begun)}


def _stale_only(kind: SensorKind, sandbox: Sandbox) -> dict[str, Any]:
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0, ago=2.1)
    run_id = flow.add_run(outcome="WAITING").id if kind.by_run else None
    return {**kind.arguments(flow.id, run_id), **_guard(kind, timezone.utcnow()), "timeout": 0.6}


def _guard(kind: SensorKind, begun: Any) -> dict[str, Any]:
    return {} if kind.by_run else {"completed_after": begun}


def _never_ran(kind: SensorKind, sandbox: Sandbox) -> dict[str, Any]:
    flow = kind.add_flow(sandbox)
    run_id = flow.add_run(outcome="WAITING").id if kind.by_run else None
    return {**kind.arguments(flow.id, run_id), "timeout": 0.6}


def _unobservable(kind: SensorKind, sandbox: Sandbox) -> dict[str, Any]:
    arguments = _run(outcome="RUNNING")(kind, sandbox)
    sandbox.faults.add("status", status=503, times=None)
    return {**arguments, "error_budget": 0.4}


def _bad_token(kind: SensorKind, sandbox: Sandbox) -> dict[str, Any]:
    return {**_run(outcome="RUNNING")(kind, sandbox), f"{kind.service}_conn_id": f"{kind.service}_bad"}


def _token_ends(kind: SensorKind, sandbox: Sandbox) -> dict[str, Any]:
    arguments = _run(outcome="RUNNING")(kind, sandbox)
    sandbox.faults.add("status", status=401, after=6, times=None, body={"message": "Unauthorized"})
    return {**arguments, "error_budget": 0.4}


def _asks_for_silence(status: int, until: str, **fault: Any) -> Prepare:
    """Let the service ask to be left alone for a day and longer."""

    def prepare(kind: SensorKind, sandbox: Sandbox) -> dict[str, Any]:
        arguments = _run(outcome="SUCCEEDED", **_SOON)(kind, sandbox)
        sandbox.faults.add("status", status=status, headers={"Retry-After": until}, **fault)
        return {**arguments, "error_budget": 0.8}

    return prepare


def _not_found(kind: SensorKind, sandbox: Sandbox) -> dict[str, Any]:
    return kind.unknown(sandbox)


def _pauses(kind: SensorKind) -> bool:
    return kind.info.can_pause


def _cancels(kind: SensorKind) -> bool:
    return kind.info.can_cancel


A_DAY, YEAR_9999 = "86400", "Fri, 31 Dec 9999 23:59:59 GMT"

_SOON: dict[str, Any] = {"waiting": 0.2, "running": 0.2}
_ERRORS = ("source refused the login",)

SITUATIONS = (
    Situation("succeeded", _run(outcome="SUCCEEDED", **_SOON)),
    Situation("succeeded before the task began", _run(outcome="SUCCEEDED", ago=5.0, **_SOON)),
    Situation("failed", _run(outcome="FAILED", errors=_ERRORS, **_SOON), "FlowRunFailed"),
    Situation(
        "failed before the task began", _run(outcome="FAILED", errors=_ERRORS, ago=5.0, **_SOON), "FlowRunFailed"
    ),
    # Portable's status shows a cancelled run only to a wait that saw it active: time for a slow first poll.
    Situation("canceled", _run(outcome="CANCELED", waiting=0.2, running=3.0), "FlowRunCanceled", applies=_cancels),
    Situation("timed out", _run(outcome="RUNNING", sensor={"timeout": 0.6}), "AirflowSensorTimeout"),
    Situation(
        "execution_timeout",
        _run(outcome="RUNNING", sensor={"execution_timeout": timedelta(seconds=0.6)}),
        "AirflowTaskTimeout",
    ),
    Situation(
        "execution_timeout, later than the timeout",
        _run(outcome="RUNNING", sensor={"timeout": 0.6, "execution_timeout": timedelta(seconds=20)}),
        "AirflowSensorTimeout",
    ),
    Situation("429 for a day, once", _asks_for_silence(429, A_DAY)),
    Situation("503 until the year 9999, once", _asks_for_silence(503, YEAR_9999)),
    Situation("429 for a day", _asks_for_silence(429, A_DAY, times=None), "FlowRunUnobservable", soft=False),
    Situation(
        "503 until the year 9999", _asks_for_silence(503, YEAR_9999, times=None), "FlowRunUnobservable", soft=False
    ),
    Situation("404 for a day", _asks_for_silence(404, A_DAY, times=None), "NotFoundError", soft=False),
    Situation("unobservable", _unobservable, "FlowRunUnobservable", soft=False),
    Situation("auth error", _bad_token, "AuthenticationError", soft=False),
    Situation("auth error during the wait", _token_ends, "AuthenticationError", soft=False),
    Situation("not found", _not_found, "NotFoundError", soft=False),
    Situation("stale success then fresh success", _stale_then_fresh),
    Situation("stale success only", _stale_only, "AirflowSensorTimeout"),
    Situation("never ran", _never_ran, "AirflowSensorTimeout"),
    Situation(
        "paused", _run(outcome="PAUSED", sensor={"timeout": 0.6}, **_SOON), "AirflowSensorTimeout", applies=_pauses
    ),
    Situation(
        "paused, to fail",
        _run(outcome="PAUSED", sensor={"on_paused": "fail"}, **_SOON),
        "FlowRunFailed",
        applies=_pauses,
    ),
    Situation("paused, to succeed", _run(outcome="PAUSED", sensor={"on_paused": "succeed"}, **_SOON), applies=_pauses),
)
