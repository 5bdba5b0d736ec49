"""The other switches of a sensor mean the same in every mode."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.testing.adapter import SensorKind
from airflow_provider_flowruns.testing.situations import SITUATIONS, Situation
from airflow_provider_flowruns.testing.task_modes import MODES, End, run_in_all, task_context
from tests.adapters import KINDS

#: One sensor a service: a status, a run by id, and a flow's newest runs.
SENSORS = [
    kind for kind in KINDS if kind.name in {"PortableFlowSensor", "ActivepiecesFlowRunSensor", "TableFlowFlowSensor"}
]
FAILING = [case for case in SITUATIONS if case.error and all(map(case.applies, SENSORS))]


def ends_of(kind: SensorKind, arguments: dict[str, Any], **switches: Any) -> dict[str, End]:
    def make(**mode: Any) -> FlowRunSensor:
        common = {"task_id": "wait", "poke_interval": 0.1, "timeout": 20.0}
        return kind.sensor(**{**common, **arguments, **switches, **mode})

    return run_in_all(make)


@pytest.mark.parametrize("kind", SENSORS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("case", FAILING, ids=lambda case: case.name)
def test_never_fail_skips_whatever_happened(case: Situation, kind: SensorKind, sandbox: Sandbox) -> None:
    ends = ends_of(kind, case.prepare(kind, sandbox), never_fail=True)
    assert {mode: end.state for mode, end in ends.items()} == dict.fromkeys(ends, "skipped"), ends


@pytest.mark.parametrize("kind", SENSORS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("case", FAILING, ids=lambda case: case.name)
def test_silent_fail_waits_on_until_the_timeout(case: Situation, kind: SensorKind, sandbox: Sandbox) -> None:
    ends = ends_of(kind, {**case.prepare(kind, sandbox), "timeout": 1.2}, silent_fail=True)
    found = {mode: (end.state, end.error) for mode, end in ends.items()}
    error = case.error if case.error == "AirflowTaskTimeout" else "AirflowSensorTimeout"
    assert found == dict.fromkeys(ends, ("failed", error)), ends


@pytest.mark.parametrize("kind", SENSORS, ids=lambda kind: kind.name)
def test_backoff_polls_less_often_and_ends_the_same(kind: SensorKind, sandbox: Sandbox) -> None:
    succeeded = next(case for case in SITUATIONS if case.name == "succeeded")
    ends = ends_of(kind, succeeded.prepare(kind, sandbox), exponential_backoff=True, max_wait=0.4)
    assert {end.state for end in ends.values()} == {"success"}, ends


@pytest.mark.parametrize("mode", [{}, {"mode": "reschedule"}, {"deferrable": True}], ids=MODES)
@pytest.mark.parametrize("name", ["poke_interval", "poll_interval"])
def test_the_interval_may_have_the_name_that_it_has_in_operators(name: str, mode: Any, sandbox: Sandbox) -> None:
    for kind in SENSORS:
        flow = kind.add_flow(sandbox)
        arguments = {**kind.arguments(flow.id, flow.add_run().id), name: 90}
        sensor = kind.sensor(task_id="wait", **arguments, **mode)
        assert sensor.waiting.resume_or_start(task_context()).config.interval_seconds == 90
