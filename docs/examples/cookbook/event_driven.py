"""Start a DAG whenever a run of a Portable flow has ended. Requires Airflow 3.0 or newer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_flowruns.model.runs import RunSummary
from airflow_provider_flowruns.triggers.flow_run import FlowRunFinishedTrigger

# The watcher polls the flow in the triggerer, permanently. It belongs to no DAG run, so it takes no templates.
orders_flow = Asset(
    name="orders_flow",
    watchers=[
        AssetWatcher(
            name="orders_flow_watcher",
            trigger=FlowRunFinishedTrigger(
                service="portable",
                flow_id=568101,
                outcomes=("SUCCEEDED",),
                poll_interval=timedelta(seconds=15),
            ),
        )
    ],
)

with DAG(
    "event_driven",
    schedule=orders_flow,
    max_active_runs=50,  # above the number of flow runs that may end while one DAG run is active
    tags=["flowruns", "portable"],
):

    @task
    def publish(triggering_asset_events: Any = None) -> list[str]:
        """Write one partition per flow run, so that an event that is repeated writes the same one again."""
        # If many runs end at once, Airflow passes several events to one DAG run.
        loads: list[RunSummary] = [event.extra["payload"] for event in triggering_asset_events[orders_flow]]
        with_rows = [load for load in loads if load["rows"] and load["rows"]["loaded"]]
        return [f"orders/flow_run={load['run_id']}" for load in with_rows]

    publish()
