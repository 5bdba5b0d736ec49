"""Tasks whose logs are looked at: one that waits, one that fails, and one that times out."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG("task_logs", schedule=None, params={"waiting": 0, "failed": 0, "timed_out": 0}):
    PortableFlowSensor(
        task_id="waiting",
        flow_id="{{ params.waiting }}",
        completed_after="{{ dag_run.run_after }}",
        deferrable=True,
    )
    PortableFlowSensor(
        task_id="failed",
        flow_id="{{ params.failed }}",
        completed_after="{{ dag_run.run_after }}",
        deferrable=True,
    )
    PortableFlowSensor(
        task_id="timed_out",
        flow_id="{{ params.timed_out }}",
        completed_after="{{ dag_run.run_after }}",
        deferrable=True,
        timeout=20,
    )
