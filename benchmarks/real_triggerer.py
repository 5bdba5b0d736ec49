"""Measure what deferred waits cost a real triggerer on PostgreSQL, beside as many of Airflow's own waits for a time.

Run by ``make bench-triggerer``; writes docs/benchmarks-triggerer.md. ``--quick`` measures few waits for a short time
and writes nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from benchmarks.candidates import CANDIDATES, CONN_ID
from benchmarks.polling_server import LATENCY_SECONDS, PollingServer, run_polling_server
from benchmarks.saved_waits import DATETIME, ENDING_SECONDS, INTERVAL_SECONDS, choose_end
from benchmarks.sections import Bound, Section, build_table
from benchmarks.triggerer_airflow import TRIGGERER, TriggererAirflow, run_triggerer_airflow
from tools.postgresql import PostgresServer

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks-triggerer.md"
#: The kinds of waits, Airflow's own first.
KINDS = (DATETIME, "portable", "portable_shared", "activepieces")
TITLES = {DATETIME: "Airflow's `DateTimeTrigger`"}
#: Seconds after the start of the last wait before measuring: every wait has polled once or twice by then.
SETTLING_SECONDS = 75.0
LOADING_TIMEOUT_SECONDS = 900.0
SPARE_CAPACITY = 500
#: Seconds within which every ended wait must have reached the database.
DELIVERY_SECONDS = 180.0

_TEXT = """\
Each line has a triggerer of its own, on PostgreSQL, with a polling interval of {interval:g} s, against a TLS server \
with {latency:.0f} ms latency in a separate process.

- CPU time, memory and requests are those of {seconds:g} s in which no wait starts or ends, of the triggerer's \
supervisor and of the process in which its triggers run together.
- The floor is the same number of Airflow's own waits for a time, which poll nothing.
- Stalls are warnings of Airflow that its event loop was blocked for more than 0.2 s.
- At the end, all runs end within {ending:g} s. The delay is that from the end of a run until Airflow may resume the \
task."""


@dataclass(frozen=True)
class Limits:
    """What a kind of waits may cost above Airflow's own waits: percent of one core, and bytes a wait."""

    core_percent: float
    memory: float = 6_144.0


#: With the most waits.
LIMITS = {"portable": Limits(5.0), "portable_shared": Limits(2.0), "activepieces": Limits(2.0)}


@dataclass(frozen=True)
class Figures:
    """The result of one measurement.

    :param cpu: CPU seconds a minute of all processes of the triggerer while no wait starts or ends.
    :param memory: unique set size of these processes in bytes.
    :param requests: requests to the service a minute.
    :param connections: TCP connections to the service since the start.
    :param stalls: number of warnings that the event loop was blocked.
    :param stalls_at_start: the same while the waits were loaded.
    :param loading: seconds until the triggerer had all waits.
    :param delay: median seconds from a run's end, or the awaited time, until Airflow may resume the task.
    :param longest_delay: the longest of them.
    """

    cpu: float
    memory: int
    requests: float
    connections: int
    stalls: int
    stalls_at_start: int
    loading: float
    delay: float
    longest_delay: float


def main() -> None:
    """Run the measurements, write the page unless ``--quick`` is set, and fail if a bound is exceeded."""
    parser = argparse.ArgumentParser(prog="make bench-triggerer", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure few waits for a short time, write nothing")
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 5_000, 10_000], help="numbers of waits")
    parser.add_argument("--seconds", type=float, default=600.0, help="duration of each measurement")
    arguments = parser.parse_args()
    counts, seconds = ([200], 60.0) if arguments.quick else (arguments.counts, arguments.seconds)
    results = measure_all(counts, seconds)
    section = build_section(results, seconds)
    text = f"{_build_head()}\n\n{section.to_markdown()}\n"
    print(text)
    if not arguments.quick:
        PAGE.write_text(text)
    sys.exit(0 if arguments.quick or all(bound.holds for bound in section.bounds) else 1)


def measure_all(counts: list[int], seconds: float) -> dict[tuple[str, int], Figures]:
    """Measure each kind with each number of waits."""
    results = {}
    with run_polling_server() as server, PostgresServer() as database:
        trusted = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), server.ca_file)
        with run_triggerer_airflow(database, max(counts) + SPARE_CAPACITY, trusted) as airflow:
            for count in counts:
                for kind in KINDS:
                    print(f"measuring {count:,} waits: {kind} ...", flush=True)
                    results[kind, count] = figures = _measure(airflow, server, kind, count, seconds)
                    print(f"  {figures}", flush=True)
    return results


def _measure(airflow: TriggererAirflow, server: PollingServer, kind: str, count: int, seconds: float) -> Figures:
    keys = [str(number) for number in range(count)]
    if kind != DATETIME:
        keys = CANDIDATES[kind].list_keys(count)
        airflow.set_connection(CONN_ID, CANDIDATES[kind].connection(f"127.0.0.1:{server.port}"))
    server.reset(list(dict.fromkeys(keys)))
    # Airflow's own waits are saved with their end: time enough to load them all, to settle and to measure.
    end_at = time.time() + 60.0 + count / 25 + SETTLING_SECONDS + seconds
    airflow.save_waits(kind, count, end_at)
    before = airflow.count_stalls()
    airflow.start(TRIGGERER)
    try:
        loading = _load_waits(airflow, count)
        loaded = airflow.count_stalls()
        cpu, memory, requests = _measure_steady_state(airflow, server, seconds)
        ends = _end_runs(server, keys, end_at)
        delays = _measure_delays(airflow, ends)
        return Figures(
            cpu=cpu,
            memory=memory,
            requests=requests,
            connections=server.get_counts().connections,
            stalls=airflow.count_stalls() - loaded,
            stalls_at_start=loaded - before,
            loading=loading,
            delay=median(delays),
            longest_delay=max(delays),
        )
    finally:
        airflow.kill(TRIGGERER)


