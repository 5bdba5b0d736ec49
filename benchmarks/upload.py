"""
Memory of a task process while it uploads 200 MB: files are streamed, so it stays near its start size.

Run by ``make bench``.
"""

from __future__ import annotations

import os
import resource
import tempfile
from pathlib import Path

MEGABYTE = 1024 * 1024
SIZE = 200 * MEGABYTE


def peak() -> float:
    """Return the largest resident size so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure one upload and print its figures."""
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="flowruns-bench-"))
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"

    from airflow.sdk.bases.operator import ExecutorSafeguard

    from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
    from benchmarks.server import sandbox_process
    from tests.parity.modes import task_context

    ExecutorSafeguard.test_mode = True
    with tempfile.TemporaryDirectory() as folder, sandbox_process("tableflow", 1, 1.0, latency=0.0) as sandbox:
        path = Path(folder) / "large.pdf"
        with path.open("wb") as file:
            file.truncate(SIZE)
        small = Path(folder) / "small.pdf"
        small.write_bytes(b"%PDF")
        os.environ["AIRFLOW_CONN_TABLEFLOW_DEFAULT"] = sandbox.connection_with_ca()

        def upload(file: Path) -> None:
            operator = TableFlowRunFlowOperator(
                task_id="upload",
                flow_id=sandbox.flow_id,
                files={"document": str(file)},
                wait=False,
            )
            operator.execute(task_context())

        upload(small)  # everything is imported and connected by now
        start = peak()
        upload(path)
        grown = peak() - start
        arrived = sandbox.bytes_uploaded()

    print(f"| upload of {SIZE // MEGABYTE} MB | figure |")
    print("|---|---|")
    print(f"| task process before | {start:.0f} MB |")
    print(f"| growth at its peak | {grown:.1f} MB |")
    print(f"| arrived at the server | {arrived / MEGABYTE:.1f} MB |")
    raise SystemExit(0 if grown < 100 and arrived >= SIZE else 1)


if __name__ == "__main__":
    main()
