"""Continue only if the newest run of a flow is plausible, compared with those before it."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_flowruns.model.quality import QualityReport
from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.operators.quality import FlowRunQualityCheckOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG("quality_gate", schedule=None, tags=["flowruns"]):
    loaded = PortableFlowSensor(
        task_id="loaded", flow_id=568104, completed_after="auto", deferrable=True, timeout=3 * 3600
    )

    attempts = PortableGetRunAttemptsOperator(task_id="attempts", flow_id=568104, limit=50)

    plausible = FlowRunQualityCheckOperator(
        task_id="plausible",
        runs=attempts.output,
        last=20,
        min_success_rate=0.8,
        min_rows_ratio=0.5,  # at least half of the usual number of rows
        max_rows_ratio=3,
        max_age=timedelta(hours=6),
    )

    @task
    def publish(report: QualityReport) -> str | None:
        """Stand for the work that needs a plausible load, and return the run that was judged."""
        return report["run_id"]

    loaded >> attempts
    publish(cast("QualityReport", plausible.output))
