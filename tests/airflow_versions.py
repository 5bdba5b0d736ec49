"""What tests expect of older Airflow versions."""

from __future__ import annotations

from importlib import import_module

import pytest
from airflow.providers.common.compat.sdk import BaseSensorOperator
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS, AIRFLOW_V_3_3_PLUS

from airflow_provider_flowruns.testing.task_modes import FIRST_RESCHEDULE

#: Airflow 3.0 and 3.1 read the extra of an environment variable themselves, and report a bad one as no connection.
HIDES_BAD_EXTRA = AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_2_PLUS
#: Before 3.3 a notifier keeps a template that renders to an empty text.
KEEPS_EMPTY_TEMPLATES = not AIRFLOW_V_3_3_PLUS


def replace_reschedule_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the database query with which Airflow 2 finds out when a sensor was first rescheduled."""
    sensors = import_module(BaseSensorOperator.__module__)
    if hasattr(sensors, "_orig_start_date"):
        monkeypatch.setattr(sensors, "_orig_start_date", lambda **_: FIRST_RESCHEDULE.get())
