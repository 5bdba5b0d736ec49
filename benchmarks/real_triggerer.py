"""Measure what deferred waits cost a real triggerer on PostgreSQL, beside as many of Airflow's own waits for a time.

Run by ``make bench-triggerer``; writes docs/benchmarks-triggerer.md, which keeps the figures for numbers of waits that
were measured earlier. ``--quick`` measures few waits for a short time and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil

from benchmarks.candidates import CANDIDATES, CONN_ID
from benchmarks.polling_server import PollingServer, run_polling_server
from benchmarks.saved_waits import DATETIME, choose_end
from benchmarks.triggerer_airflow import TRIGGERER, TriggererAirflow, run_triggerer_airflow
from benchmarks.triggerer_report import Figures, Steady, build_head, build_section, read_results, write_results
from tools.postgresql import PostgresServer

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks-triggerer.md"
STORED_FIGURES = Path(__file__).with_name("triggerer_figures.json")
#: The kinds of waits, Airflow's own first.
KINDS = (DATETIME, "portable", "portable_shared", "activepieces")
#: Seconds after the start of the last wait before measuring: every wait has polled once or twice by then.
SETTLING_SECONDS = 75.0
LOADING_TIMEOUT_SECONDS = 1_800.0
SPARE_CAPACITY = 500
#: Airflow's own wait logs two lines when it starts, of which the triggerer passes on a few dozen a second: with ten
#: thousand waits it would not do anything else for minutes.
QUIET_FLOOR = {"AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow.providers.standard.triggers.temporal=WARNING"}
#: Number of parts of a measurement: their differences show how far a figure can be trusted.
PARTS = 5
#: Seconds within which every ended wait must have reached the database.
DELIVERY_SECONDS = 900.0


def main() -> None:
    """Run the measurements, write the page unless ``--quick`` is set, and fail if a bound is exceeded."""
    parser = argparse.ArgumentParser(prog="make bench-triggerer", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure few waits for a short time, write nothing")
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 5_000, 10_000], help="numbers of waits")
    parser.add_argument("--seconds", type=float, default=600.0, help="duration of each measurement")
    arguments = parser.parse_args()
    counts, seconds = ([200], 60.0) if arguments.quick else (arguments.counts, arguments.seconds)
    results = {} if arguments.quick else read_results(STORED_FIGURES)
    for figures in measure_all(counts, seconds):
        results |= figures
        if not arguments.quick:
            write_results(STORED_FIGURES, results)
    section = build_section(results)
    text = f"{build_head()}\n\n{section.to_markdown()}\n"
    print(text)
    if not arguments.quick:
        PAGE.write_text(text)
    sys.exit(0 if arguments.quick or all(bound.holds for bound in section.bounds) else 1)


def measure_all(counts: list[int], seconds: float) -> Iterator[dict[tuple[str, int], Figures]]:
    """Measure each kind with each number of waits, and yield the figures for each number."""
    with run_polling_server() as server, PostgresServer() as database:
        env = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), server.ca_file) | QUIET_FLOOR
        with run_triggerer_airflow(database, max(counts) + SPARE_CAPACITY, env) as airflow:
            for count in counts:
                results = {}
                for kind in KINDS:
                    print(f"measuring {count:,} waits: {kind} ...", flush=True)
                    results[kind, count] = figures = _measure(airflow, server, kind, count, seconds)
                    print(f"  {figures}", flush=True)
                yield results


def _measure(airflow: TriggererAirflow, server: PollingServer, kind: str, count: int, seconds: float) -> Figures:
    keys = [str(number) for number in range(count)]
    if kind != DATETIME:
        keys = CANDIDATES[kind].list_keys(count)
        airflow.set_connection(CONN_ID, CANDIDATES[kind].connection(f"127.0.0.1:{server.port}"))
    server.reset(list(dict.fromkeys(keys)))
    # Airflow's own waits are saved with their end: time enough to load them all, to settle and to measure.
    end_at = time.time() + 60.0 + count / 40 + SETTLING_SECONDS + seconds
    airflow.save_waits(kind, count, end_at)
    before = airflow.count_stalls()
    airflow.start(TRIGGERER)
    try:
        loading = _load_waits(airflow, count)
        loaded = airflow.count_stalls()
        steady = _measure_steady_state(airflow, server, seconds)
        measured = airflow.count_stalls()
        print(f"  {steady}", flush=True)
        ends = _end_runs(server, keys, end_at if kind == DATETIME else time.time())
        delays = _measure_delays(airflow, ends)
        return Figures(
            **steady,
            connections=server.get_counts().connections,
            stalls_at_start=loaded - before,
            stalls=measured - loaded,
            stalls_at_end=airflow.count_stalls() - measured,
            loading=loading,
            delay=median(delays),
            longest_delay=max(delays),
        )
    finally:
        airflow.kill(TRIGGERER)


def _load_waits(airflow: TriggererAirflow, count: int) -> float:
    """Wait until all waits have polled, and return the seconds until the triggerer ran them, to the minute."""
    started_at = time.monotonic()
    airflow.wait_for("all waits to be loaded", lambda: airflow.count_running() >= count, LOADING_TIMEOUT_SECONDS)
    loading = time.monotonic() - started_at
    time.sleep(SETTLING_SECONDS)
    return loading


def _measure_steady_state(airflow: TriggererAirflow, server: PollingServer, seconds: float) -> Steady:
    """Measure for a time in which no wait starts or ends."""
    runner, supervisor = airflow.get_runner(), airflow.get_supervisor()
    counts, started_at, supervisor_cpu = server.get_counts(), time.monotonic(), _get_cpu(supervisor)
    cpu, memory = [], []
    for _ in range(PARTS):
        cpu.append(_measure_cpu_per_minute(runner, seconds / PARTS))
        memory.append(runner.memory_full_info().uss)
    minutes = (time.monotonic() - started_at) / 60
    return {
        "seconds": seconds,
        "cpu": cpu,
        "supervisor_cpu": (_get_cpu(supervisor) - supervisor_cpu) / minutes,
        "memory": memory,
        "supervisor_memory": supervisor.memory_full_info().uss,
        "requests": server.get_counts().since(counts).requests / minutes,
    }


def _measure_cpu_per_minute(process: psutil.Process, seconds: float) -> float:
    cpu, started_at = _get_cpu(process), time.monotonic()
    time.sleep(seconds)
    return (_get_cpu(process) - cpu) / (time.monotonic() - started_at) * 60


def _measure_delays(airflow: TriggererAirflow, ends: dict[int, float]) -> list[float]:
    """Wait until all waits have ended, and return the seconds from each end until the task may resume."""
    timeout = max(ends.values()) - time.time() + DELIVERY_SECONDS
    airflow.wait_for("all tasks to resume", lambda: airflow.count_resumed() == len(ends), timeout)
    resumed = airflow.fetch_resumed()
    return [resumed[number] - at for number, at in ends.items()]


def _end_runs(server: PollingServer, keys: list[str], end_at: float) -> dict[int, float]:
    """End all runs from a time on as Airflow's own waits end, and return when each wait ends, all as Unix time."""
    targets = list(dict.fromkeys(keys))
    ends = {key: end_at + choose_end(number, len(targets)) for number, key in enumerate(targets)}
    offset = time.monotonic() - time.time()
    server.end_runs({key: at + offset for key, at in ends.items()})
    return {number: ends[key] for number, key in enumerate(keys)}


def _get_cpu(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


if __name__ == "__main__":
    main()
