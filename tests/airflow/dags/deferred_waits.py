"""Deferred waits on all three services with a freshness guard, and one for a run that is never created."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor, PortableWorkflowSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowSensor

WAITING: dict[str, Any] = {"deferrable": True, "timeout": 300, "completed_after": "{{ params.completed_after }}"}
PARAMS = dict.fromkeys(("completed_after", "portable", "workflow", "activepieces", "tableflow", "never"), "")

with DAG("deferred_waits", schedule=None, params=PARAMS):
    PortableFlowSensor(task_id="portable", flow_id="{{ params.portable }}", portable_conn_id="portable_live", **WAITING)
    PortableWorkflowSensor(
        task_id="workflow", workflow_id="{{ params.workflow }}", portable_conn_id="portable_live", **WAITING
    )
    ActivepiecesFlowSensor(
        task_id="activepieces",
        flow_id="{{ params.activepieces }}",
        activepieces_conn_id="activepieces_live",
        **WAITING,
    )
    TableFlowFlowSensor(
        task_id="tableflow", flow_id="{{ params.tableflow }}", tableflow_conn_id="tableflow_live", **WAITING
    )
    PortableFlowSensor(
        task_id="never",
        flow_id="{{ params.never }}",
        portable_conn_id="portable_live",
        **{**WAITING, "timeout": 45},
    )
