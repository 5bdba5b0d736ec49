"""Wait for the newest run of an Activepieces flow."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_flowruns.operators.activepieces import (
    ActivepiecesGetFlowRunOperator,
    ActivepiecesListFlowRunsOperator,
)
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor

NEWEST_RUN_ID = "{{ ti.xcom_pull('newest')[0]['run_id'] }}"

with DAG(
    "activepieces_wait",
    schedule=None,
    params={"flow_id": "OrdersToWarehouse0001"},
    tags=["flowruns", "activepieces"],
    doc_md="""
### Wait for a run of an Activepieces flow

Lists the flow's runs, waits for the newest one by its id, and reads it again when it has ended. Listing requires the
connection's project id.
""",
):
    # --8<-- [start:wait]
    newest = ActivepiecesListFlowRunsOperator(task_id="newest", flow_id="{{ params.flow_id }}", limit=1)

    ended = ActivepiecesFlowRunSensor(
        task_id="ended",
        run_id=NEWEST_RUN_ID,
        deferrable=True,
        poke_interval=15,
        timeout=3600,
    )

    run = ActivepiecesGetFlowRunOperator(task_id="run", run_id=NEWEST_RUN_ID)

    newest >> ended >> run
    # --8<-- [end:wait]
