"""A start whose wait is deferred and a wait in a worker, on a connection that nothing else uses."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG("reported_waits", schedule=None, params={"flow": "", "started_flow": ""}):
    PortableFlowSensor(task_id="poke", flow_id="{{ params.flow }}", portable_conn_id="portable_reported", timeout=300)
    PortableRunFlowOperator(
        task_id="run",
        flow_id="{{ params.started_flow }}",
        portable_conn_id="portable_reported",
        deferrable=True,
        timeout=300,
    )