def _load_waits(airflow: TriggererAirflow, count: int) -> float:
    """Wait until all waits have polled, and return the seconds until the triggerer had them."""
    started_at = time.monotonic()
    airflow.wait_for("all waits to be loaded", lambda: airflow.count_loaded() >= count, LOADING_TIMEOUT_SECONDS)
    loading = time.monotonic() - started_at
    time.sleep(SETTLING_SECONDS)
    return loading


def _measure_steady_state(airflow: TriggererAirflow, server: PollingServer, seconds: float) -> tuple[float, int, float]:
    """Return CPU seconds a minute, unique set size in bytes, and requests a minute."""
    processes = [psutil.Process(pid) for pid in airflow.list_process_ids(TRIGGERER)]
    counts, cpu, started_at = server.get_counts(), _sum_cpu(processes), time.monotonic()
    time.sleep(seconds)
    minutes = (time.monotonic() - started_at) / 60
    cpu_per_minute = (_sum_cpu(processes) - cpu) / minutes
    requests_per_minute = server.get_counts().since(counts).requests / minutes
    return cpu_per_minute, sum(process.memory_full_info().uss for process in processes), requests_per_minute


def _measure_delays(airflow: TriggererAirflow, ends: dict[int, float]) -> list[float]:
    """Wait until all waits have ended, and return the seconds from each end until the task may resume."""
    timeout = max(ends.values()) - time.time() + DELIVERY_SECONDS
    airflow.wait_for("all tasks to resume", lambda: airflow.count_resumed() == len(ends), timeout)
    resumed = airflow.fetch_resumed()
    return [resumed[number] - at for number, at in ends.items()]


def _end_runs(server: PollingServer, keys: list[str], end_at: float) -> dict[int, float]:
    """End all runs as Airflow's own waits end, and return the time of each wait's end as Unix time."""
    targets = list(dict.fromkeys(keys))
    ends = {key: max(end_at, time.time()) + choose_end(number, len(targets)) for number, key in enumerate(targets)}
    offset = time.monotonic() - time.time()
    server.end_runs({key: at + offset for key, at in ends.items()})
    return {number: ends[key] for number, key in enumerate(keys)}


def _sum_cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def build_section(results: dict[tuple[str, int], Figures], seconds: float) -> Section:
    """Return the table and the bounds."""
    columns = (
        "waits",
        "kind",
        "CPU s a minute",
        "above the floor, % of a core",
        "memory, MiB",
        "above the floor, KB a wait",
        "requests a minute",
        "connections",
        "stalls while loading",
        "stalls after",
        "loaded in",
        "end to resumption",
        "the longest",
    )
    rows = [_build_row(results, kind, count) for kind, count in results]
    most = max(count for _, count in results)
    bounds = [bound for kind in LIMITS for bound in _build_bounds(results, kind, most)]
    text = _TEXT.format(
        interval=INTERVAL_SECONDS, latency=LATENCY_SECONDS * 1_000, seconds=seconds, ending=ENDING_SECONDS
    )
    return Section("What do deferred waits cost a real triggerer?", text, build_table(columns, rows), bounds)


def _build_row(results: dict[tuple[str, int], Figures], kind: str, count: int) -> list[str]:
    figures = results[kind, count]
    is_floor = kind == DATETIME
    return [
        f"{count:,}",
        TITLES.get(kind) or CANDIDATES[kind].title,
        f"{figures.cpu:.2f}",
        "" if is_floor else f"{_get_core_percent(results, kind, count):.2f}",
        f"{figures.memory / 2**20:.0f}",
        "" if is_floor else f"{_get_memory_per_wait(results, kind, count) / 1024:.1f}",
        f"{figures.requests:,.0f}",
        str(figures.connections),
        str(figures.stalls_at_start),
        str(figures.stalls),
        f"{figures.loading:.0f} s",
        f"{figures.delay:.1f} s",
        f"{figures.longest_delay:.1f} s",
    ]


def _get_core_percent(results: dict[tuple[str, int], Figures], kind: str, count: int) -> float:
    return (results[kind, count].cpu - results[DATETIME, count].cpu) / 60 * 100


def _get_memory_per_wait(results: dict[tuple[str, int], Figures], kind: str, count: int) -> float:
    return (results[kind, count].memory - results[DATETIME, count].memory) / count


def _build_bounds(results: dict[tuple[str, int], Figures], kind: str, count: int) -> list[Bound]:
    title, limits = CANDIDATES[kind].title, LIMITS[kind]
    more_stalls = max(0, results[kind, count].stalls - results[DATETIME, count].stalls)
    return [
        Bound(
            f"{count:,} waits, {title}: percent of one core above the floor",
            _get_core_percent(results, kind, count),
            limits.core_percent,
        ),
        Bound("the same: bytes a wait above the floor", _get_memory_per_wait(results, kind, count), limits.memory),
        Bound("the same: more stalls than the floor", more_stalls, 0),
    ]


def _build_head() -> str:
    return f"""# Benchmarks in a real triggerer

Written by `make bench-triggerer` on {datetime.now(UTC):%Y-%m-%d}, Airflow {version("apache-airflow")}, Python \
{platform.python_version()}, {os.cpu_count()} cores."""


if __name__ == "__main__":
    main()
