"""Fifty deferred waits in one triggerer, one of them for a run with malformed responses, and other tasks."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor, PortableFlowSensor
from airflow_provider_flowruns.triggers.flow_run import FlowRunFinishedTrigger

WATCHED_FLOW_ID = 700_900

with DAG(
    "malformed_responses",
    schedule=None,
    params={"malformed": "", "poked": "", "flow": "", "runs": [], "named": "", "history": ""},
    max_active_tasks=60,
):
    ActivepiecesFlowRunSensor(
        task_id="malformed",
        run_id="{{ params.malformed }}",
        activepieces_conn_id="activepieces_stepped",
        deferrable=True,
    )
    ActivepiecesFlowRunSensor(
        task_id="poked", run_id="{{ params.poked }}", activepieces_conn_id="activepieces_stepped", mode="poke"
    )
    for name, deferrable in {"named_poked": False, "named_deferred": True}.items():
        PortableFlowSensor(
            task_id=name, flow_id="{{ params.named }}", portable_conn_id="portable_stepped", deferrable=deferrable
        )
    PortableGetRunAttemptsOperator(
        task_id="history", flow_id="{{ params.history }}", portable_conn_id="portable_stepped"
    )

    @task
    def runs(params: Any = None) -> list[str]:
        """Return the ids of the other runs."""
        return list(params["runs"])

    PortableFlowRunSensor.partial(
        task_id="others", flow_id="{{ params.flow }}", portable_conn_id="portable_stepped", deferrable=True
    ).expand(run_id=runs())

ends = Asset(
    "malformed_responses_flow",
    watchers=[
        AssetWatcher(
            name="malformed_responses_flow_watcher",
            trigger=FlowRunFinishedTrigger("portable", WATCHED_FLOW_ID, conn_id="portable_stepped", poll_interval=5),
        )
    ],
)

with DAG("malformed_responses_consumer", schedule=[ends]):

    @task
    def event_extras(triggering_asset_events: Any = None) -> list[Any]:
        """Return the extras of the asset events that started this DAG run."""
        return [event.extra for events in triggering_asset_events.values() for event in events]

    event_extras()
