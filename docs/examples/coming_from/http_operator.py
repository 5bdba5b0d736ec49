"""Start an Activepieces flow, and wait for exactly that run."""

from airflow.sdk import DAG

from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator

with DAG("orders_by_operator", schedule="@daily") as dag:
    ActivepiecesRunFlowOperator(
        task_id="load",
        flow_id="OrdersToWarehouse0001",
        payload={"day": "2026-01-31"},
        retries=2,
        deferrable=True,
    )
