"""Start a Portable flow, wait for that very run, and use its result."""

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

Starts the flow, or waits first if it is running already, and waits in the triggerer for the run that was started. A
retry of the task finds its own run again. Marking the task failed cancels the run.
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
        """Return how many rows the run loaded."""
        return int(run["rows"]["loaded"])

    rows_loaded(load.output)
