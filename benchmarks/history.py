"""Measure reading 200,000 run attempts into a file of JSON lines, and compare it with a bare ``requests`` loop.

``python -m benchmarks.history SIDE URL CA_FILE PATH`` runs one side.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.comparison import Comparison, Usage, Used, run_in_turns
from benchmarks.sections import Section

ATTEMPTS = 200_000
PAGE_SIZE = 1_000
LATENCY_SECONDS = 0.05

_TEXT = """\
The operator and a loop of bare `requests` calls read all attempts of a flow, {page:,} a page, from a TLS server with \
{latency:g} ms latency, and write each as a line of JSON. Both in new processes, in turns; medians."""


def build_sections(quick: bool) -> list[Section]:
    """Measure and return the section. ``quick`` reads a tenth of the attempts, and bounds no throughput."""
    from benchmarks.history_server import build_routes
    from benchmarks.process_server import run_server_process

    attempts = ATTEMPTS // 10 if quick else ATTEMPTS
    with run_server_process(partial(build_routes, attempts), LATENCY_SECONDS) as address:
        turns = run_in_turns("benchmarks.history", {"operator": "operator", "bare": "bare"}, address, attempts)
    comparison = Comparison(f"{attempts:,} attempts to JSON lines", "attempts", attempts, **turns)
    bounds = comparison.build_bounds() + ([] if quick else [comparison.build_throughput_bound()])
    text = _TEXT.format(page=PAGE_SIZE, latency=LATENCY_SECONDS * 1_000)
    return [Section("What does reading history cost?", text, comparison.build_table(), bounds)]


def run_bare_loop(url: str, ca_file: str, path: str) -> Used:
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


def run_operator(url: str, ca_file: str, path: str) -> Used:
    """Read all pages with the operator."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
    from airflow_provider_flowruns.testing.task_modes import task_context
    from benchmarks.history_server import FLOW_ID

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


PROGRAMS = {"bare": run_bare_loop, "operator": run_operator}

if __name__ == "__main__":
    print(json.dumps(PROGRAMS[sys.argv[1]](*sys.argv[2:])))
