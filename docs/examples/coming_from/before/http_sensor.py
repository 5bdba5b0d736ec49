"""Wait for a Portable flow with the HTTP provider."""

from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import DAG

with DAG("orders_by_http_sensor", schedule="@daily") as dag:
    HttpSensor(
        task_id="wait_for_orders",
        http_conn_id="portable_http",
        endpoint="/v2/flows/568101/status",
        headers={"Authorization": "Bearer {{ var.value.portable_token }}"},
        response_check=lambda response: response.json()["disposition"] == "SUCCEEDED",
        poke_interval=60,
        timeout=3600,
        deferrable=True,
    )
