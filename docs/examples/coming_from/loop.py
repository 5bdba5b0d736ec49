"""Start a Portable flow, wait for its run, and use the result."""

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator


@task
def rows_loaded(run: Any) -> int:
    """Return the number of rows that the run loaded."""
    return int(run["rows"]["loaded"])


with DAG("orders_without_loop", schedule="@daily") as dag:
    load = PortableRunFlowOperator(
        task_id="load",
        flow_id=568101,
        poll_interval=30,
        timeout=3600,
        deferrable=True,
        retries=2,
    )
    rows_loaded(load.output)
