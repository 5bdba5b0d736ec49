"""Measure reading 200,000 run attempts into a file of JSON lines, and compare it with a bare ``requests`` loop.

Both run in new processes, in turns, against the same TLS server. Throughput is compared as a ratio, memory as growth
since the start. Run by ``make bench``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ATTEMPTS = 200_000
PAGE_SIZE = 1_000
ROUNDS = 3
LATENCY_SECONDS = 0.05
#: The bounds.
MIN_THROUGHPUT_RATIO = 0.8
MAX_GROWTH_MEGABYTES = 64.0


def measure(latency: float = LATENCY_SECONDS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return medians as plain data: attempts per second, CPU seconds and memory growth of both, and the ratios.

    :param latency: seconds before each answer of the server.
    :param rounds: how often each of the two is run, in turns.
    """
    from benchmarks.history_server import run_history_server

    runs: dict[str, list[dict[str, float]]] = {"bare": [], "operator": []}
    with run_history_server(ATTEMPTS, latency) as (url, ca_file):
        for _ in range(rounds):
            for name, results in runs.items():
                results.append(_run_in_new_process(name, url, ca_file))
    figures = {
        name: {key: median(result[key] for result in results) for key in results[0]} for name, results in runs.items()
    }
    return {
        "attempts": ATTEMPTS,
        "page_size": PAGE_SIZE,
        "latency": latency,
        "rounds": rounds,
        **figures,
        "throughput_ratio": figures["bare"]["seconds"] / figures["operator"]["seconds"],
    }


def _run_in_new_process(name: str, url: str, ca_file: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "attempts.jsonl"
        environment = {**os.environ, "AIRFLOW_HOME": folder, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
        result = subprocess.run(
            [sys.executable, "-m", "benchmarks.history", name, url, ca_file, str(path)],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        with path.open("rb") as file:
            lines = sum(1 for _ in file)
    assert lines == ATTEMPTS, f"{name} wrote {lines} lines"
    return {key: float(value) for key, value in json.loads(result.stdout.splitlines()[-1]).items()}


def run_bare_loop(url: str, ca_file: str, path: str) -> dict[str, float]:
    """Read all pages with requests alone, and write each record as a line of JSON."""
    import requests

    from benchmarks.history_server import FLOW_ID

    with requests.Session() as session, Path(path).open("w", encoding="utf-8") as file:
        session.headers["Authorization"] = "Bearer a-made-up-token"
        usage = _Usage()
        offset = 0
        while True:
            query = {"limit": PAGE_SIZE, "offset": offset}
            page = session.get(f"{url}/v2/flows/{FLOW_ID}/run", params=query, verify=ca_file, timeout=30).json()
            for record in page["data"]:
                file.write(json.dumps(record) + "\n")
            if len(page["data"]) < PAGE_SIZE:
                return usage.get_difference()
            offset += PAGE_SIZE


def run_operator(url: str, ca_file: str, path: str) -> dict[str, float]:
    """Read all pages with the operator."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
    from benchmarks.history_server import FLOW_ID
    from tests.parity.modes import task_context

    ExecutorSafeguard.test_mode = True
    os.environ["AIRFLOW_CONN_PORTABLE_DEFAULT"] = json.dumps(
        {"conn_type": "portable", "host": url, "password": "a-made-up-token", "extra": {"verify": ca_file}}
    )

    def read(target: str, **arguments: Any) -> None:
        task = PortableGetRunAttemptsOperator(task_id="read", flow_id=FLOW_ID, output_path=target, **arguments)
        task.execute(task_context())

    read(f"{path}.one", limit=1)  # imports all modules and loads the connection
    usage = _Usage()
    read(path, fetch_all=True)
    return usage.get_difference()


class _Usage:
    def __init__(self) -> None:
        self._state = _get_memory_megabytes()
        self._cpu = time.process_time()
        self._started_at = time.perf_counter()

    def get_difference(self) -> dict[str, float]:
        return {
            "seconds": time.perf_counter() - self._started_at,
            "cpu_seconds": time.process_time() - self._cpu,
            "start_mb": self._state,
            "growth_mb": _get_peak_megabytes() - self._state,
        }


def _get_peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _get_memory_megabytes() -> float:
    """Return the current resident size in MB. The peak may already have been reached during an import."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1024 / 1024


def build_table(figures: dict[str, Any]) -> str:
    """Return the results of :func:`measure` as a Markdown table."""
    title = f"{figures['attempts']:,} attempts, {figures['page_size']} a page, TLS, {figures['latency'] * 1_000:g} ms"
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("attempts per second", lambda side: f"{figures['attempts'] / side['seconds']:,.0f}"),
        ("CPU seconds", lambda side: f"{side['cpu_seconds']:.2f}"),
        ("memory at the start", lambda side: f"{side['start_mb']:.0f} MB"),
        ("peak growth", lambda side: f"{side['growth_mb']:.1f} MB"),
    ]
    lines = [f"| {title} | operator | bare requests loop |", "|---|---|---|"]
    lines += [f"| {name} | {show(figures['operator'])} | {show(figures['bare'])} |" for name, show in rows]
    lines.append(f"| throughput, bare loop = 1 | {figures['throughput_ratio']:.2f} | 1 |")
    return "\n".join(lines)


def is_within_bounds(figures: dict[str, Any]) -> bool:
    """Return whether the figures are within their bounds."""
    return bool(
        figures["throughput_ratio"] >= MIN_THROUGHPUT_RATIO and figures["operator"]["growth_mb"] <= MAX_GROWTH_MEGABYTES
    )


def main() -> None:
    """Measure, or run one of the measured processes if the command line names it."""
    if len(sys.argv) > 1:
        name, *arguments = sys.argv[1:]
        print(json.dumps({"bare": run_bare_loop, "operator": run_operator}[name](*arguments)))
        return
    figures = measure()
    print(build_table(figures))
    raise SystemExit(0 if is_within_bounds(figures) else 1)


if __name__ == "__main__":
    main()
