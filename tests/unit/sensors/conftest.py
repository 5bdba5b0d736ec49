"""Sensors here run without Airflow's database."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.testing.task_modes import replace_reschedule_query


@pytest.fixture(autouse=True)
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_reschedule_query(monkeypatch)
