"""A real Airflow as in production: CeleryExecutor with Redis, PostgreSQL, and two of each component that may be two."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools import postgresql, redis_server
from tools.airflow_api import AirflowError
from tools.postgresql import PostgresServer
from tools.real_airflow import COMPONENTS, RealAirflow
from tools.redis_server import RedisServer

#: The header by which a service's requests name the process that sent them.
PROCESS_HEADER = "X-Airflow-Process"

# Room for every task of a test at once: a task that a killed worker had reserved waits until it counts as stuck.
WORKER_CONCURRENCY = 10

START_SECONDS = 180.0


def list_missing_packages() -> list[str]:
    """Return a sentence for each of the system's packages that is not installed."""
    missing = []
    if postgresql.find_server_programs() is None:
        missing.append(postgresql.NOT_INSTALLED)
    if redis_server.find_server() is None:
        missing.append(redis_server.NOT_INSTALLED)
    return missing


class CeleryAirflow(RealAirflow):
    """An Airflow whose tasks run in two Celery workers, and its deferred waits in two triggerers.

    The workers share no temporary folder, like machines of their own. Each takes tasks from the queue ``default`` and
    from a queue with its own name.

    :param dags_folder: folder of the DAG files.
    :param connections: the connections as environment variables; each process adds a header with its name to them.
    :param database_server: a running server for Airflow's database and the results of Celery.
    :param broker: a running server for the queues.
    :param env: further environment variables of all components.
    :param home: the ``AIRFLOW_HOME`` to use and keep; by default a temporary folder that is removed at the end.
    """

    def __init__(
        self,
        dags_folder: Path,
        *,
        connections: Mapping[str, str],
        database_server: PostgresServer,
        broker: RedisServer,
        env: Mapping[str, str] | None = None,
        home: Path | None = None,
    ) -> None:
        super().__init__(dags_folder, env=env, home=home, parallelism=64, postgresql=database_server)
        self.components = {
            "worker-1": self._build_worker_command("worker-1"),
            "worker-2": self._build_worker_command("worker-2"),
            "scheduler-1": COMPONENTS["scheduler"],
            "scheduler-2": COMPONENTS["scheduler"],
            "triggerer-1": COMPONENTS["triggerer"],
            "triggerer-2": COMPONENTS["triggerer"],
            "dag-processor": COMPONENTS["dag-processor"],
            "api-server": COMPONENTS["api-server"],
        }
        self._connections = dict(connections)
        self._database_server = database_server
        self._restarts_ended = False
        database_url = self._env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        self._env |= {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": broker.url,
            # Without a driver, SQLAlchemy 2.1 selects one that Airflow does not install.
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database_url}",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(WORKER_CONCURRENCY),
        }

    def execute_statement(self, statement: str, parameters: Sequence[object]) -> None:
        """Change Airflow's database, for a state that its own processes do not bring about."""
        self._database_server.fetch_rows(statement, parameters, database=self._postgresql_database)

    def restore(self) -> None:
        """Resume every component that is suspended, start those that are not running, and wait until all are ready."""
        for process in self._processes.values():
            process.resume()
        before = self._list_jobs()
        started = self._start_missing()
        deadline = time.monotonic() + START_SECONDS
        while not self._is_healthy():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Timed out waiting for the health of all components: {self.get_health()}")
            time.sleep(1)
            started += self._start_missing()
        jobs = sum(name.startswith(("scheduler", "triggerer")) for name in started)
        self.wait_for(f"{jobs} new jobs", lambda: len(self._list_jobs() - before) >= jobs, START_SECONDS)

    @contextmanager
    def service_manager(self) -> Generator[None]:
        """During the ``with`` block, start components again that end, as a service manager does."""
        self._restarts_ended = True
        try:
            yield
        finally:
            self._restarts_ended = False

    def check_alive(self) -> None:
        """Raise if a component has ended unexpectedly, or start it again, see :meth:`service_manager`."""
        if self._restarts_ended:
            self._start_missing()
        else:
            super().check_alive()

    def _is_healthy(self) -> bool:
        try:
            return super()._is_healthy()
        except AirflowError:  # the api-server has no database
            return False

    def _start_missing(self) -> list[str]:
        """Start the components that are not running, as a service manager does, and return their names."""
        for name, process in list(self._processes.items()):
            if not process.is_alive:
                self.kill(name)
        missing = [name for name in self.components if name not in self._processes]
        for name in missing:
            self.start(name)
        return missing

    def _list_jobs(self) -> set[int]:
        return {job for (job,) in self.fetch_rows("select id from job")}

    def _build_worker_command(self, name: str) -> tuple[str, ...]:
        pid_file = str(self._get_pid_file(name))
        queues = f"default,{name}"
        return ("celery", "worker", "--skip-serve-logs", "-H", f"{name}@localhost", "-q", queues, "--pid", pid_file)

    def _get_pid_file(self, name: str) -> Path:
        return self.home / "temporary" / name / "worker.pid"

    def _build_component_environment(self, name: str) -> Mapping[str, str]:
        pid_file = self._get_pid_file(name)
        pid_file.parent.mkdir(parents=True, exist_ok=True)
        pid_file.unlink(missing_ok=True)  # a killed worker leaves it behind, and then does not start again
        connections = {key: _add_header(value, name) for key, value in self._connections.items()}
        return {**self._env, **connections, "TMPDIR": str(pid_file.parent)}


def _add_header(connection: str, process: str) -> str:
    """Add the header that names the process to a connection in JSON."""
    value = json.loads(connection)
    extra = dict(value.get("extra") or {})
    extra["headers"] = {**extra.get("headers", {}), PROCESS_HEADER: process}
    return json.dumps({**value, "extra": extra})
