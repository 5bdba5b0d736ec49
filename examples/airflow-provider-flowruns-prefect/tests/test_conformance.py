"""What every service must do, for Prefect and a fake of it."""

from __future__ import annotations

import uuid
from typing import Any

from airflow_provider_flowruns_prefect.operators import PrefectRunDeploymentOperator
from airflow_provider_flowruns_prefect.sensors import PrefectDeploymentSensor, PrefectFlowRunSensor
from airflow_provider_flowruns_prefect.service import PrefectApi
from fake_prefect import FakePrefect

from airflow_provider_flowruns.model.targets import NewestRunsTarget
from airflow_provider_flowruns.testing.conformance import RecordForm, SensorKind, ServiceAdapter, build_test_classes

DEPLOYMENT = str(uuid.UUID(int=1))
UNKNOWN = str(uuid.UUID(int=2))


def build_row(number: int, **fields: Any) -> dict[str, Any]:
    """Return a run that was due ``number`` seconds after the minute and has succeeded."""
    ended = "2026-01-31T12:00:00.5Z"
    facts = {
        "id": str(uuid.UUID(int=1000 + number)),
        "created": "2026-01-01T00:00:00Z",
        "name": "sage-otter",
        "deployment_id": DEPLOYMENT,
        "tags": ["daily"],
        "state_type": "COMPLETED",
        "state_name": "Completed",
        "expected_start_time": f"2026-01-31T11:00:{number:02}Z",
        "start_time": f"2026-01-31T11:00:{number:02}.5Z",
        "end_time": ended,
        "work_pool_name": "default",
        "state": {"type": "COMPLETED", "timestamp": ended, "message": None},
    }
    return {**facts, **fields}


ADAPTER = ServiceAdapter(
    service=PrefectApi,
    fake=FakePrefect,
    sensors=(
        SensorKind(PrefectFlowRunSensor, UNKNOWN, run_argument="run_id"),
        SensorKind(PrefectDeploymentSensor, UNKNOWN, "deployment_id"),
    ),
    operator=lambda flow, **arguments: PrefectRunDeploymentOperator(deployment_id=flow.id, **arguments),
    start_path="/create_flow_run$",
    forms=(
        RecordForm(
            api=PrefectApi("http://127.0.0.1:4200"),
            target=NewestRunsTarget("prefect", DEPLOYMENT),
            build_row=build_row,
            build_bodies=lambda rows: [rows],
            status_fields=("state_type", "state"),
            contradictions=(
                {"state_type": "FAILED"},
                {"state_type": "RUNNING"},
                {"state": {"type": "FAILED"}},
                {"state": {"type": "CANCELLING"}},
                {"state_type": "RUNNING", "state": {"type": "PAUSED"}},
            ),
        ),
    ),
)

globals().update(build_test_classes(ADAPTER))
