"""Sensors here run without Airflow's database."""

from __future__ import annotations

import pytest

from tests.airflow_versions import replace_reschedule_query


@pytest.fixture(autouse=True)
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_reschedule_query(monkeypatch)
