"""Run a sensor or an operator to its end in each mode, outside a scheduler but with real triggers and requests."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from airflow.exceptions import AirflowRescheduleException
from airflow.models import import_all_models
from airflow.providers.common.compat.sdk import (
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseOperator,
    BaseSensorOperator,
    TaskDeferred,
    timezone,
)

from airflow_provider_flowruns.sensors.base import FlowRunSensor

# This module is the task runner: Airflow's guard against calling execute() elsewhere would only add noise.
_GUARD = importlib.import_module(BaseOperator.__module__).ExecutorSafeguard
_GUARD.test_mode = True
_GUARD._sentinel = SimpleNamespace(callers={})  # Airflow 2 has one for its first thread only

# Airflow 2 loads its models when a task first asks for one; two threads that do so at once can wait for each other.
import_all_models()  # type: ignore[no-untyped-call]

MODES = ("poke", "reschedule", "deferrable")

#: What ends a task: Airflow's own exception for ``execution_timeout`` is no ``Exception``.
ENDS = (Exception, AirflowTaskTimeout)

#: Makes a fresh sensor, as every new process of a task does.
MakeSensor = Callable[..., FlowRunSensor[Any]]


@dataclass(frozen=True)
class End:
    """How a task ended."""

    state: str
    error: str | None = None
    xcom: Any = None
    message: str = ""

    def comparable(self) -> tuple[Any, ...]:
        """Return what must be the same in every mode."""
        return self.state, self.error, self.xcom


#: When the task of this thread was first rescheduled; None when it was not.
FIRST_RESCHEDULE: ContextVar[datetime | None] = ContextVar("first_reschedule", default=None)


class StateStore:
    """Stands in for Airflow 3.3's task state store: JSON values that outlive a process."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value as it was before it was stored."""
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        """Store a value as JSON."""
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        """Remove a value, if there is one."""
        self.values.pop(key, None)


class TaskInstance:
    """What a sensor or operator asks of its task instance."""

    dag_id, run_id, task_id = "a_dag", "manual__1", "wait"

    def __init__(self, try_number: int = 1, map_index: int = -1, max_tries: int = 3) -> None:
        self.try_number = try_number
        self.max_tries = max_tries
        self.map_index = map_index
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep what the task stores."""
        self.xcoms[key] = value

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        """Return when the task of this thread was first rescheduled."""
        return FIRST_RESCHEDULE.get()


def task_context(store: StateStore | None = None, try_number: int = 1, **instance: int) -> Any:
    """Return the parts of a task's context that a sensor or operator uses."""
    return {"ti": TaskInstance(try_number, **instance), "task_state_store": store or StateStore()}


def run_task(make: Callable[[], Any], context: Any) -> End:
    """Run a sensor or operator to its end, through the triggers it defers to."""
    method, kwargs = "execute", None
    while True:
        try:
            task = make()
            result = task.execute(context) if kwargs is None else task.resume_execution(method, kwargs, context)
            return End("success", xcom=result)
        except TaskDeferred as deferred:
            method, kwargs = deferred.method_name, {**(deferred.kwargs or {}), "event": fired_by(deferred)}
        except AirflowSkipException as skip:
            return End("skipped", message=str(skip))
        except AirflowTaskTimeout as error:
            task.on_kill()  # as Airflow does
            return End("failed", type(error).__name__, message=str(error))
        except Exception as error:
            return End("failed", type(error).__name__, message=str(error))


def fired_by(deferred: TaskDeferred) -> Any:
    """Return the event of the trigger a task deferred to, which has been through the database."""
    path, kwargs = deferred.trigger.serialize()
    event = asyncio.run(first_event(path, json.loads(json.dumps(kwargs))))
    return json.loads(json.dumps(event))


def run_in(mode: str, make: MakeSensor, context: dict[str, Any] | None = None) -> End:
    """Run a sensor in a mode and return how its task would end."""
    context = context or task_context()
    runner = {"poke": _poke, "reschedule": _reschedule, "deferrable": _deferrable}[mode]
    try:
        return End("success", xcom=runner(make, context))
    except AirflowSkipException as skip:
        return End("skipped", message=str(skip))
    except ENDS as error:
        return End("failed", type(error).__name__, message=str(error))


def run_in_all(make: MakeSensor) -> dict[str, End]:
    """Run a sensor in all modes at the same time."""
    with ThreadPoolExecutor(len(MODES)) as threads:
        return dict(zip(MODES, threads.map(lambda mode: run_in(mode, make), MODES), strict=True))


def _poke(make: MakeSensor, context: Any) -> Any:
    return make().execute(context)


def _reschedule(make: MakeSensor, context: Any) -> Any:
    FIRST_RESCHEDULE.set(None)
    while True:
        try:
            return make(mode="reschedule").execute(context)
        except AirflowRescheduleException as again:
            FIRST_RESCHEDULE.set(FIRST_RESCHEDULE.get() or timezone.utcnow())
            time.sleep(max(0.0, (again.reschedule_date - timezone.utcnow()).total_seconds()))


def _deferrable(make: MakeSensor, context: Any) -> Any:
    try:
        return make(deferrable=True).execute(context)
    except TaskDeferred as deferred:
        method, event = deferred.method_name, fired_by(deferred)
    return make(deferrable=True).resume_execution(method, {"event": event}, context)


async def first_event(path: str, kwargs: dict[str, Any]) -> Any:
    """Load a trigger as the triggerer does and return the payload of its only event."""
    module, _, name = path.rpartition(".")
    trigger = getattr(importlib.import_module(module), name)(**kwargs)
    (event,) = [event async for event in trigger.run()]
    return event.payload


def replace_reschedule_query(monkeypatch: Any) -> None:
    """Replace the database query with which Airflow 2 finds out when a sensor was first rescheduled.

    :param monkeypatch: pytest's fixture.
    """
    sensors = importlib.import_module(BaseSensorOperator.__module__)
    if hasattr(sensors, "_orig_start_date"):
        monkeypatch.setattr(sensors, "_orig_start_date", lambda **_: FIRST_RESCHEDULE.get())
