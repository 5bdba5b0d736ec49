"""Fixtures for the tests of starts and of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.faults.starts import OPERATORS
from tests.statsd_server import StatsdServer, reset_stats
from tests.worker_time import WorkerTime


@pytest.fixture
def worker_time(monkeypatch: pytest.MonkeyPatch) -> WorkerTime:
    """Let time pass only while a task sleeps."""
    time = WorkerTime()
    time.install(monkeypatch)
    return time


@pytest.fixture
def timed_sandbox(worker_time: WorkerTime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Return a sandbox in the worker's time that is the default connection of each service."""
    with Sandbox(clock=worker_time.time) as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def make_starter_task(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that makes an operator that starts a flow, as every process of a task does."""
    document = tmp_path / "order.pdf"
    document.write_bytes(b"%PDF-1.7 made up")

    def make(service: str, flow: Any, **arguments: Any) -> Any:
        files = {"files": {"document": str(document)}} if service == "tableflow" else {}
        common = {"task_id": "start", "flow_id": str(flow.id), "poll_interval": 10.0, "timeout": 3_600.0}
        return OPERATORS[service](**{**common, **files, **arguments})

    return make


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdServer]:
    """Return a StatsD server to which Airflow sends metrics with tags."""
    with StatsdServer() as server:
        for name, value in server.build_settings(has_tags=True).items():
            monkeypatch.setenv(name, value)
        reset_stats(monkeypatch)
        yield server
