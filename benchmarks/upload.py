"""Measure the memory of a task process that uploads 200 MB. Files are streamed, so the memory hardly grows."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.bounds import Bound, Figure
from benchmarks.comparison import MAX_MEMORY_RATIO, MEMORY_SLACK, Usage, Used
from benchmarks.programs import run_in_new_process
from benchmarks.sections import Section, build_table

MEGABYTE = 1024 * 1024
FILE_SIZE = 200 * MEGABYTE
TURNS = 3

_TEXT = "A task uploads a file of {size} MB to the sandbox, in a new process each of {turns} times; medians."


def build_sections(quick: bool) -> list[Section]:
    """Measure and return the section. ``quick`` makes no difference."""
    print("measuring uploads ...", flush=True)
    turns: list[Used] = [run_in_new_process("benchmarks.upload") for _ in range(TURNS)]
    rows = [
        ("memory at the start", f"{median(used['start_mb'] for used in turns):.0f} MB"),
        ("peak growth", f"{median(used['peak_mb'] - used['start_mb'] for used in turns):.1f} MB"),
    ]
    size = FILE_SIZE // MEGABYTE
    memory = Figure.from_turns([used["peak_mb"] / used["start_mb"] for used in turns])
    description = f"upload of {size} MB: peak memory, relative to the start"
    bound = Bound(description, memory, MAX_MEMORY_RATIO, slack=MEMORY_SLACK)
    text = _TEXT.format(size=size, turns=TURNS)
    return [
        Section(
            "How much memory does an upload use?", text, build_table((f"upload of {size} MB", "figure"), rows), [bound]
        )
    ]


def upload() -> Used:
    """Upload the file from this process."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
    from airflow_provider_flowruns.testing.task_modes import task_context
    from benchmarks.server import run_sandbox_process

    ExecutorSafeguard.test_mode = True
    with tempfile.TemporaryDirectory() as folder, run_sandbox_process("tableflow", 1, 1.0, latency=0.0) as sandbox:
        large, small = Path(folder) / "large.pdf", Path(folder) / "small.pdf"
        with large.open("wb") as file:
            file.truncate(FILE_SIZE)
        small.write_bytes(b"%PDF")
        os.environ["AIRFLOW_CONN_TABLEFLOW_DEFAULT"] = sandbox.build_connection_with_ca()

        def run(path: Path) -> None:
            files = {"document": str(path)}
            operator = TableFlowRunFlowOperator(task_id="upload", flow_id=sandbox.flow_id, files=files, wait=False)
            operator.execute(task_context())

        run(small)  # imports all modules and opens the connection
        usage = Usage()
        run(large)
        assert sandbox.get_uploaded_bytes() >= FILE_SIZE
        return usage.get_difference()


if __name__ == "__main__":
    print(json.dumps(upload()))
