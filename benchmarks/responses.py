"""Status responses of all services, built once and completed with an id for each request.

The responses of Portable, Activepieces and TableFlow come from the package's sandbox and include whole list rows with
their flow definitions. The others contain the fields that the vendors send for one run.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from airflow_provider_flowruns.sandbox import Sandbox

#: Placeholder for the id; a number, because some services use numbers.
ID_PLACEHOLDER = 987_654_321_012_345_678
STARTED_AT, COMPLETED_AT = "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"
#: Activepieces' page size for requests without a limit.
DEFAULT_PAGE_SIZE = 10


class ServiceState:
    """The state of the simulated services: when each run ends, and the number of requests so far."""

    def __init__(self) -> None:
        self.reset([])

    def reset(self, keys: list[str]) -> None:
        """Restart with runs (or flows) of these ids. They do not end until ``ends`` says so."""
        self.keys = keys
        self.ends: dict[str, float] = {}
        self.connections = self.requests = self.polls = 0

    def poll(self, key: str) -> bool:
        """Count one poll of a run and return whether the run has ended."""
        self.polls += 1
        ends_at = self.ends.get(key)
        return ends_at is not None and ends_at <= time.monotonic()


Handler = Callable[[ServiceState, str, str, bytes], bytes | None]


class RunRecord:
    """A service's record of a run, before and after the run's end."""

    def __init__(self, running: str, completed: str) -> None:
        self._running, self._completed = running.encode(), completed.encode()

    def build(self, state: ServiceState, key: str) -> bytes:
        """Return the current record of one run."""
        text = self._completed if state.poll(key) else self._running
        return text.replace(str(ID_PLACEHOLDER).encode(), key.encode())


def build_record(build: Callable[[bool], dict[str, Any]]) -> RunRecord:
    """Build a record from a function that takes whether the run has ended."""
    return RunRecord(json.dumps(build(False)), json.dumps(build(True)))


def _build_dbt_run(has_ended: bool) -> dict[str, Any]:
    status = {"code": 200, "is_success": True, "user_message": "Success!", "developer_message": ""}
    times = ("created_at", "updated_at", "dequeued_at", "started_at", "last_checked_at", "should_start_at")
    empty = ("git_sha", "status_message", "trigger", "job", "environment", "artifact_s3_path", "deferring_run_id")
    return {
        "status": status,
        "data": {
            "id": ID_PLACEHOLDER,
            **dict.fromkeys(("trigger_id", "account_id", "environment_id", "project_id", "job_definition_id"), 4711),
            "status": 10 if has_ended else 3,
            "status_humanized": "Success" if has_ended else "Running",
            **dict.fromkeys(times, STARTED_AT),
            **dict.fromkeys(empty),
            "finished_at": COMPLETED_AT if has_ended else None,
            "in_progress": not has_ended,
            "is_complete": has_ended,
            "is_success": has_ended,
            **dict.fromkeys(("is_error", "is_cancelled", "has_docs_generated", "notifications_sent"), False),
            "run_steps": [],
            **dict.fromkeys(("duration", "queued_duration", "run_duration"), "00:10:00"),
            "href": f"https://127.0.0.1/deploy/4711/projects/4711/runs/{ID_PLACEHOLDER}/",
        },
    }


def _build_databricks_run(has_ended: bool) -> dict[str, Any]:
    ended = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""}
    state = ended if has_ended else {"life_cycle_state": "RUNNING", "state_message": "In run"}
    task = {
        "run_id": ID_PLACEHOLDER,
        "task_key": "main",
        "notebook_task": {"notebook_path": "/Jobs/orders"},
        "state": state,
    }
    return {
        "job_id": 4711,
        "run_id": ID_PLACEHOLDER,
        "number_in_job": 4711,
        "original_attempt_run_id": ID_PLACEHOLDER,
        "creator_user_name": "someone@example.com",
        "state": state,
        "tasks": [{**task, "start_time": 1_767_225_600_000, "setup_duration": 4_711, "attempt_number": 0}],
        "job_clusters": [{"job_cluster_key": "main", "new_cluster": {"num_workers": 4, "node_type_id": "standard"}}],
        **dict.fromkeys(("start_time", "setup_duration", "execution_duration", "cleanup_duration", "end_time"), 4_711),
        "run_name": "orders",
        "run_page_url": f"https://127.0.0.1/#job/4711/run/{ID_PLACEHOLDER}",
        "run_type": "JOB_RUN",
        "format": "MULTI_TASK",
    }


def _build_fivetran_connector(has_ended: bool) -> dict[str, Any]:
    status: dict[str, Any] = {
        "setup_state": "connected",
        "schema_status": "ready",
        "sync_state": "scheduled" if has_ended else "syncing",
        "update_state": "on_schedule",
        "is_historical_sync": False,
        "tasks": [],
        "warnings": [],
    }
    return {
        "code": "Success",
        "data": {
            "id": str(ID_PLACEHOLDER),
            **dict.fromkeys(("group_id", "service", "schema", "connected_by"), "something"),
            "service_version": 4,
            "created_at": STARTED_AT,
            "succeeded_at": COMPLETED_AT if has_ended else STARTED_AT,
            "failed_at": None,
            "paused": False,
            "sync_frequency": 360,
            "schedule_type": "auto",
            "status": status,
            "config": {"host": "127.0.0.1", "port": 5432, "user": "reader", "tables": ["orders", "customers"]},
        },
    }


def _build_airbyte_job(has_ended: bool) -> dict[str, Any]:
    return {
        "jobId": ID_PLACEHOLDER,
        "status": "succeeded" if has_ended else "running",
        "jobType": "sync",
        "startTime": STARTED_AT,
        "connectionId": "0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f",
        "lastUpdatedAt": COMPLETED_AT,
        "duration": "PT10M",
        "bytesSynced": 4_711,
        "rowsSynced": 4_711,
    }


def _get_last_segment(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def respond_by_path(record: RunRecord) -> Handler:
    """Return a handler that responds with the record whose id is the last segment of the path."""
    return lambda state, path, query, body: record.build(state, _get_last_segment(path))


def _respond_for_databricks(state: ServiceState, path: str, query: str, body: bytes) -> bytes:
    return _DATABRICKS_RECORD.build(state, str(json.loads(body)["run_id"]))  # the hook sends the id in the body


def _respond_for_http_sensor(state: ServiceState, path: str, query: str, body: bytes) -> bytes | None:
    """Respond like a page that does not exist before the run's end."""
    return b"{}" if state.poll(_get_last_segment(path)) else None


