"""Measure the memory of a task process that uploads 200 MB. Files are streamed, so the memory hardly grows.

Run by ``make bench``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.comparison import get_peak_megabytes

MEGABYTE = 1024 * 1024
FILE_SIZE = 200 * MEGABYTE


def main() -> None:
    """Measure one upload and print its figures."""
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="flowruns-bench-"))
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"

    from airflow.sdk.bases.operator import ExecutorSafeguard

    from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
    from benchmarks.server import run_sandbox_process
    from tools.task_modes import task_context

    ExecutorSafeguard.test_mode = True
    with tempfile.TemporaryDirectory() as folder, run_sandbox_process("tableflow", 1, 1.0, latency=0.0) as sandbox:
        path = Path(folder) / "large.pdf"
        with path.open("wb") as file:
            file.truncate(FILE_SIZE)
        small = Path(folder) / "small.pdf"
        small.write_bytes(b"%PDF")
        os.environ["AIRFLOW_CONN_TABLEFLOW_DEFAULT"] = sandbox.build_connection_with_ca()

        def upload(file: Path) -> None:
            operator = TableFlowRunFlowOperator(
                task_id="upload",
                flow_id=sandbox.flow_id,
                files={"document": str(file)},
                wait=False,
            )
            operator.execute(task_context())

        upload(small)  # imports all modules and opens the connection
        start = get_peak_megabytes()
        upload(path)
        growth = get_peak_megabytes() - start
        received = sandbox.get_uploaded_bytes()

    print(f"| upload of {FILE_SIZE // MEGABYTE} MB | figure |")
    print("|---|---|")
    print(f"| task process before | {start:.0f} MB |")
    print(f"| peak growth | {growth:.1f} MB |")
    print(f"| received by the server | {received / MEGABYTE:.1f} MB |")
    raise SystemExit(0 if growth < 100 and received >= FILE_SIZE else 1)


if __name__ == "__main__":
    main()
