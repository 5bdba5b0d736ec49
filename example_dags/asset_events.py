"""Run a Portable flow that fills a table, and start another DAG by the table's asset event."""

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
### Tell the world that a table is fresh

Runs the flow that loads the table. The table's asset event says which run it was, in `extra`.
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
### Use a table whenever it is fresh

Starts when the table has been loaded, whoever did it, and reads from the event how many rows came.
""",
):

    @task(multiple_outputs=False)
    def rows_loaded(triggering_asset_events: Any = None) -> dict[str, int]:
        """Return the rows that each run has loaded."""
        extras = [event.extra for event in triggering_asset_events[ORDERS]]
        return {extra["run_id"]: extra["rows"]["loaded"] for extra in extras}

    rows_loaded()
