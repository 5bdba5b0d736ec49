"""Wait for today's run of a flow that something else starts, and use its summary."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_flowruns.model.runs import RunSummary
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG("only_todays_run", schedule="0 6 * * *", start_date=datetime(2026, 1, 1), catchup=False, tags=["flowruns"]):
    orders_loaded = PortableFlowSensor(
        task_id="orders_loaded",
        flow_id=568101,
        completed_after="auto",  # no run from before this DAG run was due
        deferrable=True,
        poll_interval=60,
        timeout=3 * 3600,
    )

    @task
    def count_rows(run: RunSummary) -> int:
        """Return the number of rows that the run loaded."""
        return run["rows"]["loaded"] if run["rows"] else 0

    count_rows(cast("RunSummary", orders_loaded.output))
