"""A real Airflow made of real processes, for the demo and for tests.

Four components (api-server, scheduler with LocalExecutor, dag-processor, triggerer) on a database of their own: sqlite,
or PostgreSQL for tests with several components of a kind.
They listen on 127.0.0.1 only, and all of them are gone when the ``with`` block is left, however it is left.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from importlib.metadata import distributions, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tools import airflow_2
from tools.airflow_api import AirflowApi, AirflowBroken
from tools.postgresql import PostgresServer
from tools.sessions import Leash, Session, members

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")

CACHE = Path(__file__).resolve().parents[1] / ".cache"

# They are started from the last to the first and ended the other way round: nothing new starts while the rest goes.
COMPONENTS = (
    airflow_2.COMPONENTS
    if IS_AIRFLOW_2
    else {
        # --skip-serve-logs: the api-server reads the log files itself, and port 8793 stays closed.
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "triggerer": ("triggerer", "--skip-serve-logs"),
        "dag-processor": ("dag-processor",),
        "api-server": ("api-server",),
    }
)

GRACE_SECONDS = 3.0
TERMINATION_SECONDS = 60.0

# What a developer's shell may carry and must not reach the Airflow under test.
FOREIGN_SETTINGS = ("AIRFLOW", "OPENLINEAGE_")

# A cluster policy, Airflow's own way to change the tasks of all DAGs.
IMPATIENT_TASKS = """def task_policy(task):
    for name in ("poke_interval", "poll_interval"):
        if hasattr(task, name):
            setattr(task, name, {seconds})
