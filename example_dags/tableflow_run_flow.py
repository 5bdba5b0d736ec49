"""Send a document to a TableFlow flow, wait for its run, and use the result."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator

with DAG(
    "tableflow_run_flow",
    schedule=None,
    params={"flow_id": "InvoicesRead0001"},
    tags=["flowruns", "tableflow"],
    doc_md="""
### Start a TableFlow flow with a document

Sends a file to the flow and waits in the triggerer until it has been read. Files may be local or on any storage that
Airflow's object storage supports, such as `s3://bucket/invoice.pdf`; they are streamed.
""",
):

    @task
    def fetch_invoice() -> str:
        """Return the path of an invoice, made up for this example."""
        path = Path(tempfile.mkdtemp(prefix="invoice-")) / "invoice.pdf"
        path.write_bytes(b"%PDF-1.7\n% a made-up invoice\n")
        return str(path)

    # --8<-- [start:start]
    read_invoice = TableFlowRunFlowOperator(
        task_id="read_invoice",
        flow_id="{{ params.flow_id }}",
        files={"document": fetch_invoice()},
        metadata={"dag_run": "{{ run_id }}"},
        deferrable=True,
        poll_interval=15,
        timeout=3600,
        retries=2,
    )
    # --8<-- [end:start]

    @task
    def get_run_id(run: dict[str, Any]) -> str:
        """Return the run's id, which identifies its extractions."""
        return str(run["run_id"])

    get_run_id(read_invoice.output)
