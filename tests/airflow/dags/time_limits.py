"""Waits that a real Airflow limits, reschedules, loses contact with or suspends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseSensorOperator

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

#: Number of sensors that wait for one flow in ``reschedule`` mode.
RESCHEDULED_COUNT = 10

CONNECTION = {"portable_conn_id": "portable_live"}


class NeverSensor(BaseSensorOperator):
    """A sensor of Airflow itself whose wait does not end, for comparison."""

    def poke(self, context: Any) -> bool:
        """Return False: keep waiting."""
        return False


with DAG("time_limits", schedule=None, params=dict.fromkeys(("watched", "here", "deferred"), "")):
    limits: dict[str, Any] = {"timeout": 3_600, "execution_timeout": timedelta(seconds=12)}
    NeverSensor(task_id="airflow_itself", **limits)
    watching = {"flow_id": "{{ params.watched }}", **CONNECTION, **limits}
    PortableFlowSensor(task_id="poke", **watching)
    PortableFlowSensor(task_id="reschedule", mode="reschedule", **watching)
    PortableFlowSensor(task_id="deferrable", deferrable=True, **watching)
    PortableFlowSensor(task_id="soft", deferrable=True, soft_fail=True, **watching)
    PortableRunFlowOperator(task_id="run_here", flow_id="{{ params.here }}", **CONNECTION, **limits)
    PortableRunFlowOperator(
        task_id="run_deferred", flow_id="{{ params.deferred }}", deferrable=True, **CONNECTION, **limits
    )

with DAG("rescheduled_waits", schedule=None, params={"flow": ""}):
    for number in range(RESCHEDULED_COUNT):
        PortableFlowSensor(
            task_id=f"wait_{number}",
            flow_id="{{ params.flow }}",
            mode="reschedule",
            poke_interval=5,
            timeout=600,
            retries=0,
            **CONNECTION,
        )

with DAG("guarded_poke", schedule=None, params={"flow": "", "completed_after": ""}):
    PortableFlowSensor(
        task_id="wait",
        flow_id="{{ params.flow }}",
        completed_after="{{ params.completed_after }}",
        timeout=600,
        retries=0,
        **CONNECTION,
    )

with DAG("early_deferral", schedule=None, params={"flow": "", "completed_after": ""}):
    PortableFlowSensor(
        task_id="wait",
        flow_id="{{ params.flow }}",
        completed_after="{{ params.completed_after }}",
        deferrable=True,
        timeout=600,
        **CONNECTION,
    )

with DAG("deferred_start", schedule=None, params={"flow": ""}):
    PortableRunFlowOperator(
        task_id="run", flow_id="{{ params.flow }}", deferrable=True, timeout=600, retries=0, **CONNECTION
    )
