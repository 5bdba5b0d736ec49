"""Start an Activepieces flow with a payload, wait for its run, and use the result."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator

with DAG(
    "activepieces_run_flow",
    schedule=None,
    params={"flow_id": "ApprovalPausing000001"},
    tags=["flowruns", "activepieces"],
    doc_md="""
### Start an Activepieces flow

Calls the flow's webhook with a payload and waits in the triggerer for the run that this creates. While the run is
paused, for example for an approval, the task keeps waiting; `on_paused` changes that.
""",
):
    # --8<-- [start:start]
    notify = ActivepiecesRunFlowOperator(
        task_id="notify",
        flow_id="{{ params.flow_id }}",
        payload={"orders_of": "{{ dag_run.run_after.date() }}"},
        deferrable=True,
        poll_interval=15,
        timeout=3600,
        retries=2,
        retry_from_failure=True,
    )
    # --8<-- [end:start]

    @task
    def seconds_taken(run: dict[str, Any]) -> float:
        """Return how long the run took."""
        from datetime import datetime

        started, ended = (datetime.fromisoformat(run[key]) for key in ("created_at", "completed_at"))
        return (ended - started).total_seconds()

    seconds_taken(notify.output)
