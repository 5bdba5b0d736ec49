"""The example DAG that brings the rows of an invoice into a database."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tools.real_airflow import RealAirflow
from tools.stepped_clock import SteppedClock

pytestmark = pytest.mark.airflow

DAG = "tableflow_invoice_rows"
ROWS = [
    {"description": "Chair", "quantity": "1", "amount": "249.99"},
    {"description": "Desk", "quantity": "", "amount": "1.01"},
    {"description": "Unknown", "quantity": "2", "amount": ""},
]


def test_rows_go_to_storage_and_from_there_into_a_database(
    airflow: RealAirflow, sandbox: Sandbox, clock: SteppedClock, tmp_path: Path
) -> None:
    clock.advance(max(0.0, time.time() - clock()))
    flow = sandbox.tableflow.add_flow()
    flow.next_run(waiting=0, running=5, tables={"line_items": ROWS, "taxes": []})
    run_id = airflow.trigger(DAG, {"flow_id": flow.id, "folder": f"file://{tmp_path}"})
    airflow.wait_for_task(DAG, run_id, "read_invoice", ["deferred"])
    clock.advance(6)
    assert airflow.wait_for_run(DAG, run_id) == "success"
    extracted = airflow.get_xcom(DAG, run_id, "read_invoice")["extracted"]
    assert [(one["table"], one["count"]) for one in extracted] == [("line_items", 3), ("taxes", 0)]
    path = Path(extracted[0]["path"].removeprefix("file://"))
    assert path.is_relative_to(tmp_path)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == ROWS
    assert airflow.get_xcom(DAG, run_id, "load_rows") == {"rows": 3, "total": 251.0}
