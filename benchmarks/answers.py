"""
What the services answer when asked how a run is getting on, made once and then only stamped with an id.

The answers of Portable, Activepieces and TableFlow are those of the package's sandbox, whole list rows with their flow
definitions included. The others hold the fields that their vendors send for one run.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from airflow_provider_flowruns.sandbox import Sandbox

#: Where the id goes; as a number, because some services' ids are numbers.
ID = 987_654_321_012_345_678
LONG_AGO, LATELY = "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"
#: Activepieces' own page size, for who forgets to ask for another.
DEFAULT_PAGE = 10


class Stage:
    """What is being played: when each run ends, and what has been asked so far."""

    def __init__(self) -> None:
        self.reset([])

    def reset(self, keys: list[str]) -> None:
        """Begin anew with runs (or flows) of these ids, none of which ends before it is told to."""
        self.keys = keys
        self.ends: dict[str, float] = {}
        self.connections = self.requests = self.looks = 0

    def is_over(self, key: str) -> bool:
        """Say whether a run has ended, which counts as a look at it."""
        self.looks += 1
        end = self.ends.get(key)
        return end is not None and end <= time.monotonic()


Answer = Callable[[Stage, str, str, bytes], bytes | None]


class Record:
    """A record as a service shows it, before and after the run's end."""

    def __init__(self, running: str, over: str) -> None:
        self._running, self._over = running.encode(), over.encode()

    def of(self, stage: Stage, key: str) -> bytes:
        """Return the record of one run as it is now."""
        text = self._over if stage.is_over(key) else self._running
        return text.replace(str(ID).encode(), key.encode())


def record(show: Callable[[bool], dict[str, Any]]) -> Record:
    """Make a record from a function that takes whether the run is over."""
    return Record(json.dumps(show(False)), json.dumps(show(True)))


def _dbt(over: bool) -> dict[str, Any]:
    status = {"code": 200, "is_success": True, "user_message": "Success!", "developer_message": ""}
    times = ("created_at", "updated_at", "dequeued_at", "started_at", "last_checked_at", "should_start_at")
    empty = ("git_sha", "status_message", "trigger", "job", "environment", "artifact_s3_path", "deferring_run_id")
    return {
        "status": status,
        "data": {
            "id": ID,
            **dict.fromkeys(("trigger_id", "account_id", "environment_id", "project_id", "job_definition_id"), 4711),
            "status": 10 if over else 3,
            "status_humanized": "Success" if over else "Running",
            **dict.fromkeys(times, LONG_AGO),
            **dict.fromkeys(empty),
            "finished_at": LATELY if over else None,
            "in_progress": not over,
            "is_complete": over,
            "is_success": over,
            **dict.fromkeys(("is_error", "is_cancelled", "has_docs_generated", "notifications_sent"), False),
            "run_steps": [],
            **dict.fromkeys(("duration", "queued_duration", "run_duration"), "00:10:00"),
            "href": f"https://127.0.0.1/deploy/4711/projects/4711/runs/{ID}/",
        },
    }


def _databricks(over: bool) -> dict[str, Any]:
    ended = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""}
    state = ended if over else {"life_cycle_state": "RUNNING", "state_message": "In run"}
    task = {"run_id": ID, "task_key": "main", "notebook_task": {"notebook_path": "/Jobs/orders"}, "state": state}
    return {
        "job_id": 4711,
        "run_id": ID,
        "number_in_job": 4711,
        "original_attempt_run_id": ID,
        "creator_user_name": "someone@example.com",
        "state": state,
        "tasks": [{**task, "start_time": 1_767_225_600_000, "setup_duration": 4_711, "attempt_number": 0}],
        "job_clusters": [{"job_cluster_key": "main", "new_cluster": {"num_workers": 4, "node_type_id": "standard"}}],
        **dict.fromkeys(("start_time", "setup_duration", "execution_duration", "cleanup_duration", "end_time"), 4_711),
        "run_name": "orders",
        "run_page_url": f"https://127.0.0.1/#job/4711/run/{ID}",
        "run_type": "JOB_RUN",
        "format": "MULTI_TASK",
    }


def _fivetran(over: bool) -> dict[str, Any]:
    status = {
        "setup_state": "connected",
        "schema_status": "ready",
        "sync_state": "scheduled" if over else "syncing",
        "update_state": "on_schedule",
        "is_historical_sync": False,
        "tasks": [],
        "warnings": [],
    }
    return {
        "code": "Success",
        "data": {
            "id": str(ID),
            **dict.fromkeys(("group_id", "service", "schema", "connected_by"), "something"),
            "service_version": 4,
            "created_at": LONG_AGO,
            "succeeded_at": LATELY if over else LONG_AGO,
            "failed_at": None,
            "paused": False,
            "sync_frequency": 360,
            "schedule_type": "auto",
            "status": status,
            "config": {"host": "127.0.0.1", "port": 5432, "user": "reader", "tables": ["orders", "customers"]},
        },
    }


