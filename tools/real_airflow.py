"""A real Airflow with real processes, for the demo and for tests.

Four components (api-server, scheduler with LocalExecutor, dag-processor, triggerer) on their own database: sqlite, or
PostgreSQL for tests with several instances of a component. They listen on 127.0.0.1 only, and all of them end with the
``with`` block, in whatever way it is left.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from importlib.metadata import distributions, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from tools import airflow_2
from tools.airflow_api import AirflowApi, AirflowError
from tools.ports import find_free_port
from tools.postgresql import PostgresServer
from tools.process_groups import ProcessTree, Watchdog, list_process_ids

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")

if TYPE_CHECKING:
    Api = AirflowApi
else:
    Api = airflow_2.Airflow2Api if IS_AIRFLOW_2 else AirflowApi

CACHE = Path(__file__).resolve().parents[1] / ".cache"

# Started from last to first and stopped from first to last, so that no new task starts during the shutdown.
COMPONENTS = (
    airflow_2.COMPONENTS
    if IS_AIRFLOW_2
    else {
        # --skip-serve-logs: the api-server reads the log files itself, so port 8793 is not needed.
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "triggerer": ("triggerer", "--skip-serve-logs"),
        "dag-processor": ("dag-processor",),
        "api-server": ("api-server",),
    }
)

ADMIN = "admin"

SHUTDOWN_SECONDS = 3.0
TERMINATION_SECONDS = 60.0

# Prefixes of variables in a developer's shell that must not reach the Airflow under test.
IGNORED_PREFIXES = ("AIRFLOW", "OPENLINEAGE_")

# A cluster policy, which can change the tasks of all DAGs.
POLL_INTERVAL_POLICY = """def task_policy(task):
    for name in ("poke_interval", "poll_interval"):
        if hasattr(task, name):
            setattr(task, name, {seconds})
