"""Read the records of Prefect's API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_flowruns.model.rows import Rows
from airflow_provider_flowruns.model.runs import Disposition, Flow, FlowRun, Kind, Lifecycle, RunDetails
from airflow_provider_flowruns.services.parsing import (
    is_object,
    is_run_of_flow,
    parse_count,
    parse_id,
    parse_name,
    parse_status,
    parse_texts,
    parse_time,
    parse_word,
    read_rows,
    require_id,
    sort_newest_first,
)
from airflow_provider_flowruns_prefect.info import PREFECT

ID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
#: By a state's type. Its name is only for people: Late, Suspended, AwaitingRetry, Retrying, or a flow's own.
STATES = {
    "SCHEDULED": (Lifecycle.PENDING, Disposition.NONE),
    "PENDING": (Lifecycle.PENDING, Disposition.NONE),
    "RUNNING": (Lifecycle.RUNNING, Disposition.NONE),
    "PAUSED": (Lifecycle.PAUSED, Disposition.NONE),
    "CANCELLING": (Lifecycle.RUNNING, Disposition.NONE),
    "COMPLETED": (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED),
    "FAILED": (Lifecycle.NOT_RUNNING, Disposition.FAILED),
    "CRASHED": (Lifecycle.NOT_RUNNING, Disposition.FAILED),
    "CANCELLED": (Lifecycle.NOT_RUNNING, Disposition.CANCELED),
}
_UNKNOWN = (Lifecycle.UNKNOWN, Disposition.NONE)


def read_run(record: Mapping[str, Any], app_url: str) -> FlowRun:
    """Return a flow run. Its flow is its deployment, which is what a start is sent to."""
    state: Mapping[str, Any] = sent if is_object(sent := record.get("state")) else {}
    lifecycle, disposition = _read_state(record, state)
    run_id = require_id(record, ID_PATTERN)
    has_ended = lifecycle is Lifecycle.NOT_RUNNING
    return FlowRun(
        service=PREFECT.name,
        kind=Kind.RUN,
        run_id=run_id,
        flow_id=parse_id(record.get("deployment_id")),
        lifecycle=lifecycle,
        disposition=disposition,
        vendor_status=parse_status(record.get("state_name") or record.get("state_type") or state.get("type")),
        attempt=parse_count(record.get("run_count")) or None,
        trigger="SCHEDULE" if record.get("auto_scheduled") is True else None,
        # A schedule creates its runs days ahead: the newest run is the one that was due last.
        created_at=parse_time(record.get("expected_start_time")) or parse_time(record.get("created")),
        started_at=parse_time(record.get("start_time")),
        completed_at=parse_time(record.get("end_time")) or parse_time(state.get("timestamp")) if has_ended else None,
        errors=parse_texts(state.get("message")) if disposition is Disposition.FAILED else (),
        url=f"{app_url}/runs/flow-run/{run_id}",
        build_details=_build_details,
        record=record,
    )


def read_runs(body: Any, app_url: str, deployment_id: str | None = None) -> Rows[FlowRun]:
    """Return the runs of a list, newest first; only those of a deployment, if one is given."""

    def read(record: Mapping[str, Any]) -> FlowRun | None:
        run = read_run(record, app_url)
        return run if is_run_of_flow(run, deployment_id) else None

    return sort_newest_first(read_rows(body, read, created="expected_start_time"))


def read_deployment(record: Mapping[str, Any]) -> Flow:
    """Return a deployment."""
    paused = record.get("paused")
    enabled = not paused if isinstance(paused, bool) else None
    return Flow(PREFECT.name, require_id(record, ID_PATTERN), parse_name(record.get("name")), enabled, record)


def _read_state(record: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[Lifecycle, Disposition]:
    words = {word for word in (parse_word(record.get("state_type")), parse_word(state.get("type"))) if word}
    # A record that says two things at a time decides nothing.
    return STATES.get(words.pop(), _UNKNOWN) if len(words) == 1 else _UNKNOWN


def _build_details(run: FlowRun) -> RunDetails:
    """Return what else is known of a run; without its parameters, which can hold secrets."""
    record, tags = run.raw, run.raw.get("tags")
    names = ("name", "flow_id", "state_type", "work_pool_name", "work_queue_name", "deployment_version")
    values: dict[str, Any] = {name: parse_name(record.get(name)) for name in names}
    values["tags"] = [name for tag in tags if (name := parse_name(tag))] if isinstance(tags, list) else []
    return RunDetails(values)
