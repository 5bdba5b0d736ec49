"""Wait for the newest run of a TableFlow flow."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_flowruns.operators.tableflow import TableFlowGetFlowRunOperator, TableFlowListFlowRunsOperator
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor

NEWEST_RUN_ID = "{{ ti.xcom_pull('newest')[0]['run_id'] }}"

with DAG(
    "tableflow_wait",
    schedule=None,
    params={"flow_id": "InvoicesRead0001"},
    tags=["flowruns", "tableflow"],
    doc_md="""
### Wait for a run of a TableFlow flow

Lists the flow's runs, waits until the documents of the newest one have been read, and reads the run again. While a run
is in review, the sensor keeps waiting; `on_paused` changes that.
""",
):
    newest = TableFlowListFlowRunsOperator(task_id="newest", flow_id="{{ params.flow_id }}", limit=1)

    # --8<-- [start:wait]
    ended = TableFlowFlowRunSensor(
        task_id="ended",
        run_id=NEWEST_RUN_ID,
        deferrable=True,
        poke_interval=15,
        timeout=3600,
    )
    # --8<-- [end:wait]

    run = TableFlowGetFlowRunOperator(task_id="run", run_id=NEWEST_RUN_ID)

    newest >> ended >> run
