"""A wait of every kind, for restarts of everything around them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

# Airflow itself fails a rescheduled task whose process starts while the api-server or Redis is away.
RETRIES: dict[str, Any] = {"retries": 20, "retry_delay": timedelta(seconds=5)}
SENSOR: dict[str, Any] = {"timeout": 3600, "completed_after": "{{ params.after }}"}
OPERATOR: dict[str, Any] = {"poll_interval": 5, "timeout": 3600}

with DAG("restarts", schedule=None, params={"flows": {}, "after": ""}):
    PortableFlowSensor(
        task_id="deferred", flow_id="{{ params.flows.deferred }}", deferrable=True, poke_interval=5, **SENSOR
    )
    PortableFlowSensor(task_id="poke", flow_id="{{ params.flows.poke }}", mode="poke", poke_interval=5, **SENSOR)
    PortableFlowSensor(
        task_id="reschedule",
        flow_id="{{ params.flows.reschedule }}",
        mode="reschedule",
        poke_interval=15,
        **RETRIES,
        **SENSOR,
    )
    PortableRunFlowOperator(
        task_id="deferred_start", flow_id="{{ params.flows.deferred_start }}", deferrable=True, **OPERATOR
    )
    PortableRunFlowOperator(task_id="start", flow_id="{{ params.flows.start }}", deferrable=False, **OPERATOR)
