"""The page on run summaries: its examples are what the package returns, and its tables name every key of details."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.activepieces_details import ActivepiecesDetails, FailedStep
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.portable_details import PortableDetails
from airflow_provider_flowruns.services.tableflow import TableFlowApi
from airflow_provider_flowruns.services.tableflow_details import (
    AttemptDetails,
    StatusChange,
    StepDetails,
    TableFlowDetails,
)

PAGE = (Path(__file__).parents[2] / "docs/summary.md").read_text("utf-8")

PORTABLE = {
    "id": 637628,
    "flow": 568101,
    "trigger": "scheduled",
    "lifecycle": "not_running",
    "disposition": "succeeded",
    "resources": [{"name": "events", "extracted": 1864, "analyzed": 1864, "loaded": 1864}],
    "createdAt": "2026-01-31T12:00:00Z",
    "completedAt": "2026-01-31T12:05:34Z",
}
ACTIVEPIECES = {
    "id": "NmSGbOWEwbzGCZLFIsWug",
    "flowId": "OrdersToWarehouse0001",
    "flowVersionId": "SY2YBEOwBDODgIYhS0YUR",
    "flowVersion": {"displayName": "Orders sync"},
    "projectId": "SandboxProject0000001",
    "environment": "PRODUCTION",
    "status": "FAILED",
    "failedStep": {"name": "step_1", "displayName": "Fetch orders", "message": "HTTP 500"},
    "failParentOnFailure": False,
    "tags": ["nightly"],
    "stepsCount": 0,
    "created": "2026-01-31T12:00:00Z",
    "startTime": "2026-01-31T12:00:01Z",
    "finishTime": "2026-01-31T12:00:03.500Z",
}
TABLEFLOW = {
    "id": "Wp7kRnT2mX4vQ9bL",
    "flow_id": "InvoicesRead0001",
    "workspace_id": "uT2bJNWN75YPU95r",
    "status": "completed",
    "status_history": [{"status": "completed", "time": 1769860830, "message": "All steps are done"}],
    "metadata": {"order": "PO-7"},
    "trigger_method": "api",
    "created_at": 1769860800,
    "start_time": 1769860800,
    "end_time": 1769860830,
    "duration": 30000,
    "drive_files": {"report": {"file_id": "1AbC", "sheets": [{"sheet_id": 0, "title": "Totals"}]}},
    "input_files": {"document": {"file_name": "po-7.pdf", "file_size": 51200}},
    "current_attempt": 1,
    "flow_attempts": [{"attempt": 1, "status": "completed", "start_time": 1769860800, "end_time": 1769860830}],
    "steps": [
        {
            "step_id": "step_1",
            "status": "completed",
            "start_time": 1769860800,
            "end_time": 1769860824,
            "output": {"extraction_id": "Zk3mP9sT1vB6nQ8x"},
        }
    ],
    "flow": {"name": "Purchase orders", "steps": [{"id": "step_1", "title": "Read order", "type": "extraction"}]},
}


def read_examples() -> dict[str, FlowRun]:
    pieces = ActivepiecesApi(app_url="https://cloud.activepieces.com")
    return {
        "Portable": PortableApi().get_run_attempts(568101).first.read({"data": [PORTABLE]}).items[0],
        "Activepieces": pieces.get_flow_run(str(ACTIVEPIECES["id"])).read(ACTIVEPIECES),
        "TableFlow": TableFlowApi().get_flow_run(str(TABLEFLOW["id"])).read(TABLEFLOW),
    }


def get_section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("title", ["Portable", "Activepieces", "TableFlow"])
def test_the_example_is_what_the_package_returns(title: str) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", get_section(title), re.DOTALL)
    summary: Any = read_examples()[title].summary()
    assert json.loads(example) == summary
    assert [*json.loads(example)] == [*summary]


@pytest.mark.parametrize(
    ("title", "kinds"),
    [
        ("Portable", (PortableDetails,)),
        ("Activepieces", (ActivepiecesDetails, FailedStep)),
        ("TableFlow", (TableFlowDetails, StatusChange, AttemptDetails, StepDetails)),
    ],
)
def test_the_table_names_every_key(title: str, kinds: tuple[type, ...]) -> None:
    rows = "\n".join(line for line in get_section(title).splitlines() if line.startswith("|"))
    assert {key for kind in kinds for key in get_type_hints(kind)} <= {*re.findall(r"`(\w+)`", rows)}
