"""Measure reading 200,000 run attempts into a file of JSON lines, and compare it with a bare ``requests`` loop.

Run by ``make bench``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.comparison import Comparison, Usage, count_lines, run_in_turns

ATTEMPTS = 200_000
PAGE_SIZE = 1_000
LATENCY_SECONDS = 0.05


def measure() -> Comparison:
    """Measure both."""
    from benchmarks.history_server import build_routes
    from benchmarks.process_server import run_server_process

    with run_server_process(build_routes, LATENCY_SECONDS) as address:
        sides = run_in_turns(
            "benchmarks.history", {"bare": "bare", "operator": "operator"}, [*address], count_lines, ATTEMPTS
        )
    title = f"{ATTEMPTS:,} attempts, {PAGE_SIZE} a page, TLS, {LATENCY_SECONDS * 1_000:g} ms"
    return Comparison(title, "attempts", ATTEMPTS, sides)


def run_bare_loop(url: str, ca_file: str, path: str) -> dict[str, float]:
    """Read all pages with requests alone, and write each record as a line of JSON."""
    import requests

    from benchmarks.history_server import FLOW_ID

    with requests.Session() as session, Path(path).open("w", encoding="utf-8") as file:
        session.headers["Authorization"] = "Bearer a-made-up-token"
        usage = Usage()
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
    from tools.task_modes import task_context

    ExecutorSafeguard.test_mode = True
    os.environ["AIRFLOW_CONN_PORTABLE_DEFAULT"] = json.dumps(
        {"conn_type": "portable", "host": url, "password": "a-made-up-token", "extra": {"verify": ca_file}}
    )

    def read(target: str, **arguments: Any) -> None:
        task = PortableGetRunAttemptsOperator(task_id="read", flow_id=FLOW_ID, output_path=target, **arguments)
        task.execute(task_context())

    read(f"{path}.one", limit=1)  # imports all modules and loads the connection
    usage = Usage()
    read(path, fetch_all=True)
    return usage.get_difference()


def main() -> None:
    """Measure, or run one of the measured processes if the command line names it."""
    if len(sys.argv) > 1:
        name, *arguments = sys.argv[1:]
        print(json.dumps({"bare": run_bare_loop, "operator": run_operator}[name](*arguments)))
        return
    comparison = measure()
    print(comparison.build_table())
    raise SystemExit(0 if comparison.is_within_bounds else 1)


if __name__ == "__main__":
    main()
