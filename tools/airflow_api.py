"""What the demo and the tests ask a running Airflow, by its public REST API."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

FINISHED_RUN = frozenset({"success", "failed"})
FINISHED_TASK = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
POLL_SECONDS = 0.2
PAGE = 100

INTERNAL_ERROR, CONFLICT = 500, 409
DATABASE_BUSY = "Database error"
BUSY_TRIES, BUSY_SECONDS = 40, 0.5


class AirflowBroken(Exception):
    """Airflow, a DAG file or a task is not in the state that was asked for."""


@dataclass(frozen=True)
class TaskInstance:
    """What a caller wants to know about one task of a DAG run."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    seconds: float | None


class AirflowApi:
    """One Airflow, seen through its REST API.

    :param url: scheme, host and port of its api-server.
    """

    root = "/api/v2"

    def __init__(self, url: str) -> None:
        self.url = url
        # trust_env=False: a proxy configured for the outside world must not be asked for 127.0.0.1.
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def log_in(self) -> None:
        """Get a token for all later requests; everybody is an admin."""
        token = self._call("GET", "/auth/token")["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def warm_up(self) -> None:
        """Have the API built that tasks talk to.

        That happens at its first request and takes seconds: longer than a task waits for its first answer when all
        cores are busy.
        """
        self.get("/execution/health")

    def health(self) -> dict[str, Any]:
        """Return what Airflow says of each of its components; ``status`` is ``healthy`` or not."""
        return dict(self.get(f"{self.root}/monitor/health"))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """Return the answer of any endpoint that has no method here."""
        return self._call("GET", path, params=params)

    # DAG runs

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, logical_date: str | None = None) -> str:
        """Start a DAG run and return its id; ``conf`` overrides the DAG's params."""
        # An id of our own, so that a repeated request cannot make a second DAG run.
        run_id = f"manual__{uuid.uuid4()}"
        body = self._trigger_body(run_id, conf, logical_date)
        self._call("POST", f"{self.root}/dags/{dag_id}/dagRuns", json=body, done_if=CONFLICT)
        return run_id

    def pause(self, dag_id: str, is_paused: bool = True) -> None:
        """Pause or unpause a DAG, as a user would."""
        self._call("PATCH", f"{self.root}/dags/{dag_id}", json={"is_paused": is_paused})

    def add_asset_event(self, asset_name: str) -> None:
        """Add an event of an asset, as its outside producer does."""
        [asset] = [one for one in self.get(f"{self.root}/assets", limit=PAGE)["assets"] if one["name"] == asset_name]
        self._call("POST", f"{self.root}/assets/events", json={"asset_id": asset["id"]})

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a DAG run."""
        return str(self._call("GET", self._run_path(dag_id, run_id))["state"])

    def wait_run(self, dag_id: str, run_id: str, timeout: float = 120) -> str:
        """Wait until a DAG run has ended and return its state."""
        self.wait_for(f"the end of {dag_id} {run_id}", lambda: self.run_state(dag_id, run_id) in FINISHED_RUN, timeout)
        return self.run_state(dag_id, run_id)

    # Tasks

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return the task instances of a DAG run, in the order in which they started."""
        found = self._call(
            "GET", f"{self._run_path(dag_id, run_id)}/taskInstances", params={"limit": PAGE, "order_by": "start_date"}
        )["task_instances"]
        return [
            TaskInstance(item["task_id"], item["map_index"], item["state"], item["try_number"], item["duration"])
            for item in found
        ]

    def task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> TaskInstance:
        """Return one task instance of a DAG run."""
        for item in self.task_instances(dag_id, run_id):
            if (item.task_id, item.map_index) == (task_id, map_index):
                return item
        raise AirflowBroken(f"{dag_id} has no task {task_id} with map index {map_index}.")

    def wait_task(
        self, dag_id: str, run_id: str, task_id: str, states: Iterable[str], timeout: float = 120
    ) -> TaskInstance:
        """Wait until a task is in one of these states and return it."""
        wanted = frozenset(states)
        self.wait_for(
            f"{dag_id}.{task_id} in {sorted(wanted)}",
            lambda: self.task_instance(dag_id, run_id, task_id).state in wanted,
            timeout,
        )
        return self.task_instance(dag_id, run_id, task_id)

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as a user would: ``success``, ``failed`` or ``skipped``."""
        self._call("PATCH", self._task_path(dag_id, run_id, task_id), json={"new_state": state})

    def clear(self, dag_id: str, run_id: str, task_ids: Iterable[str]) -> None:
        """Clear tasks, as a user would, so that they run again."""
        body = {"dag_run_id": run_id, "task_ids": list(task_ids), "dry_run": False, "only_failed": False}
        self._call("POST", f"{self.root}/dags/{dag_id}/clearTaskInstances", json=body)

    # What a task left behind

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return one XCom value of a task."""
        path = f"{self._task_path(dag_id, run_id, task_id)}/xcomEntries/{quote(key, safe='')}"
        return self._call("GET", path, params={"map_index": map_index, "stringify": False})["value"]

    def xcoms(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return all XCom values of a task by key."""
        path = f"{self._task_path(dag_id, run_id, task_id)}/xcomEntries"
        entries = self._call("GET", path, params={"map_index": map_index, "limit": PAGE})["xcom_entries"]
        return {entry["key"]: self.xcom(dag_id, run_id, task_id, entry["key"], map_index) for entry in entries}

    def links(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, str | None]:
        """Return a task's links by name, None for one that leads nowhere yet."""
        path = f"{self._task_path(dag_id, run_id, task_id)}/links"
        return dict(self._call("GET", path, params={"map_index": map_index})["extra_links"])

    def asset_events(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return what the asset events of a DAG run's tasks say, their ``extra``."""
        asked = {"source_dag_id": dag_id, "source_run_id": run_id, "limit": PAGE}
        return [event["extra"] for event in self.get(f"{self.root}/assets/events", **asked)["asset_events"]]

    def rendered_fields(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return a task's templated arguments as they were rendered."""
        path = self._task_path(dag_id, run_id, task_id) + ("" if map_index < 0 else f"/{map_index}")
        return dict(self._call("GET", path)["rendered_fields"])

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of one try of a task as text."""
        return "\n".join(_log_line(entry) for entry in self._log(dag_id, run_id, task_id, try_number, map_index))

    def wait_log(
        self, dag_id: str, run_id: str, task_id: str, text: str, try_number: int = 1, timeout: float = 120
    ) -> None:
        """Wait until a task's log contains a text; a task that ends without it raises."""

        def logged() -> bool:
            task = self.task_instance(dag_id, run_id, task_id)  # before its log, so that an ended one has it all
            log = self.log(dag_id, run_id, task_id, try_number) if task.try_number >= try_number else ""
            if task.state in FINISHED_TASK and text not in log:
                raise AirflowBroken(f"{dag_id}.{task_id} ended without {text!r} in its log:\n{log[-2000:]}")
            return text in log

        self.wait_for(f"{text!r} in the log of {dag_id}.{task_id}", logged, timeout)

    def log_seconds(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> float | None:
        """Return the time from the first to the last log line of a try: all of it, where Airflow counts one poke."""
        log = self._log(dag_id, run_id, task_id, try_number, map_index=-1)
        times = [datetime.fromisoformat(entry["timestamp"]) for entry in log if entry.get("timestamp")]
        return (max(times) - min(times)).total_seconds() if times else None

    # Waiting

    def wait_for(self, what: str, condition: Callable[[], bool], timeout: float) -> None:
        """Wait until a condition holds; ``what`` says in an error what was waited for."""
        deadline = time.monotonic() + timeout
        while not condition():
            self.check_alive()
            if time.monotonic() > deadline:
                raise TimeoutError(f"Waited {timeout:g} s for {what}.")
            time.sleep(POLL_SECONDS)

    def check_alive(self) -> None:
        """Raise if there is no point in waiting on; called at every turn of a wait."""

    # Inside

    def _trigger_body(self, run_id: str, conf: Mapping[str, Any] | None, logical_date: str | None) -> dict[str, Any]:
        return {"dag_run_id": run_id, "conf": dict(conf or {}), "logical_date": logical_date}

    def _run_path(self, dag_id: str, run_id: str) -> str:
        return f"{self.root}/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}"

    def _task_path(self, dag_id: str, run_id: str, task_id: str) -> str:
        return f"{self._run_path(dag_id, run_id)}/taskInstances/{quote(task_id, safe='')}"

    def _log(self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int) -> list[dict[str, Any]]:
        path = f"{self._task_path(dag_id, run_id, task_id)}/logs/{try_number}"
        answer = self._call("GET", path, params={"map_index": map_index, "full_content": True})
        return list(answer["content"])

    def _call(self, method: str, path: str, *, done_if: int | None = None, **arguments: Any) -> Any:
        """Ask Airflow; every request here may be repeated, and is while the sqlite database is too busy to answer."""
        for _ in range(BUSY_TRIES):
            answer = self._http.request(method, path, headers={"Accept": "application/json"}, **arguments)
            if answer.status_code != INTERNAL_ERROR or DATABASE_BUSY not in answer.text:
                break
            time.sleep(BUSY_SECONDS)
        if answer.is_error and answer.status_code != done_if:
            raise AirflowBroken(f"{method} {path} answered {answer.status_code}: {answer.text[:2000]}")
        return answer.json()


def _log_line(entry: Mapping[str, Any]) -> str:
    """Write one structured log entry as text: level, message, and the exceptions it carries."""
    exceptions = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()]
    return "\n".join([f"{entry.get('level', '')} {entry['event']}".strip(), *exceptions])
