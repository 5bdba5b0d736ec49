"""A DAG that is started by the end of a flow's run."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_flowruns.triggers.flow_run import FlowRunFinishedTrigger

orders = Asset(
    "orders",
    watchers=[
        AssetWatcher(
            name="orders_run_finished",
            trigger=FlowRunFinishedTrigger("activepieces", "OrdersToWarehouse0001", poll_interval=5),
        )
    ],
)

with DAG("orders_arrived", schedule=[orders]):

    @task
    def which_run(*, triggering_asset_events: Any) -> str:
        """Return the id of the run that started this DAG run."""
        (event,) = triggering_asset_events[orders]
        return str(event.extra["payload"]["run_id"])

    which_run()
