"""Send a document to a TableFlow flow, wait for that very run, and use its result."""

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

Sends a file to the flow and waits in the triggerer until it is read. Files may be local or on any storage that
Airflow's object storage knows, such as `s3://bucket/invoice.pdf`; they are streamed.
""",
):

    @task
    def fetch_invoice() -> str:
        """Return the path of an invoice; a real DAG would get it from somewhere."""
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
    def run_id_of(run: dict[str, Any]) -> str:
        """Return the run's id, by which its extractions are found."""
        return str(run["run_id"])

    run_id_of(read_invoice.output)
