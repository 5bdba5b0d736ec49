"""An Airflow of which only the database and the triggerer run: deferred tasks are put into its database directly."""

from __future__ import annotations

import json
import re
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.saved_waits import write_dag
from tools.postgresql import PostgresServer
from tools.real_airflow import RealAirflow

TRIGGERER = "triggerer"
STARTING = "Starting the triggerer"
BLOCKED = "async thread was blocked for"
RUNNING = re.compile(r"(\d+) triggers currently running")
ROOT = Path(__file__).resolve().parents[1]


class TriggererAirflow(RealAirflow):
    """An Airflow with a database on PostgreSQL, and with a triggerer once it is started; nothing else.

    :param capacity: maximum number of waits.
    :param env: further environment variables.
    """

    def __init__(
        self, dags_folder: Path, server: PostgresServer, capacity: int, env: Mapping[str, str] | None = None
    ) -> None:
        settings = {"AIRFLOW__TRIGGERER__CAPACITY": str(capacity)}
        super().__init__(dags_folder, postgresql=server, env={**settings, **(env or {})})

    @property
    def first_components(self) -> Sequence[str]:
        """None: the triggerer is started once there are waits."""
        return ()

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment in which Airflow's own modules use this database."""
        return self._env

    def save_waits(self, kind: str, count: int, end_at: float) -> None:
        """Replace all deferred tasks in the database, see :mod:`benchmarks.saved_waits`."""
        command = [sys.executable, "-m", "benchmarks.saved_waits", kind, str(count), str(end_at)]
        subprocess.run(command, env=self._env, cwd=ROOT, check=True)

    def set_connection(self, conn_id: str, connection: Mapping[str, object]) -> None:
        """Set a connection for the triggerer that is started next."""
        self._env[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)

    def count_running(self) -> int:
        """Return the number of waits that the newest triggerer runs, as it logs once a minute."""
        logged = RUNNING.findall(self.read_log().rpartition(STARTING)[2])
        return int(logged[-1]) if logged else 0

    def get_supervisor(self) -> psutil.Process:
        """Return the triggerer's process that reads and writes the database."""
        return next(process for process in self._list_processes() if process != self.get_runner())

    def get_runner(self) -> psutil.Process:
        """Return the triggerer's process in which all triggers run, which its supervisor started."""
        processes = self._list_processes()
        return next(process for process in processes if process.parent() in processes)

    def _list_processes(self) -> list[psutil.Process]:
        return [psutil.Process(pid) for pid in self.list_process_ids(TRIGGERER)]

    def read_log(self) -> str:
        """Return what the triggerers have logged, nothing before the first one is started."""
        log = self.home / "components" / f"{TRIGGERER}.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def count_stalls(self) -> int:
        """Return how often the triggerers have logged so far that their event loop was blocked."""
        return self.read_log().count(BLOCKED)

    def count_resumed(self) -> int:
        """Return the number of tasks that may resume."""
        return int(self.fetch_rows("select count(*) from task_instance where state = 'scheduled'")[0][0])

    def fetch_resumed(self) -> dict[int, float]:
        """Return when Airflow was told to resume each task, as Unix time by the number of the wait."""
        query = "select map_index, extract(epoch from updated_at) from task_instance where state = 'scheduled'"
        return {number: float(at) for number, at in self.fetch_rows(query)}


@contextmanager
def run_triggerer_airflow(
    server: PostgresServer, capacity: int, env: Mapping[str, str] | None = None
) -> Generator[TriggererAirflow]:
    """Run an Airflow with the DAG of :mod:`benchmarks.saved_waits`, and no triggerer yet."""
    with TemporaryDirectory(prefix="flowruns-bench-") as folder:
        write_dag(Path(folder))
        with TriggererAirflow(Path(folder), server, capacity, env) as airflow:
            done = airflow.run_cli("dags", "reserialize")
            if done.returncode:
                raise RuntimeError(f"the DAG could not be saved:\n{done.stdout}\n{done.stderr}")
            yield airflow
