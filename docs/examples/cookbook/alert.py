"""Start an Activepieces flow, which tells people, whenever a task has failed."""

from __future__ import annotations

from typing import cast

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_flowruns.model.runs import RunSummary
from airflow_provider_flowruns.notifications.flow_run import FlowRunNotifier
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

alert = FlowRunNotifier(
    service="activepieces",
    conn_id="activepieces_default",
    flow_id="ApprovalPausing000001",
    payload={
        "task": "{{ ti.dag_id }}.{{ ti.task_id }}",
        "dag_run": "{{ run_id }}",
        "try": "{{ ti.try_number }}",
        "error": "{{ exception | default('the worker was lost') }}",
        "log": "{{ ti.log_url }}",
        "flow_run": "{{ ti.xcom_pull(key='run_url') or '' }}",
    },
)

with DAG(
    "alert",
    schedule=None,
    default_args={"on_failure_callback": alert},  # of every task of this DAG
    tags=["flowruns", "portable", "activepieces"],
):
    contacts_loaded = PortableFlowSensor(
        task_id="contacts_loaded",
        flow_id=568102,
        completed_after="auto",
        deferrable=True,
        timeout=3600,
    )

    @task
    def check_rows(run: RunSummary) -> int:
        """Return the number of rows that were loaded; without any, the task fails."""
        rows = run["rows"]
        if not rows or not rows["loaded"]:
            raise ValueError(f"run {run['run_id']} loaded no rows")
        return rows["loaded"]

    check_rows(cast("RunSummary", contacts_loaded.output))
