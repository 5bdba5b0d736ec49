"""In ``reschedule`` mode Airflow wakes a task that often at most: it fails one that is queued again too soon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import timezone

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.testing.task_modes import FIRST_RESCHEDULE, task_context


def seconds_until_next(sandbox: Sandbox, **arguments: Any) -> float:
    """Return the seconds for which a sensor on a running flow leaves its worker after its first poll."""
    flow = sandbox.portable.add_flow()
    flow.add_run(outcome="RUNNING")
    task = PortableFlowSensor(task_id="wait", flow_id=flow.id, mode="reschedule", **arguments)
    FIRST_RESCHEDULE.set(None)
    began = timezone.utcnow()
    with pytest.raises(AirflowRescheduleException) as again:
        task.execute(task_context())
    return (again.value.reschedule_date - began).total_seconds()


@pytest.mark.parametrize(
    ("interval", "least"), [(1, 15), (5, 15), (20, 20), (60, 60), (3_600, 3_600), (timedelta(minutes=2), 120)]
)
def test_no_poll_comes_sooner_than_asked_for_nor_than_fifteen_seconds(
    interval: Any, least: float, sandbox: Sandbox
) -> None:
    assert least <= seconds_until_next(sandbox, poke_interval=interval) < least + 15


@pytest.mark.parametrize(("earlier_pokes", "pushed"), [(0, ""), (1, None)])
def test_an_address_may_have_been_pushed_by_an_earlier_poke_alone(
    earlier_pokes: int, pushed: str | None, sandbox: Sandbox
) -> None:
    sandbox.faults.add("status", status=503)
    task = PortableFlowSensor(task_id="wait", flow_id=sandbox.portable.add_flow().id, mode="reschedule")
    with pytest.raises(AirflowRescheduleException):
        task.execute(task_context() | {"task_reschedule_count": earlier_pokes})
    assert task.pushed_url == pushed


def test_only_the_last_poll_comes_sooner_than_the_interval(sandbox: Sandbox) -> None:
    assert 85 < seconds_until_next(sandbox, poke_interval=600, timeout=90) < 105
    assert 15 <= seconds_until_next(sandbox, poke_interval=600, timeout=3) < 30


def test_a_growing_interval_may_grow(sandbox: Sandbox) -> None:
    assert 30 <= seconds_until_next(sandbox, poke_interval=30, exponential_backoff=True) < 45


def test_a_service_that_wants_more_time_has_it(sandbox: Sandbox) -> None:
    sandbox.faults.add("status", status=429, headers={"Retry-After": "100"})
    assert 100 <= seconds_until_next(sandbox, poke_interval=20) < 115
