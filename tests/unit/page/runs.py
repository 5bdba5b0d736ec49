"""Runs as a service's module would return them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle

BEGAN = datetime(2026, 1, 31, 6, tzinfo=UTC)


def make_run(
    run_id: str = "1",
    disposition: Disposition = Disposition.SUCCEEDED,
    lifecycle: Lifecycle = Lifecycle.NOT_RUNNING,
    seconds: float | None = 60.0,
    **fields: Any,
) -> FlowRun:
    """Return a run that began at ``BEGAN`` and took some seconds."""
    values: dict[str, Any] = {
        "service": "portable",
        "kind": Kind.RUN,
        "run_id": run_id,
        "flow_id": "7",
        "lifecycle": lifecycle,
        "disposition": disposition,
        "vendor_status": str(disposition),
        "created_at": BEGAN,
        "started_at": BEGAN,
        "completed_at": None if seconds is None else BEGAN + timedelta(seconds=seconds),
    }
    return FlowRun(**{**values, **fields})
