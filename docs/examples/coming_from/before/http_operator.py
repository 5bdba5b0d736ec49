"""Start an Activepieces flow with the HTTP provider, and wait for some run of it."""

import json

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import DAG

with DAG("orders_by_http_operator", schedule="@daily") as dag:
    start = HttpOperator(
        task_id="start",
        http_conn_id="activepieces_http",
        endpoint="/api/v1/webhooks/OrdersToWarehouse0001",
        data=json.dumps({"day": "2026-01-31"}),
        headers={"Content-Type": "application/json"},
        retries=2,
    )
    wait = HttpSensor(
        task_id="wait",
        http_conn_id="activepieces_http",
        endpoint="/api/v1/flow-runs?projectId=SandboxProject0000001&flowId=OrdersToWarehouse0001&limit=1",
        headers={"Authorization": "Bearer {{ var.value.activepieces_token }}"},
        response_check=lambda response: response.json()["data"][0]["status"] == "SUCCEEDED",
    )
    start >> wait
