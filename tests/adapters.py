"""The services of this package as the conformance kit needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_provider_flowruns.model.targets import NewestRunsTarget
from airflow_provider_flowruns.operators import portable_runs
from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor, ActivepiecesFlowSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor, PortableFlowSensor, PortableWorkflowSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor, TableFlowFlowSensor
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi
from airflow_provider_flowruns.testing.adapter import RecordForm, SensorKind, ServiceAdapter

PROJECT, FLOW = "p" * 21, "f" * 21
ENDED = "2026-01-31T12:00:00Z"
DOCUMENT = Path(__file__).parent / "fixtures" / "order.pdf"


def build_attempt(number: int, **fields: Any) -> dict[str, Any]:
    created = f"2026-01-31T11:00:{number % 60:02}Z"
    done = {"lifecycle": "NOT_RUNNING", "disposition": "SUCCEEDED", "completedAt": ENDED}
    return {"id": number, "flow": 7, "createdAt": created, **done, **fields}


def build_piece(number: int, **fields: Any) -> dict[str, Any]:
    created = f"2026-01-31T11:00:{number % 60:02}.000Z"
    facts = {"flowId": FLOW, "projectId": PROJECT, "status": "SUCCEEDED", "finishTime": ENDED}
    return {"id": f"{number:021d}", "created": created, **facts, **fields}


def build_document(number: int, **fields: Any) -> dict[str, Any]:
    created = 1_769_857_200 + number
    return {"id": f"run-{number}", "flow_id": "f", "status": "completed", "created_at": created, **fields}


def shorten_portable(monkeypatch: Any) -> None:
    monkeypatch.setattr(portable_runs, "VISIBILITY_POLL_SECONDS", 0.05)
    monkeypatch.setattr(portable_runs, "MAX_LOCK_SECONDS", 0.3)


PORTABLE = ServiceAdapter(
    service=PortableApi,
    sensors=(
        SensorKind(PortableFlowSensor, "999999999", "flow_id"),
        SensorKind(PortableFlowRunSensor, "999999999", "flow_id", "run_id"),
        SensorKind(PortableWorkflowSensor, "999999999", "workflow_id", add_method="add_workflow"),
    ),
    operator=lambda flow, **arguments: PortableRunFlowOperator(flow_id=flow.id, **arguments),
    start_path="/run$",
    forms=(
        RecordForm(
            api=PortableApi(),
            target=NewestRunsTarget("portable", "7"),
            build_row=build_attempt,
            build_bodies=lambda rows: [{"data": rows}],
            status_fields=("lifecycle",),
            contradictions=(
                {"lifecycle": "RUNNING"},
                {"lifecycle": "PENDING"},
                {"disposition": "NONE"},
                {"disposition": ["SUCCEEDED"], "status": "SUCCEEDED"},
            ),
        ),
    ),
    shorten=shorten_portable,
)

ACTIVEPIECES = ServiceAdapter(
    service=ActivepiecesApi,
    sensors=(
        SensorKind(ActivepiecesFlowRunSensor, "A" * 21, run_argument="run_id"),
        SensorKind(ActivepiecesFlowSensor, "A" * 21, "flow_id"),
    ),
    operator=lambda flow, **arguments: ActivepiecesRunFlowOperator(flow_id=flow.id, **arguments),
    start_path="/webhooks/",
    cancelable="PAUSED",
    forms=(
        RecordForm(
            api=ActivepiecesApi(PROJECT),
            target=NewestRunsTarget("activepieces", FLOW),
            build_row=build_piece,
            build_bodies=lambda rows: [{"data": rows}],
            status_fields=("status",),
        ),
    ),
)

TABLEFLOW = ServiceAdapter(
    service=TableFlowApi,
    sensors=(
        SensorKind(TableFlowFlowRunSensor, "A" * 16, run_argument="run_id"),
        SensorKind(TableFlowFlowSensor, "A" * 16, "flow_id"),
    ),
    operator=lambda flow, **arguments: TableFlowRunFlowOperator(
        flow_id=flow.id, files={"document": str(DOCUMENT)}, **arguments
    ),
    start_path="/run$",
    forms=tuple(
        RecordForm(
            api=TableFlowApi(),
            target=NewestRunsTarget("tableflow", "f"),
            build_row=build_document,
            build_bodies=build_bodies,
            status_fields=("status",),
            more={"total": 9},
            name=name,
        )
        for name, build_bodies in (
            ("wrapped", lambda rows: [{"flow_runs": rows}]),
            ("bare", lambda rows: [{"flow_runs": []}, rows]),
        )
    ),
)

ADAPTERS = (PORTABLE, ACTIVEPIECES, TABLEFLOW)
KINDS = tuple(kind for adapter in ADAPTERS for kind in adapter.sensors)
