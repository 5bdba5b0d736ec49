"""A deferred wait that the page shows."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG("page_waits", schedule=None, params={"flow_id": "", "completed_after": ""}):
    PortableFlowSensor(
        task_id="wait_for_orders",
        flow_id="{{ params.flow_id }}",
        completed_after="{{ params.completed_after }}",
        deferrable=True,
        timeout=3600,
    )
