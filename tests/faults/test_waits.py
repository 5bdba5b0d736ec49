"""Faults during a wait: it continues and ends correctly, or reports that it could not poll. No loop spins."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_flowruns.client import aio
from airflow_provider_flowruns.hooks import base
from airflow_provider_flowruns.polling import intervals
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.tasks.base import WaitingTask
from airflow_provider_flowruns.testing.task_modes import MODES, run_in
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
from tests.parity.cases import KINDS, Kind

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


FAULTS: dict[str, list[dict[str, Any]]] = {
    "503 five times": [{"kind": "status", "status": 503, "times": 5}],
    "429 with Retry-After": [{"kind": "status", "status": 429, "headers": {"Retry-After": "2"}, "times": 1}],
    "connection resets": [{"kind": "reset", "times": 4}],
    "a hang of 30 s": [{"kind": "hang", "seconds": 30, "times": 1}],
    "HTML responses": [{"kind": "html", "times": 4}],
    "truncated responses": [{"kind": "truncated", "times": 3}],
    "empty responses": [{"kind": "empty", "times": 3}],
    "a body that drips": [{"kind": "slow_body", "seconds": 30, "times": 1}],
    "a wrong shape": [{"kind": "json", "body": ["odd"], "times": 3}],
    "redirects": [{"kind": "redirect", "location": "http://127.0.0.1:9/", "times": 2}],
    "429 for a day": [{"kind": "status", "status": 429, "headers": {"Retry-After": "86400"}, "times": 1}],
    "503 until the year 9999": [
        {"kind": "status", "status": 503, "headers": {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, "times": 1}
    ],
    "a revoked token": [{"kind": "status", "status": 401, "body": {"message": "Unauthorized"}, "times": 5}],
    "404 where a run was": [{"kind": "status", "status": 404, "headers": {"Retry-After": "86400"}, "times": 3}],
    "all of them": [
        {"kind": "status", "status": 503, "times": 2},
        {"kind": "reset", "times": 1},
        {"kind": "html", "times": 1},
        {"kind": "hang", "seconds": 30, "times": 1},
    ],
}


def sensor_on(kind: Kind, sandbox: Sandbox, outcome: str, **changes: Any) -> Any:
    flow = kind.add_flow(sandbox)
    run = flow.add_run(outcome=outcome, waiting=0.1, running=0.8)

    def make(**mode: Any) -> FlowRunSensor:
        arguments = {"task_id": "wait", "poke_interval": INTERVAL, "timeout": 60.0, "error_budget": 30.0}
        return kind.sensor(**{**arguments, **kind.arguments(flow.id, run.id), **changes, **mode})

    return make


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FAULTS)
def test_the_wait_rides_it_out_and_ends_right(name: str, mode: str, sandbox: Sandbox) -> None:
    for fault in FAULTS[name]:
        sandbox.faults.add(**{"after": 1, **fault})
    for kind, outcome, error in ((KINDS[0], "SUCCEEDED", None), (KINDS[5], "FAILED", "FlowRunFailed")):
        end = run_in(mode, sensor_on(kind, sandbox, outcome))
        assert (end.error, end.state) == (error, "failed" if error else "success"), end.message
    assert not [token for token in tokens(sandbox) if token in repr(end)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_beyond_the_budget_the_run_is_unobservable_and_no_path_spins(kind: Kind, mode: str, sandbox: Sandbox) -> None:
    budget = 1.0
    make = sensor_on(kind, sandbox, "RUNNING", error_budget=budget)
    fault = sandbox.faults.add("status", status=503, times=None, after=2)

    end = run_in(mode, make)

    assert end.error == "FlowRunUnobservable"
    failed = [record for record in sandbox.ledger.requests if record.fault]
    assert fault.hits == len(failed)
    # At most one poll per interval, and one at the end of the budget; the sandbox's clock measures the time.
    assert 2 <= len(failed) <= budget / INTERVAL + 2
    assert failed[-1].time - failed[0].time >= budget - INTERVAL


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
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_run_that_was_there_and_is_gone_is_unobservable(
    kind: Kind, mode: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been deleted with its flow: whether it ended, and how, is unknown."""
    monkeypatch.setattr(WaitingTask, "gone_grace", 1.0)
    monkeypatch.setattr(ActivepiecesApi, "info", replace(ActivepiecesApi.info, not_found_grace=0.5))
    make = sensor_on(kind, sandbox, "RUNNING")
    fault = sandbox.faults.add("status", status=404, times=None, after=1)

    end = run_in(mode, make)

    assert (end.state, end.error) == ("failed", "FlowRunUnobservable"), end
    assert "was found before and has not been found for 1" in end.message
    assert fault.hits >= 2
    assert not sandbox.ledger.canceled


@pytest.mark.parametrize("mode", MODES)
def test_a_permission_that_is_taken_away_ends_the_wait_at_once(mode: str, sandbox: Sandbox) -> None:
    make = sensor_on(KINDS[0], sandbox, "RUNNING")
    fault = sandbox.faults.add("status", status=403, times=None, after=1)
    assert run_in(mode, make).error == "PermissionDeniedError"
    assert fault.hits == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[4], KINDS[5]], ids=lambda kind: kind.name)
def test_a_token_that_reaches_airflow_late_is_found(
    kind: Kind, mode: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
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
