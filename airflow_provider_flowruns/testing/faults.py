"""Faults during a wait: it continues and ends correctly, or reports that it could not poll. No loop spins."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from airflow_provider_flowruns.sandbox import Sandbox, SandboxRun
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.testing.adapter import SensorKind, ServiceAdapter
from airflow_provider_flowruns.testing.base import ConformanceBase, for_each, make_sensor
from airflow_provider_flowruns.testing.task_modes import MODES, End, MakeSensor, run_in

#: Seconds between two polls.
INTERVAL = 0.2
_WAIT: dict[str, Any] = {"poke_interval": INTERVAL, "timeout": 60.0, "error_budget": 30.0}

#: What goes wrong after the first poll, by its name, as options of ``sandbox.faults.add``.
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


def _list_faults(adapter: ServiceAdapter) -> Iterator[Any]:
    for number, name in enumerate(FAULTS if adapter.sensors else ()):
        yield pytest.param(name, number, id=name)


def _list_waits(adapter: ServiceAdapter) -> Iterator[Any]:
    for kind in adapter.sensors:
        for mode in MODES:
            yield pytest.param(kind, mode, id=f"{kind.name}-{mode}")


class FaultTests(ConformanceBase):
    """The fault table, an end of the error budget, and a run that disappears."""

    max_retry_after = 2.0
    connection_extra: ClassVar[dict[str, Any]] = {"timeout": 1.0}
    short_info: ClassVar[dict[str, float]] = {"not_found_grace": 0.5}

    @for_each("name, number", _list_faults)
    def test_a_wait_survives_a_fault_and_ends_right(self, name: str, number: int, sandbox: Sandbox) -> None:
        """Each mode waits for a run of its own, one that succeeds or one that fails, and meets the fault."""
        kind = self.adapter.sensors[0]
        waits: list[tuple[str, MakeSensor, str | None]] = []
        for place, mode in enumerate(MODES):
            has_failed = (number + place) % 2 == 1
            flow, run, make = _start(kind, sandbox, "FAILED" if has_failed else "SUCCEEDED")
            for fault in FAULTS[name]:
                sandbox.faults.add(**{"path": kind.get_read_path(flow, run), "after": 1, **fault})
            waits.append((mode, make, "FlowRunFailed" if has_failed else None))
        with ThreadPoolExecutor(len(waits)) as threads:
            ends: list[End] = list(threads.map(lambda wait: run_in(wait[0], wait[1]), waits))
        for end, (mode, _, error) in zip(ends, waits, strict=True):
            assert (end.error, end.state) == (error, "failed" if error else "success"), (mode, end.message)
            assert sandbox.get_service(kind.service).token not in repr(end)
        assert sum(record.fault is not None for record in sandbox.ledger.requests) >= len(MODES)

    @for_each("kind, mode", _list_waits)
    def test_beyond_the_budget_a_run_is_unobservable_and_no_path_spins(
        self, kind: SensorKind, mode: str, sandbox: Sandbox
    ) -> None:
        """At most one poll per interval, and one at the end of the budget; the sandbox's clock measures the time."""
        budget = 1.0
        _, _, make = _start(kind, sandbox, "RUNNING", error_budget=budget)
        fault = sandbox.faults.add("status", status=503, times=None, after=2)
        end = run_in(mode, make)
        assert end.error == "FlowRunUnobservable"
        failed = [record for record in sandbox.ledger.requests if record.fault]
        assert fault.hits == len(failed)
        assert 2 <= len(failed) <= budget / INTERVAL + 2
        assert failed[-1].time - failed[0].time >= budget - INTERVAL

    @for_each("kind, mode", _list_waits)
    def test_a_run_that_was_there_and_is_gone_is_unobservable(
        self, kind: SensorKind, mode: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may have been deleted with its flow: whether it ended, and how, is unknown."""
        monkeypatch.setattr(FlowRunSensor, "gone_grace", 1.0)
        _, _, make = _start(kind, sandbox, "RUNNING")
        fault = sandbox.faults.add("status", status=404, times=None, after=1)
        end = run_in(mode, make)
        assert (end.state, end.error) == ("failed", "FlowRunUnobservable"), end
        assert "was found before and has not been found for 1" in end.message
        assert fault.hits >= 2
        assert not sandbox.ledger.canceled


def _start(kind: SensorKind, sandbox: Sandbox, outcome: str, **arguments: Any) -> tuple[Any, SandboxRun, MakeSensor]:
    flow = kind.add_flow(sandbox)
    run = flow.add_run(outcome=outcome, waiting=0.1, running=0.8)
    return flow, run, make_sensor(kind, {**kind.arguments(flow.id, run.id), **arguments}, **_WAIT)
