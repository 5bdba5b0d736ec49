"""The DAG that ``python -m airflow_provider_flowruns.sandbox`` prints: the README's, whose flow the sandbox has."""

READY_DAG = """\
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG("orders"):
    loaded = PortableFlowSensor(
        task_id="wait_for_orders",
        flow_id=568101,
        completed_after="auto",  # no run from before this DAG run was due
        deferrable=True,
    )
    history = PortableGetRunAttemptsOperator(task_id="history", flow_id=568101, limit=20)

    @task
    def success_rate(attempts):
        return sum(attempt["disposition"] == "SUCCEEDED" for attempt in attempts) / len(attempts)

    loaded >> history
    success_rate(history.output)
"""
