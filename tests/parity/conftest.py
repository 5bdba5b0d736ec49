"""What the tests of all modes share: a sandbox with good and bad connections, and short spans."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from airflow_provider_flowruns.polling import intervals
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.testing.task_modes import replace_reschedule_query
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
            bad = {**json.loads(value), "password": "made-up-wrong-token"}
            monkeypatch.setenv(name.replace("_DEFAULT", "_BAD"), json.dumps(bad))
        yield running


@pytest.fixture(autouse=True)
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds that only make a test long."""
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.05, 0.1))
    monkeypatch.setattr(FlowRunSensor, "min_reschedule_seconds", 0.0)
    monkeypatch.setattr(intervals, "MAX_RETRY_AFTER_SECONDS", 0.3)
    monkeypatch.setattr(ActivepiecesApi, "info", replace(ActivepiecesApi.info, not_found_grace=0.3))


@pytest.fixture(autouse=True)
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_reschedule_query(monkeypatch)
