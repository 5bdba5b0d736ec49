"""Wait for a Portable flow and read its history, with a connection that is kept in a secrets backend."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, chain

from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG(
    "secrets_backend",
    schedule=None,
    default_args={"portable_conn_id": "portable_prod"},  # a name in the secrets backend; Airflow stores no token
    tags=["flowruns", "portable"],
):
    orders_loaded = PortableFlowSensor(
        task_id="orders_loaded",
        flow_id=568101,
        completed_after="auto",
        deferrable=True,  # the triggerer reads the connection
        timeout=timedelta(hours=6),
        retries=2,
    )
    history = PortableGetRunAttemptsOperator(
        task_id="history",
        flow_id=568101,
        limit=20,  # the worker reads the connection
    )
    chain(orders_loaded, history)
