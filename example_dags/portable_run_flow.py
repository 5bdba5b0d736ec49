"""Start a Portable flow, wait for its run, and use the result."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator

with DAG(
    "portable_run_flow",
    schedule=None,
    params={"flow_id": 568103},
    tags=["flowruns", "portable"],
    doc_md="""
### Start a Portable flow

Starts the flow, after waiting for its active run if there is one, and waits in the triggerer for the new run. A retry
of the task finds its own run again. Marking the task failed cancels the run.
""",
):
    # --8<-- [start:start]
    load = PortableRunFlowOperator(
        task_id="load",
        flow_id="{{ params.flow_id }}",
        if_running="wait",
        deferrable=True,
        poll_interval=15,
        timeout=3600,
        cancel_on_timeout=True,
        retries=2,
    )
    # --8<-- [end:start]

    @task
    def rows_loaded(run: dict[str, Any]) -> int:
        """Return the number of rows that the run loaded."""
        return int(run["rows"]["loaded"])

    rows_loaded(load.output)
