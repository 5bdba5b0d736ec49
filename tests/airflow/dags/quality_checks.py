"""Quality checks of runs that other tasks, plain and mapped, return or write to a file."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.operators.quality import FlowRunQualityCheckOperator

with DAG(
    "quality_checks", schedule=None, params={"plausible": "", "empty": "", "path": "", "ratio": 0.5}
) as quality_checks:

    @task
    def flow_ids(params: Any = None) -> Any:
        """Return the flows to judge."""
        return [params["plausible"], params["empty"]]

    attempts = PortableGetRunAttemptsOperator.partial(task_id="attempts", portable_conn_id="portable_live").expand(
        flow_id=flow_ids()
    )
    check = FlowRunQualityCheckOperator.partial(task_id="check", min_rows_ratio="{{ params.ratio }}").expand(
        runs=attempts.output
    )

    @task(multiple_outputs=False, trigger_rule="all_done")
    def reports(reports: Any) -> Any:
        """Return which flows passed, failed ones included."""
        return {report["flow_id"]: report["passed"] for report in reports}

    @task
    def publish() -> None:
        """Stand for the work that needs plausible runs."""

    reports(check.output)
    check >> publish()

    one = PortableGetRunAttemptsOperator(
        task_id="one", flow_id="{{ params.empty }}", portable_conn_id="portable_live", limit=10
    )
    text = FlowRunQualityCheckOperator(
        task_id="text", runs="{{ ti.xcom_pull('one') | tojson }}", last="{{ 3 }}", on_failure="warn"
    )
    one >> text

    archive = PortableGetRunAttemptsOperator(
        task_id="archive",
        flow_id="{{ params.plausible }}",
        portable_conn_id="portable_live",
        fetch_all=True,
        output_path="{{ params.path }}",
    )
    FlowRunQualityCheckOperator(task_id="file", runs=archive.output, max_age=3_600)