def _airbyte(over: bool) -> dict[str, Any]:
    return {
        "jobId": ID,
        "status": "succeeded" if over else "running",
        "jobType": "sync",
        "startTime": LONG_AGO,
        "connectionId": "0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f",
        "lastUpdatedAt": LATELY,
        "duration": "PT10M",
        "bytesSynced": 4_711,
        "rowsSynced": 4_711,
    }


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def by_path(shown: Record) -> Answer:
    """Answer with the record whose id ends the path."""
    return lambda stage, path, query, body: shown.of(stage, _last(path))


def _databricks_run(stage: Stage, path: str, query: str, body: bytes) -> bytes:
    return _DATABRICKS.of(stage, str(json.loads(body)["run_id"]))  # the hook sends the id as a body


def _anything(stage: Stage, path: str, query: str, body: bytes) -> bytes | None:
    """Answer like a page that is not there before the run's end."""
    return b"{}" if stage.is_over(_last(path)) else None


def _token(stage: Stage, path: str, query: str, body: bytes) -> bytes:
    return b'{"access_token": "made-up", "token_type": "Bearer", "expires_in": 3600}'


def _values(query: str, name: str) -> list[str]:
    return [value for key, _, value in (part.partition("=") for part in query.split("&")) if key == name]


def _number(query: str, name: str, default: int) -> int:
    return int((_values(query, name) or [str(default)])[0])


_DATABRICKS = record(_databricks)


def _own_services() -> list[tuple[str, Answer]]:
    """Return the answers of the three services this package is for, taken from its sandbox."""
    with Sandbox() as sandbox:

        def shown(service: str, path: str, *, by_flow: bool = False) -> Record:
            def text(seconds: float) -> str:
                flow = getattr(sandbox, service).add_flow()
                run = flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=seconds)
                known = str(flow.id if by_flow else run.id)
                settings = json.loads(sandbox.connection_json(service))
                url = settings["host"] + path.format(id=known, **settings["extra"])
                request = urllib.request.Request(url, headers={"Authorization": f"Bearer {settings['password']}"})
                with urllib.request.urlopen(request) as answer:
                    body = json.load(answer)
                rows = body.get("data") or body.get("flow_runs") if "?" in path else None
                return json.dumps(rows[0] if rows else body).replace(known, str(ID))

            return Record(text(3_600.0), text(0.0))

        portable_status = shown("portable", "/v2/flows/{id}/status", by_flow=True)
        portable_attempts = shown("portable", "/v2/flows/{id}/run", by_flow=True)
        run = shown("activepieces", "/api/v1/flow-runs/{id}")
        row = shown("activepieces", "/api/v1/flow-runs?projectId={project_id}&limit=1&flowRunIds={id}")
        tableflow_run = shown("tableflow", "/v2/flows/runs/{id}")
        tableflow_row = shown("tableflow", "/v2/flows/runs?limit=1")

    def portable(stage: Stage, path: str, query: str, body: bytes) -> bytes:
        flow_id, _, what = path.removeprefix("/v2/flows/").partition("/")
        return (portable_status if what == "status" else portable_attempts).of(stage, flow_id)

    def activepieces_list(stage: Stage, path: str, query: str, body: bytes) -> bytes:
        wanted = _values(query, "flowRunIds")[: _number(query, "limit", DEFAULT_PAGE)]
        rows = b",".join(row.of(stage, key) for key in wanted)
        return b'{"next": null, "previous": null, "data": [' + rows + b"]}"

    def tableflow_list(stage: Stage, path: str, query: str, body: bytes) -> bytes:
        offset, limit = _number(query, "offset", 0), _number(query, "limit", 100)
        rows = b",".join(tableflow_row.of(stage, key) for key in stage.keys[offset : offset + limit])
        following = offset + limit if offset + limit < len(stage.keys) else None
        pagination = {"total": len(stage.keys), "limit": limit, "offset": offset, "next_offset": following}
        return b'{"flow_runs": [' + rows + b'], "pagination": ' + json.dumps(pagination).encode() + b"}"

    return [
        ("/v2/flows/runs/", by_path(tableflow_run)),
        ("/v2/flows/runs", tableflow_list),
        ("/v2/flows/", portable),
        ("/api/v1/flow-runs/", by_path(run)),
        ("/api/v1/flow-runs", activepieces_list),
    ]


def routes() -> list[tuple[str, Answer]]:
    """Return the beginnings of paths and who answers there; the first that fits counts."""
    return [
        *_own_services(),
        ("/api/v2/accounts/", by_path(record(_dbt))),
        ("/api/2.", _databricks_run),
        ("/v1/connect", by_path(record(_fivetran))),  # connectors or connections
        ("/v1/jobs/", by_path(record(_airbyte))),
        ("/v1/applications/token", _token),
        ("/page/", _anything),
    ]
