"""Start one Portable flow from any number of machines, one run at a time, each task waiting for its own run."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_flowruns.model.runs import RunSummary
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator

with DAG(
    "several_machines",
    schedule=None,
    max_active_runs=4,
    tags=["flowruns", "portable"],
):
    load = PortableRunFlowOperator(
        task_id="load",
        flow_id=568103,
        pool="portable_568103",  # one slot, which a deferred task keeps; for every task that starts this flow
        if_running="wait",  # for a run that a schedule or a person has started
        deferrable=True,
        timeout=timedelta(hours=2),
        retries=2,
    )

    @task
    def describe_load(run: RunSummary) -> str:
        """Return which run loaded how many rows."""
        rows = run["rows"]
        return f"run {run['run_id']} loaded {rows['loaded'] if rows else 0} rows"

    describe_load(cast("RunSummary", load.output))
