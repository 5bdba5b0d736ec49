"""Watched flows with a DAG each."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_flowruns.triggers.flow_run import FlowRunFinishedTrigger

FIRST_FLOW_ID = 800_001
FLOWS = 8


@task
def run_ids(triggering_asset_events: Any = None) -> list[str]:
    """Return the ids of the runs whose ends started this DAG run."""
    return [event.extra["payload"]["run_id"] for events in triggering_asset_events.values() for event in events]


for flow_id in range(FIRST_FLOW_ID, FIRST_FLOW_ID + FLOWS):
    trigger = FlowRunFinishedTrigger("portable", flow_id, poll_interval=5)
    asset = Asset(f"flow_{flow_id}", watchers=[AssetWatcher(name=f"flow_{flow_id}_watcher", trigger=trigger)])
    with DAG(f"after_{flow_id}", schedule=asset):
        run_ids()
