"""Load with a Portable flow, and continue only if the load is plausible."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator, PortableRunFlowOperator
from airflow_provider_flowruns.operators.quality import FlowRunQualityCheckOperator

with DAG(
    "portable_quality_gate",
    schedule=None,
    params={"flow_id": 568104},
    tags=["flowruns", "portable"],
    doc_md="""
### Continue only after a plausible load

Starts the flow and waits for its run, reads its newest run attempts, and compares the run with those before it. A run
can succeed and load nothing, because a source was empty or a filter wrong: then the check fails, with the reason in the
task's log and in XCom, and the tasks after it do not run.
""",
):
    # --8<-- [start:gate]
    load = PortableRunFlowOperator(
        task_id="load",
        flow_id="{{ params.flow_id }}",
        deferrable=True,
        poll_interval=15,
        timeout=3600,
    )

    attempts = PortableGetRunAttemptsOperator(task_id="attempts", flow_id="{{ params.flow_id }}", limit=50)

    plausible = FlowRunQualityCheckOperator(
        task_id="plausible",
        runs=attempts.output,
        last=20,
        min_success_rate=0.8,
        min_rows_ratio=0.5,
        max_rows_ratio=3,
        max_age=timedelta(hours=1),
    )

    @task
    def publish(report: dict[str, Any]) -> str:
        """Stand for the work that needs a plausible load."""
        return f"published the load of run {report['run_id']}"

    load >> attempts
    publish(plausible.output)
    # --8<-- [end:gate]
