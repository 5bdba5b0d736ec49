"""The seven sensors and the situations they are put in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import timezone

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor, ActivepiecesFlowSensor
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor, PortableFlowSensor, PortableWorkflowSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor, TableFlowFlowSensor


@dataclass(frozen=True)
class Kind:
    """One of the seven sensors: how its arguments name a flow or run, and what its service can show."""

    sensor: type[FlowRunSensor]
    service: str
    by_run: bool = False
    is_workflow: bool = False

    @property
    def name(self) -> str:
        return self.sensor.__name__

    @property
    def can_cancel(self) -> bool:
        return self.service != "tableflow"

    @property
    def can_pause(self) -> bool:
        return self.service != "portable"

    def add_flow(self, sandbox: Sandbox) -> Any:
        service = getattr(sandbox, self.service)
        return service.add_workflow() if self.is_workflow else service.add_flow()

    def arguments(self, flow_id: Any, run_id: Any) -> dict[str, Any]:
        if self.is_workflow:
            return {"workflow_id": flow_id}
        if not self.by_run:
            return {"flow_id": flow_id}
        return {"flow_id": flow_id, "run_id": run_id} if self.service == "portable" else {"run_id": run_id}

    def unknown(self, sandbox: Sandbox) -> dict[str, Any]:
        other = {"portable": "999999999", "activepieces": "A" * 21, "tableflow": "A" * 16}[self.service]
        flow = self.add_flow(sandbox).id if self.by_run else other
        return self.arguments(flow, other)


KINDS = (
    Kind(PortableFlowSensor, "portable"),
    Kind(PortableFlowRunSensor, "portable", by_run=True),
    Kind(PortableWorkflowSensor, "portable", is_workflow=True),
    Kind(ActivepiecesFlowRunSensor, "activepieces", by_run=True),
    Kind(ActivepiecesFlowSensor, "activepieces"),
    Kind(TableFlowFlowRunSensor, "tableflow", by_run=True),
    Kind(TableFlowFlowSensor, "tableflow"),
)


@dataclass(frozen=True)
class Case:
    """A situation and what every mode must make of it.

    :param prepare: makes the situation in the sandbox and returns the sensor's arguments.
    :param error: class of the exception, None for success.
    :param soft: whether ``soft_fail`` turns the failure into a skip.
    :param applies: which sensors can meet it.
    """

    name: str
    prepare: Callable[[Kind, Sandbox], dict[str, Any]]
    error: str | None = None
    soft: bool = True
    applies: Callable[[Kind], bool] = field(default=lambda kind: True)


def _run(**run: Any) -> Callable[[Kind, Sandbox], dict[str, Any]]:
    """One run with the given behaviour."""
    extra = run.pop("sensor", {})

    def prepare(kind: Kind, sandbox: Sandbox) -> dict[str, Any]:
        flow = kind.add_flow(sandbox)
        return {**kind.arguments(flow.id, flow.add_run(**run).id), **extra}

    return prepare


def _stale_then_fresh(kind: Kind, sandbox: Sandbox) -> dict[str, Any]:
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0, ago=2.1)  # ended a second before the task began
    begun = timezone.utcnow()
    # Over a second: cut to whole seconds its end is still after the guard, whether or not a poll saw it active.
    fresh = flow.add_run(outcome="SUCCEEDED", waiting=0.2, running=1.2)
    return {**kind.arguments(flow.id, fresh.id), **_guard(kind, begun)}


def _stale_only(kind: Kind, sandbox: Sandbox) -> dict[str, Any]:
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0, ago=2.1)
    run_id = flow.add_run(outcome="WAITING").id if kind.by_run else None
    return {**kind.arguments(flow.id, run_id), **_guard(kind, timezone.utcnow()), "timeout": 0.6}


def _guard(kind: Kind, begun: Any) -> dict[str, Any]:
    return {} if kind.by_run else {"completed_after": begun}


def _never_ran(kind: Kind, sandbox: Sandbox) -> dict[str, Any]:
    flow = kind.add_flow(sandbox)
    run_id = flow.add_run(outcome="WAITING").id if kind.by_run else None
    return {**kind.arguments(flow.id, run_id), "timeout": 0.6}


def _unobservable(kind: Kind, sandbox: Sandbox) -> dict[str, Any]:
    arguments = _run(outcome="RUNNING")(kind, sandbox)
    sandbox.faults.add("status", status=503, times=None)
    return {**arguments, "error_budget": 0.4}


def _bad_token(kind: Kind, sandbox: Sandbox) -> dict[str, Any]:
    return {**_run(outcome="RUNNING")(kind, sandbox), f"{kind.service}_conn_id": f"{kind.service}_bad"}


def _token_ends(kind: Kind, sandbox: Sandbox) -> dict[str, Any]:
    arguments = _run(outcome="RUNNING")(kind, sandbox)
    sandbox.faults.add("status", status=401, after=6, times=None, body={"message": "Unauthorized"})
    return {**arguments, "error_budget": 0.4}


def _asks_for_silence(status: int, until: str, **fault: Any) -> Callable[[Kind, Sandbox], dict[str, Any]]:
    """A service that wants to be left alone for a day and longer."""

    def prepare(kind: Kind, sandbox: Sandbox) -> dict[str, Any]:
        arguments = _run(outcome="SUCCEEDED", **_SOON)(kind, sandbox)
        sandbox.faults.add("status", status=status, headers={"Retry-After": until}, **fault)
        return {**arguments, "error_budget": 0.8}

    return prepare


def _not_found(kind: Kind, sandbox: Sandbox) -> dict[str, Any]:
    return kind.unknown(sandbox)


def _pauses(kind: Kind) -> bool:
    return kind.can_pause


def _cancels(kind: Kind) -> bool:
    return kind.can_cancel


A_DAY, YEAR_9999 = "86400", "Fri, 31 Dec 9999 23:59:59 GMT"

_SOON: dict[str, Any] = {"waiting": 0.2, "running": 0.2}
_ERRORS = ("source refused the login",)

CASES = (
    Case("succeeded", _run(outcome="SUCCEEDED", **_SOON)),
    Case("succeeded before the task began", _run(outcome="SUCCEEDED", ago=5.0, **_SOON)),
    Case("failed", _run(outcome="FAILED", errors=_ERRORS, **_SOON), "FlowRunFailed"),
    Case("failed before the task began", _run(outcome="FAILED", errors=_ERRORS, ago=5.0, **_SOON), "FlowRunFailed"),
    # Portable's status shows a cancelled run only to a wait that saw it active: time for a slow first poll.
    Case("canceled", _run(outcome="CANCELED", waiting=0.2, running=3.0), "FlowRunCanceled", applies=_cancels),
    Case("timed out", _run(outcome="RUNNING", sensor={"timeout": 0.6}), "AirflowSensorTimeout"),
    Case(
        "execution_timeout",
        _run(outcome="RUNNING", sensor={"execution_timeout": timedelta(seconds=0.6)}),
        "AirflowTaskTimeout",
    ),
    Case(
        "execution_timeout, later than the timeout",
        _run(outcome="RUNNING", sensor={"timeout": 0.6, "execution_timeout": timedelta(seconds=20)}),
        "AirflowSensorTimeout",
    ),
    Case("429 for a day, once", _asks_for_silence(429, A_DAY)),
    Case("503 until the year 9999, once", _asks_for_silence(503, YEAR_9999)),
    Case("429 for a day", _asks_for_silence(429, A_DAY, times=None), "FlowRunUnobservable", soft=False),
    Case("503 until the year 9999", _asks_for_silence(503, YEAR_9999, times=None), "FlowRunUnobservable", soft=False),
    Case("404 for a day", _asks_for_silence(404, A_DAY, times=None), "NotFoundError", soft=False),
    Case("unobservable", _unobservable, "FlowRunUnobservable", soft=False),
    Case("auth error", _bad_token, "AuthenticationError", soft=False),
    Case("auth error during the wait", _token_ends, "AuthenticationError", soft=False),
    Case("not found", _not_found, "NotFoundError", soft=False),
    Case("stale success then fresh success", _stale_then_fresh),
    Case("stale success only", _stale_only, "AirflowSensorTimeout"),
    Case("never ran", _never_ran, "AirflowSensorTimeout"),
    Case("paused", _run(outcome="PAUSED", sensor={"timeout": 0.6}, **_SOON), "AirflowSensorTimeout", applies=_pauses),
    Case(
        "paused, to fail",
        _run(outcome="PAUSED", sensor={"on_paused": "fail"}, **_SOON),
        "FlowRunFailed",
        applies=_pauses,
    ),
    Case("paused, to succeed", _run(outcome="PAUSED", sensor={"on_paused": "succeed"}, **_SOON), applies=_pauses),
)
