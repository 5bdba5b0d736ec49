"""Faults during a wait, beside those of the conformance kit."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_flowruns.client import aio
from airflow_provider_flowruns.hooks import base
from airflow_provider_flowruns.polling import intervals
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.testing.adapter import SensorKind
from airflow_provider_flowruns.testing.task_modes import MODES, run_in
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
from tests.adapters import KINDS

INTERVAL = 0.2


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.05, 0.1))
    monkeypatch.setattr(FlowRunSensor, "min_reschedule_seconds", 0.0)
    monkeypatch.setattr(intervals, "MAX_RETRY_AFTER_SECONDS", 2.0)
    with Sandbox() as running:
        for name, value in running.connections().items():
            connection = json.loads(value)
            connection["extra"]["timeout"] = 1.0
            monkeypatch.setenv(name, json.dumps(connection))
        yield running


def sensor_on(kind: SensorKind, sandbox: Sandbox, outcome: str, **changes: Any) -> Any:
    flow = kind.add_flow(sandbox)
    run = flow.add_run(outcome=outcome, waiting=0.1, running=0.8)

    def make(**mode: Any) -> FlowRunSensor:
        arguments = {"task_id": "wait", "poke_interval": INTERVAL, "timeout": 60.0, "error_budget": 30.0}
        return kind.sensor(**{**arguments, **kind.arguments(flow.id, run.id), **changes, **mode})

    return make


@pytest.mark.parametrize("mode", MODES)
def test_retry_after_is_waited_for(mode: str, sandbox: Sandbox) -> None:
    sandbox.faults.add("status", status=429, headers={"Retry-After": "2"}, times=1, after=1)
    assert run_in(mode, sensor_on(KINDS[0], sandbox, "SUCCEEDED")).state == "success"
    times = [record.time for record in sandbox.ledger.requests]
    limited = next(index for index, record in enumerate(sandbox.ledger.requests) if record.fault)
    # Not a bound on speed: the server asked for silence, and its own clock shows that it got it.
    assert times[limited + 1] - times[limited] >= 2


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_is_not_there_yet_appears(mode: str, sandbox: Sandbox) -> None:
    kind = next(kind for kind in KINDS if kind.name == "ActivepiecesFlowRunSensor")
    flow = kind.add_flow(sandbox)
    run = flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=0.1, visible_after=0.6)

    def make(**arguments: Any) -> FlowRunSensor:
        return kind.sensor(task_id="wait", run_id=run.id, poke_interval=INTERVAL, timeout=30.0, **arguments)

    assert run_in(mode, make).state == "success"
    assert {record.status for record in sandbox.ledger.requests} == {404, 200}


@pytest.mark.parametrize("mode", MODES)
def test_a_permission_that_is_taken_away_ends_the_wait_at_once(mode: str, sandbox: Sandbox) -> None:
    make = sensor_on(KINDS[0], sandbox, "RUNNING")
    fault = sandbox.faults.add("status", status=403, times=None, after=1)
    assert run_in(mode, make).error == "PermissionDeniedError"
    assert fault.hits == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[4], KINDS[5]], ids=lambda kind: kind.name)
def test_a_token_that_reaches_airflow_late_is_found(
    kind: SensorKind, mode: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor revokes the old token before Airflow has the new one."""
    monkeypatch.setattr(base, "RELOAD_INTERVAL_SECONDS", 0.3)
    monkeypatch.setattr(aio, "RELOAD_INTERVAL_SECONDS", 0.3)
    service, name = getattr(sandbox, kind.service), f"AIRFLOW_CONN_{kind.service.upper()}_DEFAULT"
    make = sensor_on(kind, sandbox, "SUCCEEDED")

    def rotate() -> None:
        until(lambda: any(record.status == 200 for record in sandbox.ledger.requests))
        service.token = "made-up-new-token"
        until(lambda: any(record.status == 401 for record in sandbox.ledger.requests))
        time.sleep(1.0)
        monkeypatch.setenv(name, json.dumps({**json.loads(os.environ[name]), "password": service.token}))

    with ThreadPoolExecutor(1) as threads:
        rotated = threads.submit(rotate)
        end = run_in(mode, make)
        rotated.result()

    assert end.state == "success", end
    assert sum(record.status == 401 for record in sandbox.ledger.requests) > 1
    assert "made-up-new-token" not in repr(end)


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def tokens(sandbox: Sandbox) -> list[str]:
    return [getattr(sandbox, service).token for service in ("portable", "activepieces", "tableflow")]
