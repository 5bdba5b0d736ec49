"""Start a DAG whenever a run of a Portable flow has ended. Requires Airflow 3.0 or newer."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_flowruns.triggers.flow_run import FlowRunFinishedTrigger

# --8<-- [start:watch]
# The watcher polls the flow in the triggerer, permanently; each run that succeeds is an event of this asset.
orders_loaded = Asset(
    name="orders_loaded",
    watchers=[
        AssetWatcher(
            name="orders_loaded_watcher",
            # A watcher belongs to no DAG run, so its arguments cannot be templates.
            trigger=FlowRunFinishedTrigger(service="portable", flow_id=568101, poll_interval=15),
        )
    ],
)

with DAG(
    "portable_finished_asset",
    schedule=orders_loaded,
    tags=["flowruns", "portable"],
    doc_md="""
### When a Portable flow has loaded

Starts when a run of the flow has succeeded, once per run. You do not trigger this DAG yourself.
""",
):

    @task
    def runs_that_ended(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """Return which runs ended and how many rows they loaded; under load, Airflow passes several events at once."""
        runs = [event.extra["payload"] for event in triggering_asset_events[orders_loaded]]
        return [{"run_id": run["run_id"], "rows_loaded": run["rows"]["loaded"]} for run in runs]

    runs_that_ended()
# --8<-- [end:watch]
