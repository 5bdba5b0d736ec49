"""One task for each of the five documented endpoints, with ids and connections from the DAG run's conf."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_provider_flowruns.operators.activepieces import ActivepiecesGetFlowRunOperator
from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.operators.tableflow import TableFlowGetFlowRunOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor, PortableWorkflowSensor

PORTABLE_CONN_ID = "portable_{{ params.connections }}"
POKING: dict[str, Any] = {"mode": "poke", "poke_interval": 1, "timeout": 60}

with DAG(
    "five_endpoints",
    schedule=None,
    params={
        "connections": "default",
        "flow_id": "0",
        "workflow_id": "0",
        "activepieces_run_id": "",
        "tableflow_run_id": "",
    },
):
    PortableFlowSensor(
        task_id="flow_status", flow_id="{{ params.flow_id }}", portable_conn_id=PORTABLE_CONN_ID, **POKING
    )
    PortableWorkflowSensor(
        task_id="workflow_status", workflow_id="{{ params.workflow_id }}", portable_conn_id=PORTABLE_CONN_ID, **POKING
    )
    PortableGetRunAttemptsOperator(
        task_id="run_attempts", flow_id="{{ params.flow_id }}", portable_conn_id=PORTABLE_CONN_ID
    )
    ActivepiecesGetFlowRunOperator(
        task_id="activepieces_run",
        run_id="{{ params.activepieces_run_id }}",
        activepieces_conn_id="activepieces_{{ params.connections }}",
    )
    TableFlowGetFlowRunOperator(
        task_id="tableflow_run",
        run_id="{{ params.tableflow_run_id }}",
        tableflow_conn_id="tableflow_{{ params.connections }}",
    )
