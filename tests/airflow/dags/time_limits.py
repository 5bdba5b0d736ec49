"""Waits that a real Airflow bounds, reschedules, loses sight of or freezes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseSensorOperator

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

#: So many sensors look at one flow in ``reschedule`` mode.
RESCHEDULED = 10

CONNECTION = {"portable_conn_id": "portable_live"}


class NeverSensor(BaseSensorOperator):
    """What Airflow itself makes of a wait that does not end."""

    def poke(self, context: Any) -> bool:
        """Return that nothing has happened."""
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
    for number in range(RESCHEDULED):
        PortableFlowSensor(
            task_id=f"wait_{number}",
            flow_id="{{ params.flow }}",
            mode="reschedule",
            poke_interval=5,
            timeout=600,
            retries=0,
            **CONNECTION,
        )

with DAG("guarded_poke", schedule=None, params={"flow": "", "since": ""}):
    PortableFlowSensor(
        task_id="wait",
        flow_id="{{ params.flow }}",
        completed_after="{{ params.since }}",
        timeout=600,
        retries=0,
        **CONNECTION,
    )

with DAG("early_deferral", schedule=None, params={"flow": "", "since": ""}):
    PortableFlowSensor(
        task_id="wait",
        flow_id="{{ params.flow }}",
        completed_after="{{ params.since }}",
        deferrable=True,
        timeout=600,
        **CONNECTION,
    )

with DAG("deferred_start", schedule=None, params={"flow": ""}):
    PortableRunFlowOperator(
        task_id="run", flow_id="{{ params.flow }}", deferrable=True, timeout=600, retries=0, **CONNECTION
    )