def _respond_with_token(state: ServiceState, path: str, query: str, body: bytes) -> bytes:
    return b'{"access_token": "made-up", "token_type": "Bearer", "expires_in": 3600}'


def _get_query_values(query: str, name: str) -> list[str]:
    return [value for key, _, value in (part.partition("=") for part in query.split("&")) if key == name]


def _get_query_number(query: str, name: str, default: int) -> int:
    return int((_get_query_values(query, name) or [str(default)])[0])


_DATABRICKS_RECORD = build_record(_build_databricks_run)


def _build_sandbox_routes() -> list[tuple[str, Handler]]:
    """Return the handlers of the three services of this package, with responses from its sandbox."""
    with Sandbox() as sandbox:

        def read_record(service: str, path: str, *, by_flow: bool = False) -> RunRecord:
            def read(seconds: float) -> str:
                flow = getattr(sandbox, service).add_flow()
                run = flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=seconds)
                actual_id = str(flow.id if by_flow else run.id)
                settings = json.loads(sandbox.connection_json(service))
                url = settings["host"] + path.format(id=actual_id, **settings["extra"])
                request = urllib.request.Request(url, headers={"Authorization": f"Bearer {settings['password']}"})
                with urllib.request.urlopen(request) as response:
                    body = json.load(response)
                rows = body.get("data") or body.get("flow_runs") if "?" in path else None
                return json.dumps(rows[0] if rows else body).replace(actual_id, str(ID_PLACEHOLDER))

            return RunRecord(read(3_600.0), read(0.0))

        portable_status = read_record("portable", "/v2/flows/{id}/status", by_flow=True)
        portable_attempts = read_record("portable", "/v2/flows/{id}/run", by_flow=True)
        run = read_record("activepieces", "/api/v1/flow-runs/{id}")
        row = read_record("activepieces", "/api/v1/flow-runs?projectId={project_id}&limit=1&flowRunIds={id}")
        tableflow_run = read_record("tableflow", "/v2/flows/runs/{id}")
        tableflow_row = read_record("tableflow", "/v2/flows/runs?limit=1")

    def portable(state: ServiceState, path: str, query: str, body: bytes) -> bytes:
        flow_id, _, resource = path.removeprefix("/v2/flows/").partition("/")
        return (portable_status if resource == "status" else portable_attempts).build(state, flow_id)

    def activepieces_list(state: ServiceState, path: str, query: str, body: bytes) -> bytes:
        run_ids = _get_query_values(query, "flowRunIds")[: _get_query_number(query, "limit", DEFAULT_PAGE_SIZE)]
        rows = b",".join(row.build(state, key) for key in run_ids)
        return b'{"next": null, "previous": null, "data": [' + rows + b"]}"

    def tableflow_list(state: ServiceState, path: str, query: str, body: bytes) -> bytes:
        offset, limit = _get_query_number(query, "offset", 0), _get_query_number(query, "limit", 100)
        rows = b",".join(tableflow_row.build(state, key) for key in state.keys[offset : offset + limit])
        following = offset + limit if offset + limit < len(state.keys) else None
        pagination = {"total": len(state.keys), "limit": limit, "offset": offset, "next_offset": following}
        return b'{"flow_runs": [' + rows + b'], "pagination": ' + json.dumps(pagination).encode() + b"}"

    return [
        ("/v2/flows/runs/", respond_by_path(tableflow_run)),
        ("/v2/flows/runs", tableflow_list),
        ("/v2/flows/", portable),
        ("/api/v1/flow-runs/", respond_by_path(run)),
        ("/api/v1/flow-runs", activepieces_list),
    ]


def build_routes() -> list[tuple[str, Handler]]:
    """Return pairs of a path prefix and its handler; the first matching prefix applies."""
    return [
        *_build_sandbox_routes(),
        ("/api/v2/accounts/", respond_by_path(build_record(_build_dbt_run))),
        ("/api/2.", _respond_for_databricks),
        (
            "/v1/connect",
            respond_by_path(build_record(_build_fivetran_connector)),
        ),  # a prefix of both connectors and connections
        ("/v1/jobs/", respond_by_path(build_record(_build_airbyte_job))),
        ("/v1/applications/token", _respond_with_token),
        ("/page/", _respond_for_http_sensor),
    ]