"""


class RealAirflow(Api):
    """An Airflow that runs the DAGs of a folder during the ``with`` block.

    :param dags_folder: folder of the DAG files.
    :param env: environment variables of all components, for example ``AIRFLOW_CONN_*``.
    :param home: the ``AIRFLOW_HOME`` to use and keep; by default a temporary folder that is removed at the end.
    :param parallelism: maximum number of tasks at a time; each is a process.
    :param poke_interval: polling interval of every waiting task in seconds; overrides the DAG files.
    :param postgresql: a running server for the database; by default the database is a sqlite file.
    :param password: password of the user ``admin``; by default everyone is an admin without logging in. Airflow 3 only.
    :param python: the interpreter of another environment in which Airflow is installed.
    """

    def __init__(
        self,
        dags_folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        home: Path | None = None,
        parallelism: int = 4,
        poke_interval: float | None = None,
        postgresql: PostgresServer | None = None,
        password: str | None = None,
        python: Path | None = None,
    ) -> None:
        super().__init__(f"http://127.0.0.1:{find_free_port()}")
        self.home = (home or Path(tempfile.mkdtemp(prefix="airflow-"))).resolve()
        self._keep_home = home is not None
        #: The command line of each component by its name, the one that starts slowest last.
        self.components: Mapping[str, tuple[str, ...]] = COMPONENTS
        self._postgresql = postgresql
        self._postgresql_database = postgresql.create_database() if postgresql else ""
        self._python = str(python or sys.executable)
        self._env = _build_environment(self.home, dags_folder.resolve(), self.url, parallelism, self._python)
        if password is not None:
            self.credentials = (ADMIN, password)
            self._env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] = "False"
            self._env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = f"{ADMIN}:admin"
            self._env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(self.home / "passwords.json")
        self._env |= dict(env or {})
        if postgresql:
            self._env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = postgresql.build_url(self._postgresql_database)
        self._poke_interval = poke_interval
        self._processes: dict[str, ProcessTree] = {}
        self._watchdog: Watchdog | None = None

    @property
    def first_components(self) -> Sequence[str]:
        """The components that entering the ``with`` block starts. Subclasses may leave some to :meth:`start`."""
        return list(self.components)

    @property
    def database(self) -> Path:
        """The sqlite database file."""
        return self.home / "airflow.db"

    def fetch_rows(self, query: str) -> list[tuple[Any, ...]]:
        """Query Airflow's database, for facts that its API does not return."""
        if self._postgresql:
            return self._postgresql.fetch_rows(query, database=self._postgresql_database)
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query).fetchall()

    # Starting and stopping

    def __enter__(self) -> Self:
        try:
            self._prepare_home()
            self._watchdog = Watchdog()
            # The component that starts slowest first.
            for name in reversed(self.first_components):
                self.start(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, component: str, name: str | None = None) -> None:
        """Start one component. Entering the ``with`` block starts :attr:`first_components`.

        :param component: a key of :attr:`components`.
        :param name: its name in the other methods, for several instances of a component; defaults to the component.
        """
        name = name or component
        if name in self._processes:
            raise AirflowError(f"The {name} is already running.")
        if self._watchdog is None:
            raise AirflowError("Airflow runs only inside its with statement.")
        self._processes[name] = ProcessTree(
            name,
            [self._python, "-m", "airflow", *self.components[component]],
            self._build_component_environment(name),
            self.home / "components" / f"{name}.log",
            self._watchdog,
        )

    def list_process_ids(self, name: str) -> set[int]:
        """Return the ids of all living processes of one component."""
        return set(list_process_ids(self._processes[name].id))

    def kill(self, name: str) -> None:
        """Kill one component with everything it has started, like a crash or an out-of-memory kill."""
        self._processes.pop(name).kill()

    def terminate(self, name: str) -> None:
        """Terminate one component gracefully, as for an upgrade, and wait until it has ended."""
        process = self._processes.pop(name)
        process.terminate()
        process.wait(time.monotonic() + TERMINATION_SECONDS)
        process.kill()

    def suspend(self, name: str) -> None:
        """Suspend one component, as if its virtual machine were paused, until :meth:`resume`.

        On sqlite its main process keeps running: suspended during a write, it would lock the database for all others.
        """
        self._processes[name].suspend(leader=self._postgresql is not None)

    def resume(self, name: str) -> None:
        """Resume a suspended component."""
        self._processes[name].resume()

    def stop(self) -> None:
        """Stop all components: terminate them, and kill those that are still running after some seconds."""
        running = list(self._processes.values())[::-1]
        self._processes.clear()
        for process in running:
            process.terminate()
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        for process in running:
            process.wait(deadline)
            process.kill()
        if self._watchdog:
            self._watchdog.close()
            self._watchdog = None
        self.close()
        if not self._keep_home:
            shutil.rmtree(self.home, ignore_errors=True)

    def run_cli(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the ``airflow`` command of this installation and return its result."""
        return subprocess.run(
            [self._python, "-m", "airflow", *arguments],
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def wait_until_ready(self, dag_ids: Iterable[str] = (), timeout: float = 120) -> None:
        """Wait until every component is healthy and these DAGs are known. Raise if a DAG file fails to import."""
        self.wait_for("all components", self._is_healthy, timeout)
        self.log_in()
        self.warm_up()
        wanted = set(dag_ids)
        self.wait_for(f"the DAGs {sorted(wanted)}", lambda: wanted <= self._get_dag_ids(), timeout)

    def check_alive(self) -> None:
        """Raise if a component has ended unexpectedly."""
        for process in self._processes.values():
            if not process.is_alive:
                raise AirflowError(f"The {process.name} ended unexpectedly:\n{process.read_log_tail()}")

    # Internals

    def _build_component_environment(self, name: str) -> Mapping[str, str]:
        """Return the environment of one component. Subclasses may give each its own."""
        return self._env

    def _prepare_home(self) -> None:
        (self.home / "components").mkdir(parents=True, exist_ok=True)
        # All settings come from the environment. Without this file, four processes would create it at the same time.
        (self.home / "airflow.cfg").write_text("# Settings come from the environment.\n")
        if IS_AIRFLOW_2:
            airflow_2.disable_authentication(self.home)
        if self._poke_interval is not None:
            (self.home / "config").mkdir(exist_ok=True)
            policy = POLL_INTERVAL_POLICY.format(seconds=self._poke_interval)
            (self.home / "config" / "airflow_local_settings.py").write_text(policy)
        if self.credentials:
            (self.home / "passwords.json").write_text(json.dumps(dict([self.credentials])))
        # What is cached belongs to this environment.
        if self._postgresql or self._python != sys.executable:
            self._migrate()
            return
        cached = CACHE / f"airflow-{_identify_installation()}.db"
        if not cached.exists():
            self._create_empty_database(cached)
        shutil.copyfile(cached, self.database)

    def _migrate(self) -> None:
        done = self.run_cli("db", "migrate", timeout=300)
        if done.returncode:
            raise AirflowError(f"airflow db migrate failed:\n{done.stdout}\n{done.stderr}")

    def _create_empty_database(self, cached: Path) -> None:
        """Create and cache an empty sqlite database. This takes as long as the rest of the start."""
        self._migrate()
        with closing(sqlite3.connect(self.database)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the copied file must contain everything
        cached.parent.mkdir(exist_ok=True)
        # Renaming is atomic, so two concurrent test runs never see an incomplete file.
        unfinished = cached.with_suffix(f".{os.getpid()}")
        shutil.copyfile(self.database, unfinished)
        unfinished.replace(cached)

    def _is_healthy(self) -> bool:
        try:
            health = self.get_health()
        except httpx.TransportError:  # the api-server is not listening yet
            return False
        return all(part["status"] == "healthy" for part in health.values())

    def _get_dag_ids(self) -> set[str]:
        errors = self.get(f"{self.root}/importErrors")["import_errors"]
        if errors:
            details = "\n\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors)
            raise AirflowError(f"DAG files failed to import:\n\n{details}")
        return {dag["dag_id"] for dag in self.get(f"{self.root}/dags", limit=100)["dags"]}


def _build_environment(home: Path, dags_folder: Path, url: str, parallelism: int, python: str) -> dict[str, str]:
    """Return the environment of the components: the caller's, without its Airflow settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(IGNORED_PREFIXES)}
    settings = {
        "CORE__DAGS_FOLDER": str(dags_folder),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        # LocalExecutor starts this number of workers immediately (default: 32).
        "CORE__PARALLELISM": str(parallelism),
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        # No encryption, so that a test can find secrets in the database.
        "CORE__FERNET_KEY": "",
        # The timeout for sqlite's lock is short, because requests to the api-server can block each other until it ends.
        # Both tasks and airflow_api repeat a request if the database is busy.
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=3",
        "API__HOST": "127.0.0.1",
        "API__PORT": url.rpartition(":")[2],
        "API__BASE_URL": url,
        "API__WORKERS": "1",
        "API__SECRET_KEY": secrets.token_hex(32),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "WORKERS__EXECUTION_API_TIMEOUT": "30",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "2",
        # New and changed files are parsed at the next refresh anyway; unchanged files need no second parsing.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {
        **inherited,
        "PATH": f"{Path(python).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "AIRFLOW_HOME": str(home),
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        **(airflow_2.build_environment(url) if IS_AIRFLOW_2 else {}),
    }


def _identify_installation() -> str:
    """Return an id of what an empty database depends on: the Airflow version and the installed providers."""
    providers = sorted(
        f"{distribution.name}=={distribution.version}"
        for distribution in distributions()
        if any(entry.group == "apache_airflow_provider" for entry in distribution.entry_points)
    )
    digest = hashlib.sha256("\n".join(providers).encode()).hexdigest()
    return f"{version('apache-airflow')}-{digest[:12]}"
