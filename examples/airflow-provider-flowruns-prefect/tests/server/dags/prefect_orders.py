"""Runs a deployment, waits for it in the triggerer, and reads its history."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_flowruns_prefect.operators import PrefectListFlowRunsOperator, PrefectRunDeploymentOperator
from airflow_provider_flowruns_prefect.sensors import PrefectDeploymentSensor, PrefectFlowRunSensor

with DAG("prefect_orders", schedule=None, params={"deployment": ""}):
    load = PrefectRunDeploymentOperator(
        task_id="load",
        deployment_id="{{ params.deployment }}",
        parameters={"outcome": "succeed", "seconds": 15},
        tags=["airflow"],
        deferrable=True,
        poll_interval=2,
        retries=3,  # a server on sqlite responds with 503 while it is busy, and no start is sent twice in one try
        retry_delay=timedelta(seconds=5),
    )
    run = PrefectFlowRunSensor(
        task_id="run", run_id="{{ ti.xcom_pull(task_ids='load', key='run_id') }}", mode="reschedule"
    )
    newest = PrefectDeploymentSensor(task_id="newest", deployment_id="{{ params.deployment }}", completed_after="auto")
    history = PrefectListFlowRunsOperator(task_id="history", deployment_id="{{ params.deployment }}", limit=5)
    load >> [run, newest, history]
