"""Run a dbt Cloud job."""

from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator
from airflow.sdk import DAG

with DAG("orders_on_dbt_cloud", schedule="@daily") as dag:
    DbtCloudRunJobOperator(
        task_id="load",
        dbt_cloud_conn_id="dbt_cloud_default",
        job_id=48617,
        wait_for_termination=True,
        check_interval=30,
        timeout=3600,
        deferrable=True,
        retries=2,
    )
