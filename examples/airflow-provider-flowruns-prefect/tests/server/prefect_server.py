"""A real Prefect server with a process that runs its flows, in an environment of their own."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tools.local_server import LocalServer
from tools.process_groups import ProcessTree, Watchdog

HERE = Path(__file__).parent
#: Where ``make test-prefect`` installs Prefect: it and Airflow need different versions of the same packages.
ENVIRONMENT = Path(os.environ.get("PREFECT_ENVIRONMENT", ".prefect/venv")).resolve()
USER = "jo"
#: Deployments of the flow in ``flows.py``; no process runs the second one.
WORKED, IDLE = "worked", "idle"


class PrefectError(Exception):
    """The server could not be started, or does not get where a test needs it."""


class PrefectServer(LocalServer):
    """A Prefect server on 127.0.0.1 that asks for a user name and a password."""

    title = "Prefect"
    stop_signal = signal.SIGTERM
    error = PrefectError
    start_seconds = 240.0

    def __init__(self) -> None:
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=f"{self.url}/api", auth=(USER, self.password), timeout=30.0, trust_env=False)

    def _create(self) -> list[str]:
        settings = {
            "PREFECT_HOME": self._folder,
            "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{self.password}",
            "PREFECT_API_AUTH_STRING": f"{USER}:{self.password}",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "2",
            "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
        }
        program = ENVIRONMENT / "bin" / "prefect"
        if not program.exists():
            raise PrefectError(f"There is no {program}: run make test-prefect.")
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        return [
            "env",
            *(f"{name}={value}" for name, value in settings.items()),
            str(program),
            "server",
            "start",
            *address,
        ]

    def _is_ready(self) -> bool:
        try:
            return self.http.get("/health").is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Stop the server and remove its data."""
        self.http.close()
        super().stop()

    def request(self, method: str, path: str, **body: Any) -> Any:
        """Send a request of the test's own, again while the server is busy, and return the JSON body."""
        deadline = time.monotonic() + 120.0
        while time.monotonic() < deadline:
            try:
                response = self.http.request(method, path, json=body or None)
            except httpx.TransportError:  # a kept connection that was closed
                continue
            if response.status_code != 503:
                response.raise_for_status()
                return response.json() if response.content else None
            time.sleep(0.2)  # the database is locked
        raise PrefectError(f"There is no response to {method} {path}.")

    def find_deployment(self, name: str) -> str:
        """Return the id of a deployment of ``flows.py``."""
        found = self.request("POST", "/deployments/filter", deployments={"name": {"any_": [name]}})
        if not found:
            raise PrefectError(f"There is no deployment {name} yet.")
        return str(found[0]["id"])

    def start_run(self, deployment_id: str, **parameters: Any) -> str:
        """Start a run as someone else would, and return its id."""
        path = f"/deployments/{deployment_id}/create_flow_run"
        key = uuid.uuid4().hex  # it may be sent twice
        return str(self.request("POST", path, parameters=parameters, idempotency_key=key)["id"])

    def get_run(self, run_id: str) -> dict[str, Any]:
        """Return a run as the server shows it."""
        run: dict[str, Any] = self.request("GET", f"/flow_runs/{run_id}")
        return run

    def list_runs(self, deployment_id: str) -> list[dict[str, Any]]:
        """Return the runs of a deployment."""
        filters = {"deployment_id": {"any_": [deployment_id]}}
        runs: list[dict[str, Any]] = self.request("POST", "/flow_runs/filter", flow_runs=filters)
        return runs

    def set_state(self, run_id: str, state_type: str, **state: Any) -> None:
        """Set the state of a run, as a worker does."""
        self.request("POST", f"/flow_runs/{run_id}/set_state", state={"type": state_type, **state}, force=True)

    def wait_for_state(self, run_id: str, *names: str, timeout: float = 90.0) -> None:
        """Wait until a run is in a state of one of these names."""
        wait_until(lambda: self.get_run(run_id)["state_name"] in names, f"run {run_id} in {names}", timeout)


class FlowRunner:
    """The process that serves ``flows.py``, as a worker does."""

    def __init__(self, server: PrefectServer, folder: Path) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHONPATH"))},
            "PREFECT_HOME": str(folder),
            "PREFECT_API_URL": f"{server.url}/api",
            "PREFECT_API_AUTH_STRING": f"{USER}:{server.password}",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        self._log = folder / "runner.log"
        self._server = server

    def __enter__(self) -> Self:
        self._watchdog = Watchdog()
        command = [str(ENVIRONMENT / "bin" / "python"), str(HERE / "flows.py")]
        self._process = ProcessTree("runner", command, self._environment, self._log, self._watchdog)
        wait_until(self._is_serving, "deployment of flows.py", 120.0)
        (worked,) = self._server.request("POST", "/deployments/filter")
        self._server.request("POST", "/deployments/", name=IDLE, flow_id=worked["flow_id"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(time.monotonic() + 10.0)
        self._process.kill()
        self._watchdog.close()

    def _is_serving(self) -> bool:
        if not self._process.is_alive:
            raise PrefectError(f"The runner ended:\n{self._process.read_log_tail()}")
        return any(one["name"] == WORKED for one in self._server.request("POST", "/deployments/filter"))


def wait_until(condition: Callable[[], object], what: str, timeout: float) -> None:
    """Wait until a condition holds.

    :param condition: returns a true value when it does.
    :param what: what is waited for, for the message.
    :param timeout: seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise PrefectError(f"There is no {what} after {timeout:g} s.")
        time.sleep(0.2)
