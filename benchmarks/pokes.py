"""Measure the cost of a sensor's poke in a worker: from ``execute`` through the request to the next sleep."""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any
from unittest.mock import patch

from benchmarks.bounds import Bound, Figure
from benchmarks.candidates import CANDIDATES, CONN_ID
from benchmarks.polling_server import LATENCY_SECONDS, PollingServer, run_polling_server
from benchmarks.programs import run_in_new_process
from benchmarks.sections import Section, build_table

TURNS = 5
#: Numbers of pokes: before the measurement, in it, and under the profiler, which counts calls.
WARM_UP_POKES, MEASURED_POKES, PROFILED_POKES = 5, 60, 20
#: Maximum CPU time of a poke, relative to dbt Cloud's sensor.
MAX_CPU_RATIO = 0.5


@dataclass(frozen=True)
class Poker:
    """A sensor whose run does not end.

    :param title: name in the table.
    :param candidate: name of the trigger in :data:`CANDIDATES` with the same service.
    :param create: creates the sensor from the id of its run (or flow).
    """

    title: str
    candidate: str
    create: Callable[[str], Any]


def _create_portable(key: str) -> Any:
    from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

    return PortableFlowSensor(task_id="wait", portable_conn_id=CONN_ID, flow_id=key)


def _create_activepieces(key: str) -> Any:
    from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor

    return ActivepiecesFlowRunSensor(task_id="wait", activepieces_conn_id=CONN_ID, run_id=key)


def _create_tableflow(key: str) -> Any:
    from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor

    return TableFlowFlowRunSensor(task_id="wait", tableflow_conn_id=CONN_ID, run_id=key)


def _create_dbt(key: str) -> Any:
    from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor

    return DbtCloudJobRunSensor(task_id="wait", dbt_cloud_conn_id=CONN_ID, run_id=int(key))


def _create_http(key: str) -> Any:
    from airflow.providers.http.sensors.http import HttpSensor

    return HttpSensor(
        task_id="wait",
        http_conn_id=CONN_ID,
        endpoint=f"v2/flows/{key}/status",
        response_check=lambda response: response.json()["lifecycle"] == "NOT_RUNNING",
    )


POKERS = {
    "portable": Poker("this package: Portable", "portable", _create_portable),
    "activepieces": Poker("this package: Activepieces", "activepieces", _create_activepieces),
    "tableflow": Poker("this package: TableFlow", "tableflow", _create_tableflow),
    "dbt": Poker("dbt Cloud", "dbt", _create_dbt),
    "http": Poker("HttpSensor", "http", _create_http),
}
_OWN = ("portable", "activepieces", "tableflow")
_TEXT = """\
A sensor in `poke` mode waits for a run in progress, against a local TLS server with {latency:.0f} ms latency in a \
separate process; it does not sleep between its pokes. CPU time of the task's process over {pokes} pokes, with log \
level ERROR. The calls of Python functions are counted over {profiled} further pokes; those *in the provider* are of \
functions of this package, or of Airflow's providers. The sensors are measured in turns, each in a new process; \
medians of {turns}."""


def build_sections(quick: bool) -> list[Section]:
    """Measure and return the section; none if ``quick``, because it compares with the peers only."""
    if quick:
        return []
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in POKERS}
    with run_polling_server() as server:
        for _ in range(TURNS):
            for name, poker_samples in samples.items():
                poker_samples.append(_measure_once(server, name))
    cpu = {name: [sample["cpu"] for sample in poker_samples] for name, poker_samples in samples.items()}
    rows = [
        (
            POKERS[name].title,
            f"{median(cpu[name]) * 1_000:.2f} ms",
            f"{median(cpu[name]) / median(cpu['dbt']):.2f}",
            *(f"{median(sample[figure] for sample in samples[name]):.0f}" for figure in ("calls", "provider_calls")),
            f"{median(sample['connections'] for sample in samples[name]):.2f}",
        )
        for name in samples
    ]
    columns = (
        *("sensor", "CPU time per poke", "relative to dbt Cloud", "calls", "calls in the provider"),
        "connections per poke",
    )
    bounds = [
        Bound(
            f"CPU time per poke of {POKERS[name].title.partition(': ')[2]}, relative to dbt Cloud",
            Figure.from_ratios(cpu[name], cpu["dbt"]),
            MAX_CPU_RATIO,
        )
        for name in _OWN
    ]
    text = _TEXT.format(latency=LATENCY_SECONDS * 1_000, pokes=MEASURED_POKES, profiled=PROFILED_POKES, turns=TURNS)
    return [Section("What does a poke in a worker cost?", text, build_table(columns, rows), bounds)]


def _measure_once(server: PollingServer, name: str) -> dict[str, float]:
    print(f"measuring pokes of {POKERS[name].title} ...", flush=True)
    key = CANDIDATES[POKERS[name].candidate].key(0)
    server.reset([key])
    used: dict[str, float] = run_in_new_process("benchmarks.pokes", name, key, str(server.port), server.ca_file)
    counts = server.get_counts()
    return {**used, "connections": counts.connections / counts.polls}


class _EnoughPokes(BaseException):
    """Ends the measured task; no sensor handles it."""


class _Meter:
    """Measures between two sleeps of a sensor, which it replaces."""

    def __init__(self) -> None:
        self.profile = cProfile.Profile()
        self.cpu = 0.0
        self._pokes = 0
        self._started_at = 0.0

    def on_sleep(self, seconds: float) -> None:
        """Count a poke, instead of sleeping after it."""
        self._pokes += 1
        if self._pokes == WARM_UP_POKES:
            self._started_at = time.process_time()
        elif self._pokes == WARM_UP_POKES + MEASURED_POKES:
            self.cpu = time.process_time() - self._started_at
            self.profile.enable()
        elif self._pokes == WARM_UP_POKES + MEASURED_POKES + PROFILED_POKES:
            self.profile.disable()
            raise _EnoughPokes


def _poke(name: str, key: str, port: str, ca_file: str) -> dict[str, float]:
    """Measure the pokes of a sensor in this process."""
    os.environ |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), ca_file)
    poker = POKERS[name]
    connection = CANDIDATES[poker.candidate].connection(f"127.0.0.1:{port}")
    os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps(connection)
    from airflow_provider_flowruns.testing.task_modes import task_context

    sensor, meter = poker.create(key), _Meter()
    with patch("time.sleep", meter.on_sleep), suppress(_EnoughPokes):
        sensor.execute(task_context())
    calls = {place: row[1] for place, row in pstats.Stats(meter.profile).stats.items()}  # type: ignore[attr-defined]
    provider_calls = sum(number for (file, _, _), number in calls.items() if _is_of_provider(file))
    return {
        "cpu": meter.cpu / MEASURED_POKES,
        "calls": sum(calls.values()) / PROFILED_POKES,
        "provider_calls": provider_calls / PROFILED_POKES,
    }


def _is_of_provider(file: str) -> bool:
    return any(folder in file for folder in ("/airflow_provider_flowruns/", "/airflow/providers/"))


if __name__ == "__main__":
    print(json.dumps(_poke(*sys.argv[1:])))
