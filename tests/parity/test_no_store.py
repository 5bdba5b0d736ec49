"""Without a task state store (below Airflow 3.3) a rescheduled sensor forgets its polls: it waits longer, no more."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.testing.adapter import SensorKind
from airflow_provider_flowruns.testing.situations import SITUATIONS, Situation
from airflow_provider_flowruns.testing.task_modes import TaskInstance, run_in
from tests.adapters import KINDS

#: One sensor a service: a status, a run by id, and a flow's newest runs.
SENSORS = [
    kind for kind in KINDS if kind.name in {"PortableFlowSensor", "ActivepiecesFlowRunSensor", "TableFlowFlowSensor"}
]

# What only an earlier look can tell: for how long nobody could look or an id was unknown, and that a flow which is at
# rest without a result was running. Such a wait goes on until its timeout.
FORGOTTEN = {
    *((case, kind.name) for case in ("unobservable", "429 for a day", "503 until the year 9999") for kind in SENSORS),
    ("not found", "ActivepiecesFlowRunSensor"),
    ("404 for a day", "ActivepiecesFlowRunSensor"),
    ("canceled", "PortableFlowSensor"),
}

TABLE = [
    pytest.param(case, kind, id=f"{case.name}-{kind.name}")
    for case in SITUATIONS
    for kind in SENSORS
    if case.applies(kind)
]


@pytest.mark.parametrize(("case", "kind"), TABLE)
def test_reschedule_without_a_store(case: Situation, kind: SensorKind, sandbox: Sandbox) -> None:
    is_forgotten = (case.name, kind.name) in FORGOTTEN
    arguments = {"timeout": 5.0 if is_forgotten else 20.0, **case.prepare(kind, sandbox)}

    def make(**mode: Any) -> FlowRunSensor:
        return kind.sensor(task_id="wait", poke_interval=0.1, **arguments, **mode)

    end = run_in("reschedule", make, {"ti": TaskInstance()})
    error = "AirflowSensorTimeout" if is_forgotten else case.error
    assert (end.state, end.error) == ("failed" if error else "success", error), end
