"""Client of Airflow's public REST API for the demo and the tests."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

FINISHED_RUN_STATES = frozenset({"success", "failed"})
FINISHED_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
POLL_SECONDS = 0.2
PAGE_SIZE = 100

INTERNAL_ERROR, CONFLICT = 500, 409
DATABASE_BUSY = "Database error"
MAX_ATTEMPTS, RETRY_SECONDS = 40, 0.5


class AirflowError(Exception):
    """Airflow, a DAG file or a task is not in the expected state."""


@dataclass(frozen=True)
class TaskInstance:
    """One task instance of a DAG run."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    duration: float | None


class AirflowApi:
    """Client of one Airflow's REST API.

    :param url: scheme, host and port of its api-server.
    """

    root = "/api/v2"
    #: User name and password; None if everyone is an admin without logging in.
    credentials: tuple[str, str] | None = None

    def __init__(self, url: str) -> None:
        self.url = url
        #: What :meth:`wait_for` waits for at the moment, "" for nothing.
        self.awaited = ""
        # trust_env=False: requests to 127.0.0.1 must not go through a proxy from the environment.
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def log_in(self) -> None:
        """Get a token for all further requests."""
        if self.credentials:
            body = dict(zip(("username", "password"), self.credentials, strict=True))
            token = self._call("POST", "/auth/token", json=body)["access_token"]
        else:
            token = self._call("GET", "/auth/token")["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def warm_up(self) -> None:
        """Initialize the API that tasks use.

        Airflow does this at the first request. It takes seconds, which is longer than a task waits for its first
        response on a busy machine.
        """
        self.get("/execution/health")

    def get_health(self) -> dict[str, Any]:
        """Return the health of each component; its ``status`` is ``healthy`` if it is running."""
        return dict(self.get(f"{self.root}/monitor/health"))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """Return the response of an endpoint that has no method here."""
        return self._call("GET", path, params=params)

    def get_page(self, path: str) -> str:
        """Return an HTML page as the logged-in user sees it."""
        response = self._http.get(path)
        if response.is_error:
            raise AirflowError(f"GET {path} returned {response.status_code}: {response.text[:2000]}")
        return response.text

    # DAG runs

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, logical_date: str | None = None) -> str:
        """Start a DAG run and return its id. ``conf`` overrides the DAG's params."""
        # With an explicit id, a repeated request cannot create a second DAG run.
        run_id = f"manual__{uuid.uuid4()}"
        body = self._build_trigger_body(run_id, conf, logical_date)
        self._call("POST", f"{self.root}/dags/{dag_id}/dagRuns", json=body, accept_status=CONFLICT)
        return run_id

    def set_paused(self, dag_id: str, is_paused: bool = True) -> None:
        """Pause or unpause a DAG."""
        self._call("PATCH", f"{self.root}/dags/{dag_id}", json={"is_paused": is_paused})

    def add_asset_event(self, asset_name: str) -> None:
        """Add an asset event, as an external producer does."""
        [asset] = [
            asset for asset in self.get(f"{self.root}/assets", limit=PAGE_SIZE)["assets"] if asset["name"] == asset_name
        ]
        self._call("POST", f"{self.root}/assets/events", json={"asset_id": asset["id"]})

    def get_run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a DAG run."""
        return str(self._call("GET", self._build_run_path(dag_id, run_id))["state"])

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 120) -> str:
        """Wait until a DAG run has ended and return its state."""
        self.wait_for(
            f"the end of {dag_id} {run_id}", lambda: self.get_run_state(dag_id, run_id) in FINISHED_RUN_STATES, timeout
        )
        return self.get_run_state(dag_id, run_id)

    # Tasks

    def list_task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return the task instances of a DAG run, in the order in which they started."""
        rows = self._call(
            "GET",
            f"{self._build_run_path(dag_id, run_id)}/taskInstances",
            params={"limit": PAGE_SIZE, "order_by": "start_date"},
        )["task_instances"]
        return [
            TaskInstance(row["task_id"], row["map_index"], row["state"], row["try_number"], row["duration"])
            for row in rows
        ]

    def get_task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> TaskInstance:
        """Return one task instance of a DAG run."""
        for task in self.list_task_instances(dag_id, run_id):
            if (task.task_id, task.map_index) == (task_id, map_index):
                return task
        raise AirflowError(f"{dag_id} has no task {task_id} with map index {map_index}.")

    def get_task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of a DAG run by its id, for DAGs without mapped tasks."""
        return {task.task_id: task.state for task in self.list_task_instances(dag_id, run_id)}

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, states: Iterable[str], timeout: float = 120
    ) -> TaskInstance:
        """Wait until a task is in one of these states and return it."""
        wanted = frozenset(states)
        self.wait_for(
            f"{dag_id}.{task_id} in {sorted(wanted)}",
            lambda: self.get_task_instance(dag_id, run_id, task_id).state in wanted,
            timeout,
        )
        return self.get_task_instance(dag_id, run_id, task_id)

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as ``success``, ``failed`` or ``skipped``, as a user does in the UI."""
        self._call("PATCH", self._build_task_path(dag_id, run_id, task_id), json={"new_state": state})

    def clear_tasks(self, dag_id: str, run_id: str, task_ids: Iterable[str]) -> None:
        """Clear tasks so that they run again, as a user does in the UI."""
        body = {"dag_run_id": run_id, "task_ids": list(task_ids), "dry_run": False, "only_failed": False}
        self._call("POST", f"{self.root}/dags/{dag_id}/clearTaskInstances", json=body)

    # Results of a task

    def get_xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return one XCom value of a task."""
        path = f"{self._build_task_path(dag_id, run_id, task_id)}/xcomEntries/{quote(key, safe='')}"
        return self._call("GET", path, params={"map_index": map_index, "stringify": False})["value"]

    def get_xcoms(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return all XCom values of a task by key."""
        path = f"{self._build_task_path(dag_id, run_id, task_id)}/xcomEntries"
        entries = self._call("GET", path, params={"map_index": map_index, "limit": PAGE_SIZE})["xcom_entries"]
        return {entry["key"]: self.get_xcom(dag_id, run_id, task_id, entry["key"], map_index) for entry in entries}

    def get_links(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, str | None]:
        """Return a task's links by name, None for a link that has no URL yet."""
        path = f"{self._build_task_path(dag_id, run_id, task_id)}/links"
        return dict(self._call("GET", path, params={"map_index": map_index})["extra_links"])

    def list_asset_events(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the ``extra`` of the asset events of a DAG run's tasks."""
        query = {"source_dag_id": dag_id, "source_run_id": run_id, "limit": PAGE_SIZE}
        return [event["extra"] for event in self.get(f"{self.root}/assets/events", **query)["asset_events"]]

    def get_rendered_fields(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return a task's rendered template fields."""
        path = self._build_task_path(dag_id, run_id, task_id) + ("" if map_index < 0 else f"/{map_index}")
        return dict(self._call("GET", path)["rendered_fields"])

    def get_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of one try of a task as text."""
        return "\n".join(
            _format_log_entry(entry) for entry in self._get_log_entries(dag_id, run_id, task_id, try_number, map_index)
        )

    def wait_for_log(
        self, dag_id: str, run_id: str, task_id: str, text: str, try_number: int = 1, timeout: float = 120
    ) -> None:
        """Wait until a task's log contains a text. Raise if the task ends without it."""

        def is_logged() -> bool:
            # Before its log, so that the log of an ended task is complete.
            task = self.get_task_instance(dag_id, run_id, task_id)
            log = self.get_log(dag_id, run_id, task_id, try_number) if task.try_number >= try_number else ""
            if task.state in FINISHED_TASK_STATES and text not in log:
                raise AirflowError(f"{dag_id}.{task_id} ended without {text!r} in its log:\n{log[-2000:]}")
            return text in log

        self.wait_for(f"{text!r} in the log of {dag_id}.{task_id}", is_logged, timeout)

    def get_log_duration(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> float | None:
        """Return the seconds between a try's first and last log line. Airflow's duration covers only one poke."""
        log = self._get_log_entries(dag_id, run_id, task_id, try_number, map_index=-1)
        times = [datetime.fromisoformat(entry["timestamp"]) for entry in log if entry.get("timestamp")]
        return (max(times) - min(times)).total_seconds() if times else None

    # Waiting

    def wait_for(self, what: str, condition: Callable[[], object], timeout: float) -> None:
        """Wait until a condition holds; ``what`` describes it in the error message."""
        deadline = time.monotonic() + timeout
        self.awaited = what
        while not condition():
            self.check_alive()
            if time.monotonic() > deadline:
                raise TimeoutError(f"Timed out after {timeout:g} s waiting for {what}.")
            time.sleep(POLL_SECONDS)
        self.awaited = ""

    def check_alive(self) -> None:
        """Raise if waiting is pointless. Called repeatedly while waiting."""

    # Internals

    def _build_trigger_body(
        self, run_id: str, conf: Mapping[str, Any] | None, logical_date: str | None
    ) -> dict[str, Any]:
        return {"dag_run_id": run_id, "conf": dict(conf or {}), "logical_date": logical_date}

    def _build_run_path(self, dag_id: str, run_id: str) -> str:
        return f"{self.root}/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}"

    def _build_task_path(self, dag_id: str, run_id: str, task_id: str) -> str:
        return f"{self._build_run_path(dag_id, run_id)}/taskInstances/{quote(task_id, safe='')}"

    def _get_log_entries(
        self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int
    ) -> list[dict[str, Any]]:
        path = f"{self._build_task_path(dag_id, run_id, task_id)}/logs/{try_number}"
        response = self._call("GET", path, params={"map_index": map_index, "full_content": True})
        return list(response["content"])

    def _call(self, method: str, path: str, *, accept_status: int | None = None, **arguments: Any) -> Any:
        """Send a request, and repeat it while the sqlite database is too busy. All requests here are repeatable."""
        for _ in range(MAX_ATTEMPTS):
            response = self._http.request(method, path, headers={"Accept": "application/json"}, **arguments)
            if response.status_code != INTERNAL_ERROR or DATABASE_BUSY not in response.text:
                break
            time.sleep(RETRY_SECONDS)
        if response.is_error and response.status_code != accept_status:
            raise AirflowError(f"{method} {path} returned {response.status_code}: {response.text[:2000]}")
        return response.json()


def _format_log_entry(entry: Mapping[str, Any]) -> str:
    """Format a structured log entry as text: level, message and exceptions."""
    exceptions = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()]
    return "\n".join([f"{entry.get('level', '')} {entry['event']}".strip(), *exceptions])
