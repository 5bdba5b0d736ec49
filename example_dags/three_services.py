"""Continue when flows of all three services have succeeded."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowSensor
from airflow_provider_flowruns.sensors.portable import PortableWorkflowSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowSensor

WAITING = {"deferrable": True, "poke_interval": 15, "timeout": 3600}

with DAG(
    "three_services",
    schedule=None,
    params={
        "portable_workflow_id": 568201,
        "activepieces_flow_id": "OrdersToWarehouse0001",
        "tableflow_flow_id": "InvoicesRead0001",
    },
    tags=["flowruns", "portable", "activepieces", "tableflow"],
    doc_md="""
### Three services, one DAG

Waits in parallel for a run of a Portable workflow, of an Activepieces flow and of a TableFlow flow, and continues when
all three have succeeded. Runs that ended before this DAG run was due do not count.
""",
):
    # --8<-- [start:wait]
    nightly_load = PortableWorkflowSensor(
        task_id="nightly_load",
        workflow_id="{{ params.portable_workflow_id }}",
        completed_after="auto",
        **WAITING,
    )
    orders_synced = ActivepiecesFlowSensor(
        task_id="orders_synced",
        flow_id="{{ params.activepieces_flow_id }}",
        completed_after="auto",
        **WAITING,
    )
    invoices_read = TableFlowFlowSensor(
        task_id="invoices_read",
        flow_id="{{ params.tableflow_flow_id }}",
        completed_after="auto",
        **WAITING,
    )
    # --8<-- [end:wait]

    @task(multiple_outputs=False)
    def report(*runs: dict[str, Any]) -> dict[str, str]:
        """Return when each service's run was completed."""
        return {run["service"]: run["completed_at"] for run in runs}

    report(nightly_load.output, orders_synced.output, invoices_read.output)
