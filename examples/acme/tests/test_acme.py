"""What every service must do, for Acme and a fake of it."""

from __future__ import annotations

from typing import Any

from airflow_provider_flowruns.model.targets import NewestRunsTarget
from airflow_provider_flowruns.testing.conformance import RecordForm, SensorKind, ServiceAdapter, build_test_classes

from acme_fake import FakeAcme
from acme_flowruns.operators import AcmeRunFlowOperator
from acme_flowruns.sensors import AcmeFlowRunSensor, AcmeFlowSensor
from acme_flowruns.service import AcmeApi


def build_row(number: int, **fields: Any) -> dict[str, Any]:
    """Return a run as the API writes it: created ``number`` seconds after the minute, and done."""
    row = {
        "id": f"r{number}",
        "flow": "f7k2",
        "key": None,
        "state": "DONE",
        "created": f"2026-01-31T12:00:{number:02}Z",
        "ended": "2026-01-31T12:05:00Z",
        "error": None,
    }
    return {**row, **fields}


ADAPTER = ServiceAdapter(
    service=AcmeApi,
    fake=FakeAcme,
    sensors=(
        SensorKind(AcmeFlowRunSensor, "unknown", run_argument="run_id"),
        SensorKind(AcmeFlowSensor, "unknown", flow_argument="flow_id"),
    ),
    operator=lambda flow, **arguments: AcmeRunFlowOperator(flow_id=flow.id, **arguments),
    start_path="/flows/[^/]+/runs$",
    forms=(
        RecordForm(
            api=AcmeApi(),
            target=NewestRunsTarget("acme", "f7k2"),
            build_row=build_row,
            build_bodies=lambda rows: [{"runs": rows}],
            status_fields=("state",),
            contradictions=({"error": "table orders is missing"},),
        ),
    ),
)

globals().update(build_test_classes(ADAPTER))
