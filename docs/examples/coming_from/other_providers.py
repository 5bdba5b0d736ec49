"""Run a Portable flow."""

from airflow.sdk import DAG

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator

with DAG("orders_on_portable", schedule="@daily") as dag:
    PortableRunFlowOperator(
        task_id="load",
        portable_conn_id="portable_default",
        flow_id=568101,
        wait=True,
        poll_interval=30,
        timeout=3600,
        deferrable=True,
        retries=2,
    )
