"""Run a Portable flow that loads a table, and start another DAG on the table's asset event."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator

ORDERS = Asset("orders")

with DAG(
    "asset_events",
    schedule=None,
    params={"flow_id": 568101},
    tags=["flowruns", "portable"],
    doc_md="""
### Announce that a table was updated

Runs the flow that loads the table. The `extra` of the table's asset event identifies the run.
""",
):
    PortableRunFlowOperator(
        task_id="load",
        flow_id="{{ params.flow_id }}",
        deferrable=True,
        poll_interval=15,
        timeout=3600,
        outlets=[ORDERS],
    )

with DAG(
    "asset_events_consumer",
    schedule=[ORDERS],
    tags=["flowruns", "portable"],
    doc_md="""
### Process a table after each update

Starts when the table has been loaded, by any DAG, and reads the number of rows from the event.
""",
):

    @task(multiple_outputs=False)
    def rows_loaded(triggering_asset_events: Any = None) -> dict[str, int]:
        """Return the number of rows loaded by each run."""
        extras = [event.extra for event in triggering_asset_events[ORDERS]]
        return {extra["run_id"]: extra["rows"]["loaded"] for extra in extras}

    rows_loaded()
