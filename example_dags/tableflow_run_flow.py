"""Send a document to a TableFlow flow, wait for its run, and use the result."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator

with DAG(
    "tableflow_run_flow",
    schedule=None,
    params={
        "flow_id": "InvoicesRead0001",
        "folder": (Path(tempfile.gettempdir()) / "flowruns-invoices").as_uri(),
    },
    tags=["flowruns", "tableflow"],
    doc_md="""
### Start a TableFlow flow with a document

Sends a file to the flow and waits in the triggerer until it has been read. Files may be on any storage that Airflow's
object storage supports, and are streamed. With workers on several machines, `folder` must be where all of them find it,
such as `s3://aws_default@bucket/invoices`.
""",
):

    @task
    def fetch_invoice(folder: str) -> str:
        """Store an invoice, made up for this example, where every worker finds it, and return its path."""
        path = ObjectStoragePath(folder) / "invoice.pdf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%PDF-1.7\n% a made-up invoice\n")
        return str(path)

    # --8<-- [start:start]
    read_invoice = TableFlowRunFlowOperator(
        task_id="read_invoice",
        flow_id="{{ params.flow_id }}",
        files={"document": fetch_invoice("{{ params.folder }}/{{ run_id }}")},
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
