"""Histories as other tasks return them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle, ResourceCounts

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def make_run(
    number: int,
    disposition: str = "SUCCEEDED",
    *,
    rows: int | None = 100,
    seconds: float = 60,
    hours_ago: float | None = None,
    flow_id: str = "5",
) -> dict[str, Any]:
    """Return the summary of a run; those with higher numbers are newer, an hour apart, up to run 100.

    A disposition of ``NONE`` makes it an active run, rows of None one without row counts.
    """
    ended = NOW - timedelta(hours=100 - number if hours_ago is None else hours_ago)
    is_active = disposition == "NONE"
    run = FlowRun(
        service="portable",
        kind=Kind.RUN,
        run_id=str(number),
        flow_id=flow_id,
        lifecycle=Lifecycle.RUNNING if is_active else Lifecycle.NOT_RUNNING,
        disposition=Disposition(disposition),
        vendor_status=disposition,
        created_at=ended - timedelta(seconds=seconds),
        started_at=ended - timedelta(seconds=seconds),
        completed_at=None if is_active else ended,
        resources=() if rows is None else (ResourceCounts("orders", loaded=rows),),
    )
    return dict(run.summary())


def make_history(*newest_rows: int | None, earlier: int = 10) -> list[dict[str, Any]]:
    """Return a number of ordinary successes of 100 rows, and after them one with each of the numbers of rows."""
    rows = [100] * earlier + [*newest_rows]
    return [make_run(number, rows=count) for number, count in enumerate(rows, 101 - len(rows))]
