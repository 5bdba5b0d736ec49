"""Measure writing the 200,000 rows of a TableFlow table, as JSON lines and as CSV, beside bare ``requests`` loops.

``python -m benchmarks.table_rows SIDE URL CA_FILE PATH`` runs one side.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.comparison import Comparison, Usage, Used, run_in_turns
from benchmarks.sections import Section

ROWS = 200_000
PAGE_SIZE = 1_000
LATENCY_SECONDS = 0.05
EXTRACTION_ID = "Ex1tractBench001"
TABLE = "line_items"
COLUMNS = ("description", "quantity", "unit_price", "amount")
CHUNK_BYTES = 64 * 1024

_TEXT = """\
The operators and loops of bare `requests` calls read the rows of a TableFlow table, as JSON in pages of {page:,} and \
as CSV in one response, from a TLS server with {latency:g} ms latency, and write them to a file. Both read the \
extraction first, which says whether the document has been processed and how many rows there are. In new processes, in \
turns; medians."""


def build_sections(quick: bool) -> list[Section]:
    """Measure both formats and return the section.

    ``quick`` reads a tenth of the rows, as JSON lines only, and bounds no throughput.
    """
    from benchmarks.process_server import run_server_process
    from benchmarks.table_rows_server import build_routes

    rows = ROWS // 10 if quick else ROWS
    with run_server_process(partial(build_routes, rows), LATENCY_SECONDS) as address:
        lines = _run_both("lines", address, rows)
        comparisons = [Comparison(f"{rows:,} rows to JSON lines", "rows", rows, **lines)]
        if not quick:
            comparisons.append(Comparison(f"{rows:,} rows to CSV", "rows", rows, **_run_both("csv", address, rows + 1)))
    text = _TEXT.format(page=PAGE_SIZE, latency=LATENCY_SECONDS * 1_000)
    tables = "\n\n".join(comparison.build_table() for comparison in comparisons)
    bounds = [bound for comparison in comparisons for bound in comparison.build_bounds()]
    bounds += [] if quick else [comparison.build_throughput_bound() for comparison in comparisons]
    return [Section("What does writing a table cost?", text, tables, bounds)]


def _run_both(name: str, address: Sequence[str], lines: int) -> dict[str, list[Used]]:
    names = {"operator": f"operator_{name}", "bare": f"bare_{name}"}
    return run_in_turns("benchmarks.table_rows", names, address, lines)


def read_lines_bare(url: str, ca_file: str, path: str) -> Used:
    """Read all pages with requests alone, and write the values of each row as a line of JSON."""
    import requests

    address = f"{url}/v2/extractions/{EXTRACTION_ID}/tables/{TABLE}/rows"
    with requests.Session() as session, Path(path).open("w", encoding="utf-8") as file:
        session.headers["Authorization"] = "Bearer a-made-up-token"
        usage = Usage()
        session.get(f"{url}/v2/extractions/{EXTRACTION_ID}", verify=ca_file, timeout=30).json()
        offset: int | None = 0
        while offset is not None:
            query = {"limit": PAGE_SIZE, "offset": offset}
            page = session.get(address, params=query, verify=ca_file, timeout=30).json()
            for row in page["rows"]:
                file.write(json.dumps(row["values"]) + "\n")
            offset = page["pagination"]["next_offset"]
        return usage.get_difference()


def read_csv_bare(url: str, ca_file: str, path: str) -> Used:
    """Download the table with requests alone."""
    import requests

    address = f"{url}/v2/extractions/{EXTRACTION_ID}/tables/{TABLE}/download"
    with requests.Session() as session, Path(path).open("wb") as file:
        session.headers["Authorization"] = "Bearer a-made-up-token"
        usage = Usage()
        session.get(f"{url}/v2/extractions/{EXTRACTION_ID}", verify=ca_file, timeout=30).json()
        with session.get(address, verify=ca_file, timeout=30, stream=True) as response:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
        return usage.get_difference()


def read_lines(url: str, ca_file: str, path: str) -> Used:
    """Read all pages with the operator."""
    from airflow_provider_flowruns.operators.tableflow import TableFlowGetTableRowsOperator

    return _run_operator(TableFlowGetTableRowsOperator, url, ca_file, path)


def read_csv(url: str, ca_file: str, path: str) -> Used:
    """Download the table with the operator."""
    from airflow_provider_flowruns.operators.tableflow import TableFlowDownloadTableOperator

    return _run_operator(TableFlowDownloadTableOperator, url, ca_file, path)


def _run_operator(operator: type, url: str, ca_file: str, path: str) -> Used:
    from airflow.sdk.bases.operator import ExecutorSafeguard

    from airflow_provider_flowruns.hooks.tableflow import TableFlowHook
    from airflow_provider_flowruns.testing.task_modes import task_context

    ExecutorSafeguard.test_mode = True
    os.environ["AIRFLOW_CONN_TABLEFLOW_DEFAULT"] = json.dumps(
        {"conn_type": "tableflow", "host": url, "password": "a-made-up-token", "extra": {"verify": ca_file}}
    )
    TableFlowHook().get_extraction(EXTRACTION_ID)  # imports all modules and loads the connection
    task = operator(task_id="read", extraction_id=EXTRACTION_ID, table=TABLE, output_path=path)
    usage = Usage()
    task.execute(task_context())
    return usage.get_difference()


PROGRAMS = {
    "bare_lines": read_lines_bare,
    "operator_lines": read_lines,
    "bare_csv": read_csv_bare,
    "operator_csv": read_csv,
}


if __name__ == "__main__":
    print(json.dumps(PROGRAMS[sys.argv[1]](*sys.argv[2:])))
