"""Fixtures of the tests of starts: a sandbox, and operators as each process of a task creates them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.operators import portable_runs as portable_module
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
from tests.faults.starts import OPERATORS, Make


@pytest.fixture
def quick_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let starts show within 1.5 s or not at all, so that giving up takes no minutes."""
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.05, 0.1))
    monkeypatch.setattr(portable_module, "VISIBILITY_POLL_SECONDS", 0.05)
    monkeypatch.setattr(portable_module, "MAX_LOCK_SECONDS", 0.3)
    for api in (PortableApi, ActivepiecesApi, TableFlowApi):
        monkeypatch.setattr(api, "info", replace(api.info, appear_within=1.5, not_found_grace=0.5))


@pytest.fixture
def document(tmp_path: Path) -> str:
    path = tmp_path / "order.pdf"
    path.write_bytes(b"%PDF-1.7 made up")
    return str(path)


@pytest.fixture
def operator(document: str) -> Make:
    """Returns a function that makes fresh operators on a flow, as every new process of a task does."""

    def on(service: str, flow: Any, **arguments: Any) -> Callable[[], Any]:
        files = {"files": {"document": document}} if service == "tableflow" else {}
        common = {"task_id": "start", "flow_id": str(flow.id), "poll_interval": 0.1, "timeout": 30.0}
        return lambda: OPERATORS[service](**{**common, **files, **arguments})

    return on


@pytest.fixture
def sandbox(quick_starts: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Return a sandbox that is the default connection of each service."""
    with Sandbox() as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running
