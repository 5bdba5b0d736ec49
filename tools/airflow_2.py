"""What Airflow 2 has otherwise: a webserver with an older REST API, and other settings."""

from __future__ import annotations

import ast
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.airflow_api import PAGE, AirflowApi, TaskInstance

# With sqlite the scheduler parses the DAG files itself.
COMPONENTS = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "api-server": ("webserver",),
}


class Api(AirflowApi):
    """Airflow 2 seen through its REST API; what the tests on Airflow 2 do not ask for is not here."""

    root = "/api/v1"

    def log_in(self) -> None:
        """Do nothing: everybody is an admin without a token, see :func:`open_to_everybody`."""

    def warm_up(self) -> None:
        """Do nothing: tasks talk to the database."""

    def health(self) -> dict[str, Any]:
        """Return what Airflow says of each of its components; ``status`` is ``healthy`` or not."""
        return {name: part for name, part in self.get(f"{self.root}/health").items() if name != "dag_processor"}

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return the task instances of a DAG run."""
        found = self.get(f"{self._run_path(dag_id, run_id)}/taskInstances")["task_instances"]
        return [
            TaskInstance(item["task_id"], item["map_index"], item["state"], item["try_number"], item["duration"])
            for item in found
        ]

    def links(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, str | None]:
        """Return a task's links by name, None for one that leads nowhere yet."""
        return dict(self.get(f"{self._task_path(dag_id, run_id, task_id)}/links", map_index=map_index))

    def asset_events(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return what the asset events of a DAG run's tasks say, their ``extra``."""
        asked = {"source_dag_id": dag_id, "source_run_id": run_id, "limit": PAGE}
        return [event["extra"] for event in self.get(f"{self.root}/datasets/events", **asked)["dataset_events"]]

    def _trigger_body(self, run_id: str, conf: Mapping[str, Any] | None, logical_date: str | None) -> dict[str, Any]:
        body = super()._trigger_body(run_id, conf, logical_date)
        return {name: value for name, value in body.items() if value is not None}

    def _log(self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int) -> list[dict[str, Any]]:
        path = f"{self._task_path(dag_id, run_id, task_id)}/logs/{try_number}"
        # A list of (host, text), written as Python writes it.
        content = ast.literal_eval(self.get(path, map_index=map_index, full_content=True)["content"])
        return [{"event": line} for _, text in content for line in text.splitlines()]


def open_to_everybody(home: Path) -> None:
    """Write the webserver's own configuration file: no log-in, all rights."""
    (home / "webserver_config.py").write_text("AUTH_ROLE_PUBLIC = 'Admin'\n")


def environment(url: str) -> dict[str, str]:
    """Return the environment variables that Airflow 2 needs beside those of Airflow 3."""
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
        # Airflow 2 thinks that several tasks at a time are too many for sqlite; for a few they are not.
        "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
    }
