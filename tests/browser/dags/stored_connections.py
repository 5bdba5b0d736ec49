"""One DAG per connection type that reads a flow's runs with a connection created in the form."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_flowruns.operators.activepieces import ActivepiecesListFlowRunsOperator
from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.operators.tableflow import TableFlowListFlowRunsOperator

READERS = {
    "portable": PortableGetRunAttemptsOperator,
    "activepieces": ActivepiecesListFlowRunsOperator,
    "tableflow": TableFlowListFlowRunsOperator,
}

for kind, reader in READERS.items():
    with DAG(f"stored_{kind}", schedule=None, params={"conn_id": "", "flow_id": ""}):
        connection = {f"{kind}_conn_id": "{{ params.conn_id }}"}
        reader(task_id="runs", flow_id="{{ params.flow_id }}", **connection)
