"""Send an invoice to a TableFlow flow, store the rows that it extracted, and load them into a database."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator

with DAG(
    "tableflow_invoice_rows",
    schedule=None,
    params={
        "flow_id": "InvoicesRead0001",
        "folder": (Path(tempfile.gettempdir()) / "flowruns-invoices").as_uri(),
    },
    tags=["flowruns", "tableflow"],
    doc_md="""
### From an invoice to rows in a database

Sends an invoice to the flow, waits in the triggerer until it has been read, and writes the rows that were found in it
to object storage. `folder` may be on any storage that Airflow's object storage supports. With workers on several
machines, it must be where all of them find it, such as `s3://aws_default@bucket/invoices`. The next task loads the rows
into SQLite, in its own process, and adds them up.
""",
):

    @task
    def fetch_invoice(folder: str) -> str:
        """Store an invoice, made up for this example, where every worker finds it, and return its path."""
        path = ObjectStoragePath(folder) / "invoice.pdf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%PDF-1.7\n% a made-up invoice\n")
        return str(path)

    # --8<-- [start:extract]
    read_invoice = TableFlowRunFlowOperator(
        task_id="read_invoice",
        flow_id="{{ params.flow_id }}",
        files={"document": fetch_invoice("{{ params.folder }}/{{ run_id }}")},
        extract_to="{{ params.folder }}/{run_id}/{table}.jsonl",
        deferrable=True,
        poll_interval=15,
        timeout=3600,
        retries=2,
    )

    @task(multiple_outputs=False)
    def load_rows(run: dict[str, Any]) -> dict[str, Any]:
        """Load the line items into a database, and return their number and the sum of their amounts."""
        database = sqlite3.connect(":memory:")
        database.execute("CREATE TABLE line_items (description TEXT, quantity INTEGER, amount REAL)")
        for file in run["extracted"]:
            if file["table"] == "line_items":
                with ObjectStoragePath(file["path"]).open("rb") as lines:
                    # All values are texts, and an empty one is a value that was not found.
                    database.executemany(
                        "INSERT INTO line_items VALUES (:description, NULLIF(:quantity, ''), NULLIF(:amount, ''))",
                        map(json.loads, lines),
                    )
        count, total = database.execute("SELECT COUNT(*), ROUND(SUM(amount), 2) FROM line_items").fetchone()
        return {"rows": count, "total": total}

    load_rows(read_invoice.output)
    # --8<-- [end:extract]
