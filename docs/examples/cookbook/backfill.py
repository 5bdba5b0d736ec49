"""Load one day per DAG run, also for days of the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator
from airflow_provider_flowruns.sensors.portable import PortableWorkflowSensor

# catchup=False: only a backfill that somebody asks for creates DAG runs of the past.
with DAG("backfill", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, tags=["flowruns"]):
    nightly_load = PortableWorkflowSensor(
        task_id="nightly_load",
        workflow_id=568201,
        completed_after="auto",  # a run that ended after the day was over has loaded all of it
        deferrable=True,
        timeout=3 * 3600,
    )

    @task
    def get_day(data_interval_end: datetime | None = None) -> str:
        """Return the day before the DAG run was due."""
        due = data_interval_end or datetime.now(UTC)  # a DAG run triggered without a date has no interval
        return (due - timedelta(days=1)).date().isoformat()

    sum_up_day = ActivepiecesRunFlowOperator(
        task_id="sum_up_day",
        flow_id="OrdersToWarehouse0001",
        payload={"day": get_day()},
        deferrable=True,
        timeout=3600,
    )

    nightly_load >> sum_up_day
