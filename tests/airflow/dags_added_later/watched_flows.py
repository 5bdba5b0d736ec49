"""Fifty watched flows with one DAG for all, one flow with a DAG per outcome, and one flow with many runs."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetAny, AssetWatcher, task

from airflow_provider_flowruns.triggers.flow_run import FlowRunFinishedTrigger

FIRST_FLOW_ID = 700_001
FLOWS = 50


def build_asset(name: str, flow_id: int, **options: Any) -> Asset:
    """Return an asset with an event for each completed run of a flow."""
    trigger = FlowRunFinishedTrigger("portable", flow_id, conn_id="portable_live", poll_interval=5, **options)
    return Asset(name, watchers=[AssetWatcher(name=f"{name}_watcher", trigger=trigger)])


@task
def run_ids(triggering_asset_events: Any = None) -> list[str]:
    """Return the ids of the runs whose ends started this DAG run."""
    return [event.extra["payload"]["run_id"] for events in triggering_asset_events.values() for event in events]


watched = [build_asset(f"watched_{number:02}", FIRST_FLOW_ID + number) for number in range(FLOWS)]

with DAG("watched_flows", schedule=AssetAny(*watched)):
    run_ids()

with DAG("filtered_flow_succeeded", schedule=build_asset("filtered_succeeded", FIRST_FLOW_ID + FLOWS)):
    run_ids()

with DAG("filtered_flow_failed", schedule=build_asset("filtered_failed", FIRST_FLOW_ID + FLOWS, outcomes=["FAILED"])):
    run_ids()

with DAG("busy_flow", schedule=build_asset("busy", FIRST_FLOW_ID + FLOWS + 1)):
    run_ids()
