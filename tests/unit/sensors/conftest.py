"""What Airflow 2 looks up in its database, for tests that have none."""

from __future__ import annotations

from importlib import import_module

import pytest
from airflow.providers.common.compat.sdk import BaseSensorOperator

from tests.parity.modes import FIRST_RESCHEDULE


@pytest.fixture(autouse=True)
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow 2 looks in its database for when a sensor was first rescheduled, later ones ask the task instance."""
    sensors = import_module(BaseSensorOperator.__module__)
    if hasattr(sensors, "_orig_start_date"):
        monkeypatch.setattr(sensors, "_orig_start_date", lambda **_: FIRST_RESCHEDULE.get())
