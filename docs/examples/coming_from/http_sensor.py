"""Wait for a Portable flow."""

from airflow.sdk import DAG

from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG("orders_by_sensor", schedule="@daily") as dag:
    PortableFlowSensor(
        task_id="wait_for_orders",
        flow_id=568101,
        completed_after="auto",  # no run from before this DAG run was due
        poke_interval=60,
        timeout=3600,
        deferrable=True,
    )