"""


class RealAirflow(airflow_2.Api if IS_AIRFLOW_2 else AirflowApi):
    """Start Airflow on a folder of DAGs, for as long as the ``with`` block lasts.

    :param dags_folder: where the DAG files are.
    :param env: environment variables of all components, for example ``AIRFLOW_CONN_*``.
    :param home: the ``AIRFLOW_HOME`` to use and keep. Without it, a temporary one that is removed at the end.
    :param parallelism: how many tasks run at a time, each of them a process.
    :param poke_interval: seconds between two looks of every waiting task, whatever its DAG file says.
    :param postgresql: a running server on which to make the database. Without it, the database is a sqlite file.
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
    ) -> None:
        super().__init__(f"http://127.0.0.1:{_free_port()}")
        self.home = (home or Path(tempfile.mkdtemp(prefix="airflow-"))).resolve()
        self._keep_home = home is not None
        self._postgresql = postgresql
        self._postgresql_database = postgresql.create_database() if postgresql else ""
        self._env = _environment(self.home, dags_folder.resolve(), self.url, parallelism) | dict(env or {})
        if postgresql:
            self._env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = postgresql.url(self._postgresql_database)
        self._poke_interval = poke_interval
        self._sessions: dict[str, Session] = {}
        self._leash: Leash | None = None

    @property
    def database(self) -> Path:
        """The sqlite database file."""
        return self.home / "airflow.db"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what Airflow's database has, for what its API does not tell."""
        if self._postgresql:
            return self._postgresql.rows(query, database=self._postgresql_database)
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query).fetchall()

    # Starting and stopping

    def __enter__(self) -> Self:
        try:
            self._prepare_home()
            self._leash = Leash()
            # The slowest starter first.
            for name in reversed(COMPONENTS):
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
        """Start one component; all of them are started on entering the ``with`` block.

        :param component: which one, of ``COMPONENTS``.
        :param name: what to call it in the other methods, to have several of a kind; else as the component.
        """
        name = name or component
        if name in self._sessions:
            raise AirflowBroken(f"The {name} is already running.")
        if self._leash is None:
            raise AirflowBroken("Airflow runs only inside its with statement.")
        self._sessions[name] = Session(
            name,
            [sys.executable, "-m", "airflow", *COMPONENTS[component]],
            self._env,
            self.home / "components" / f"{name}.log",
            self._leash,
        )

    def processes(self, name: str) -> set[int]:
        """Return the ids of all living processes of one component."""
        return set(members(self._sessions[name].id))

    def kill(self, name: str) -> None:
        """End one component at once, with everything it started, as a crash or an out-of-memory kill would."""
        self._sessions.pop(name).kill()

    def terminate(self, name: str) -> None:
        """End one component politely, as at an upgrade, and wait until it is gone."""
        session = self._sessions.pop(name)
        session.terminate()
        session.wait(time.monotonic() + TERMINATION_SECONDS)
        session.kill()

    def freeze(self, name: str) -> None:
        """Have one component stand still, as in a paused virtual machine, until :meth:`thaw`.

        On sqlite its main process goes on: frozen in the middle of a write, it would lock everybody out.
        """
        self._sessions[name].freeze(leader=self._postgresql is not None)

    def thaw(self, name: str) -> None:
        """Let a frozen component go on from where it was."""
        self._sessions[name].thaw()

    def stop(self) -> None:
        """End all components: first politely, then, after some seconds, surely."""
        running = list(self._sessions.values())[::-1]
        self._sessions.clear()
        for session in running:
            session.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for session in running:
            session.wait(deadline)
            session.kill()
        if self._leash:
            self._leash.close()
            self._leash = None
        self.close()
        if not self._keep_home:
            shutil.rmtree(self.home, ignore_errors=True)

    def cli(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the ``airflow`` command of this installation and return what it printed."""
        return subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def wait_ready(self, dag_ids: Iterable[str] = (), timeout: float = 120) -> None:
        """Wait until every component is up and these DAGs are known; a DAG file that fails to import raises."""
        self.wait_for("all components", self._healthy, timeout)
        self.log_in()
        self.warm_up()
        wanted = set(dag_ids)
        self.wait_for(f"the DAGs {sorted(wanted)}", lambda: wanted <= self._known_dags(), timeout)

    def check_alive(self) -> None:
        """Raise if a component has ended by itself."""
        for session in self._sessions.values():
            if not session.alive:
                raise AirflowBroken(f"The {session.name} ended by itself:\n{session.tail()}")

    # Inside

    def _prepare_home(self) -> None:
        (self.home / "components").mkdir(parents=True, exist_ok=True)
        # All settings come from the environment. Without a file, four processes would write one at the same time.
        (self.home / "airflow.cfg").write_text("# Settings come from the environment.\n")
        if IS_AIRFLOW_2:
            airflow_2.open_to_everybody(self.home)
        if self._poke_interval is not None:
            (self.home / "config").mkdir(exist_ok=True)
            policy = IMPATIENT_TASKS.format(seconds=self._poke_interval)
            (self.home / "config" / "airflow_local_settings.py").write_text(policy)
        if self._postgresql:
            self._migrate()
            return
        cached = CACHE / f"airflow-{_installation()}.db"
        if not cached.exists():
            self._make_empty_database(cached)
        shutil.copyfile(cached, self.database)

    def _migrate(self) -> None:
        done = self.cli("db", "migrate", timeout=300)
        if done.returncode:
            raise AirflowBroken(f"airflow db migrate failed:\n{done.stdout}\n{done.stderr}")

    def _make_empty_database(self, cached: Path) -> None:
        """Make an empty sqlite database: done once, since it takes as long as everything else together."""
        self._migrate()
        with closing(sqlite3.connect(self.database)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # everything into the one file that is copied
        cached.parent.mkdir(exist_ok=True)
        # Renaming is atomic: two test runs that start together do not see half a file.
        unfinished = cached.with_suffix(f".{os.getpid()}")
        shutil.copyfile(self.database, unfinished)
        unfinished.replace(cached)

    def _healthy(self) -> bool:
        try:
            health = self.health()
        except httpx.TransportError:  # the api-server does not listen yet
            return False
        return all(part["status"] == "healthy" for part in health.values())

    def _known_dags(self) -> set[str]:
        errors = self.get(f"{self.root}/importErrors")["import_errors"]
        if errors:
            details = "\n\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors)
            raise AirflowBroken(f"DAG files that fail to import:\n\n{details}")
        return {dag["dag_id"] for dag in self.get(f"{self.root}/dags", limit=100)["dags"]}


def _environment(home: Path, dags_folder: Path, url: str, parallelism: int) -> dict[str, str]:
    """Return the environment of the components: the caller's own, without what it says about Airflow."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    settings = {
        "CORE__DAGS_FOLDER": str(dags_folder),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        # LocalExecutor forks that many workers at once (32 if not told).
        "CORE__PARALLELISM": str(parallelism),
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        # No encryption, so that a secret which reached the database can be found there by a test.
        "CORE__FERNET_KEY": "",
        # The wait for sqlite's lock stays short: requests of the api-server can wait for each other until it is over.
        # Whoever is told that the database is busy asks again: tasks by themselves, the harness in airflow_api.
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
        # A new or changed file is parsed at the next refresh all the same; the others need no second look.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "AIRFLOW_HOME": str(home),
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        **(airflow_2.environment(url) if IS_AIRFLOW_2 else {}),
    }


def _installation() -> str:
    """Name what an empty database depends on: the Airflow version and the installed providers."""
    providers = sorted(
        f"{distribution.name}=={distribution.version}"
        for distribution in distributions()
        if any(entry.group == "apache_airflow_provider" for entry in distribution.entry_points)
    )
    digest = hashlib.sha256("\n".join(providers).encode()).hexdigest()
    return f"{version('apache-airflow')}-{digest[:12]}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
