"""Guards are times on Airflow's clock: they mean the same wherever the service's clock stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import timezone

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.testing.adapter import SensorKind
from airflow_provider_flowruns.testing.task_modes import MODES, End, run_in, run_in_all, task_context
from tests.adapters import KINDS

DAY = 24 * 60 * 60.0
OFFSETS = {"-6 days": -6 * DAY, "-10 minutes": -600.0, "+1 hour": 3_600.0, "+6 days": 6 * DAY}
GUARDED = [kind for kind in KINDS if kind.sensor.takes_guard]

all_offsets = pytest.mark.parametrize("sandbox", OFFSETS.values(), ids=OFFSETS.keys(), indirect=True)
all_guarded = pytest.mark.parametrize("kind", GUARDED, ids=lambda kind: kind.name)


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A service whose clock is off."""
    with Sandbox(clock=lambda: time.time() + request.param) as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running


def ends_of(kind: SensorKind, flow_id: Any, **changes: Any) -> dict[str, End]:
    def make(**mode: Any) -> FlowRunSensor:
        given = {"task_id": "wait", "poke_interval": 0.1, "timeout": 20.0, **kind.arguments(flow_id, None)}
        return kind.sensor(**{**given, **changes, **mode})

    return run_in_all(make)


@all_offsets
@all_guarded
def test_a_run_that_ended_before_the_guard_is_not_accepted(kind: SensorKind, sandbox: Sandbox) -> None:
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0, ago=4.0)  # ended three seconds ago
    ends = ends_of(kind, flow.id, completed_after=timezone.utcnow(), timeout=1.0)
    assert {mode: end.error for mode, end in ends.items()} == dict.fromkeys(MODES, "AirflowSensorTimeout"), ends


@all_offsets
@all_guarded
def test_a_run_that_ends_after_the_guard_is_accepted(kind: SensorKind, sandbox: Sandbox) -> None:
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="FAILED", waiting=0.1, running=1.0, ago=4.0)
    guard = timezone.utcnow()
    fresh = flow.add_run(outcome="SUCCEEDED", waiting=0.2, running=3.0)
    ends = ends_of(kind, flow.id, completed_after=guard)
    assert {mode: end.state for mode, end in ends.items()} == dict.fromkeys(MODES, "success"), ends
    if kind.flow_argument != "workflow_id":
        assert {end.xcom["run_id"] for end in ends.values()} == {str(fresh.id)}


@all_offsets
@pytest.mark.parametrize(
    "kind", [kind for kind in GUARDED if kind.flow_argument != "workflow_id"], ids=lambda kind: kind.name
)
def test_a_run_that_started_after_the_guard_is_accepted_and_no_other(kind: SensorKind, sandbox: Sandbox) -> None:
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="FAILED", waiting=0.1, running=3.0, ago=4.0)  # ends after the guard, started before
    guard = timezone.utcnow()
    time.sleep(1.5)
    fresh = flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=0.5)
    ends = ends_of(kind, flow.id, started_after=guard)
    assert {end.xcom["run_id"] for end in ends.values()} == {str(fresh.id)}, ends


@all_offsets
@pytest.mark.parametrize("mode", MODES)
def test_the_offset_is_warned_about_once_and_no_run_is_called_old_for_it(
    mode: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Log:
        """Keeps what a task logs, wherever it runs."""

        def log(self, level: int, text: str, *arguments: Any) -> None:
            told.append(text % arguments)

        def warning(self, text: str, *arguments: Any) -> None:
            told.append(text % arguments)

        info = error = warning

    monkeypatch.setattr("airflow_provider_flowruns.triggers.flow_run.FlowRunTrigger.logger", Log)
    monkeypatch.setattr(FlowRunSensor, "log", Log(), raising=False)
    kind = KINDS[0]
    flow = kind.add_flow(sandbox)
    interval_end = timezone.utcnow()
    flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=3.0)

    def make(**more: Any) -> FlowRunSensor:
        return kind.sensor(task_id="wait", flow_id=flow.id, poke_interval=0.1, timeout=20.0, **more)

    end = run_in(mode, make, {**task_context(), "data_interval_end": interval_end})
    assert end.state == "success", end
    warnings = [text for text in told if "clock is" in text]
    # The triggerer's client warns once for all waits, in the log of one of them.
    assert len(warnings) == (2 if mode == "deferrable" else 1), told
    assert not [text for text in told if "was accepted ended at" in text], told
