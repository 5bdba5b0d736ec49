"""What Airflow versions do differently, asked of the installed version."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowruns.compat import versions

TIME = datetime(2026, 1, 31, 12, tzinfo=UTC)
EXTRA = {"rows": {"loaded": 5}, "run_id": "7", "url": None}


@pytest.mark.parametrize(
    ("is_3_1", "expected"), [(True, EXTRA), (False, {**EXTRA, "rows": '{"loaded": 5}'})], ids=["3.1", "3.0"]
)
def test_nested_values_of_an_alias_are_json_text_below_3_1(
    is_3_1: bool, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "AIRFLOW_V_3_1_PLUS", is_3_1)
    assert versions.build_alias_extra(EXTRA) == expected


@pytest.mark.parametrize(
    ("context", "due"),
    [
        ({"data_interval_end": TIME}, TIME),
        ({"data_interval_end": None, "dag_run": SimpleNamespace(run_after=TIME)}, TIME),
        ({"dag_run": SimpleNamespace()}, None),
        ({}, None),
    ],
)
def test_a_dag_run_was_due_at_the_end_of_its_interval_or_when_it_was_to_run(context: object, due: object) -> None:
    assert versions.get_due_time(context) == due


def test_an_operator_of_its_own_is_not_mapped() -> None:
    assert versions.is_mapped(BaseOperator(task_id="task")) is False


def test_without_a_task_there_is_no_state() -> None:
    assert asyncio.run(versions.get_task_state(None)) is None


def test_the_base_of_watchers_triggers_is_a_trigger() -> None:
    from airflow.triggers.base import BaseTrigger

    assert issubclass(versions.get_base_event_trigger(), BaseTrigger)
