"""Differences of Airflow 2: a webserver with an older REST API, and different settings."""

from __future__ import annotations

import ast
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.airflow_api import PAGE_SIZE, AirflowApi, TaskInstance

# With sqlite the scheduler parses the DAG files itself.
COMPONENTS = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "api-server": ("webserver",),
}


class Airflow2Api(AirflowApi):
    """Client of the REST API of Airflow 2, limited to what the tests on Airflow 2 need."""

    root = "/api/v1"

    def log_in(self) -> None:
        """Do nothing: no log-in is needed, see :func:`disable_authentication`."""

    def warm_up(self) -> None:
        """Do nothing: tasks access the database directly."""

    def get_health(self) -> dict[str, Any]:
        """Return the health of each component; its ``status`` is ``healthy`` if it is running."""
        return {name: part for name, part in self.get(f"{self.root}/health").items() if name != "dag_processor"}

    def list_task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return the task instances of a DAG run."""
        rows = self.get(f"{self._build_run_path(dag_id, run_id)}/taskInstances")["task_instances"]
        return [
            TaskInstance(row["task_id"], row["map_index"], row["state"], row["try_number"], row["duration"])
            for row in rows
        ]

    def get_links(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, str | None]:
        """Return a task's links by name, None for a link that has no URL yet."""
        return dict(self.get(f"{self._build_task_path(dag_id, run_id, task_id)}/links", map_index=map_index))

    def list_asset_events(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the ``extra`` of the asset events of a DAG run's tasks."""
        query = {"source_dag_id": dag_id, "source_run_id": run_id, "limit": PAGE_SIZE}
        return [event["extra"] for event in self.get(f"{self.root}/datasets/events", **query)["dataset_events"]]

    def _build_trigger_body(
        self, run_id: str, conf: Mapping[str, Any] | None, logical_date: str | None
    ) -> dict[str, Any]:
        body = super()._build_trigger_body(run_id, conf, logical_date)
        return {name: value for name, value in body.items() if value is not None}

    def _get_log_entries(
        self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int
    ) -> list[dict[str, Any]]:
        path = f"{self._build_task_path(dag_id, run_id, task_id)}/logs/{try_number}"
        # The content is the repr of a list of (host, text).
        content = ast.literal_eval(self.get(path, map_index=map_index, full_content=True)["content"])
        return [{"event": line} for _, text in content for line in text.splitlines()]


def disable_authentication(home: Path) -> None:
    """Write a webserver configuration that gives all permissions without log-in."""
    (home / "webserver_config.py").write_text("AUTH_ROLE_PUBLIC = 'Admin'\n")


def build_environment(url: str) -> dict[str, str]:
    """Return the environment variables that Airflow 2 needs in addition to those of Airflow 3."""
    settings = {
        "WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "WEBSERVER__WEB_SERVER_PORT": url.rpartition(":")[2],
        "WEBSERVER__BASE_URL": url,
        "WEBSERVER__WORKERS": "1",
        "WEBSERVER__SECRET_KEY": secrets.token_hex(32),
        "SCHEDULER__DAG_DIR_LIST_INTERVAL": "2",
        "SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "300",
        "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    }
    return {
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        # Airflow 2 rejects LocalExecutor on sqlite, although a few tasks at a time work well.
        "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
    }
