"""A deferred task for each kind of wait that an older release saved, named after it in the test."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor, ActivepiecesFlowSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor, PortableWorkflowSensor

SENSOR: dict[str, Any] = {"deferrable": True, "poke_interval": 5, "timeout": 3600}
PARAMS = {"run": "", "flow_status": "", "followed_flow": "", "workflow": "", "start": "", "after": ""}

with DAG("upgraded_waits", schedule=None, params=PARAMS):
    ActivepiecesFlowRunSensor(task_id="run", run_id="{{ params.run }}", **SENSOR)
    PortableFlowSensor(task_id="flow_status", flow_id="{{ params.flow_status }}", **SENSOR)
    ActivepiecesFlowSensor(task_id="followed_flow", flow_id="{{ params.followed_flow }}", **SENSOR)
    PortableWorkflowSensor(
        task_id="workflow", workflow_id="{{ params.workflow }}", completed_after="{{ params.after }}", **SENSOR
    )
    PortableRunFlowOperator(
        task_id="start", flow_id="{{ params.start }}", deferrable=True, poll_interval=5, timeout=3600
    )
