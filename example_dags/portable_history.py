"""Read the history of a Portable flow."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor

with DAG(
    "portable_history",
    schedule=None,
    params={"flow_id": 568101, "archive": (Path(tempfile.gettempdir()) / "flowruns-archive").as_uri()},
    tags=["flowruns", "portable"],
    doc_md="""
### History of a Portable flow

Finds the flow's newest run attempt, waits until it has ended, and then reads all attempts of the last day, so that the
history includes the result of the newest one. It also writes the complete history to a file: `archive` may be a folder
on any storage that Airflow's object storage supports, such as `s3://aws_default@bucket/portable`. Finally, it reads the
flow's status with the hook.
""",
):
    newest = PortableGetRunAttemptsOperator(task_id="newest", flow_id="{{ params.flow_id }}", limit=1)

    # --8<-- [start:history]
    ended = PortableFlowRunSensor(
        task_id="ended",
        flow_id="{{ params.flow_id }}",
        run_id="{{ ti.xcom_pull('newest')[0]['run_id'] }}",
        deferrable=True,
        poke_interval=15,
        timeout=3600,
    )

    attempts = PortableGetRunAttemptsOperator(
        task_id="attempts",
        flow_id="{{ params.flow_id }}",
        start_time="{{ (dag_run.run_after - macros.timedelta(days=1)).isoformat() }}",
        sort="DESC",
        limit=100,
    )
    # --8<-- [end:history]

    @task(multiple_outputs=False)
    def count_by_disposition(attempts: list[dict[str, Any]]) -> dict[str, int]:
        """Count the attempts by disposition."""
        counts: dict[str, int] = {}
        for attempt in attempts:
            counts[attempt["disposition"]] = counts.get(attempt["disposition"], 0) + 1
        return counts

    archive = PortableGetRunAttemptsOperator(
        task_id="archive",
        flow_id="{{ params.flow_id }}",
        fetch_all=True,
        output_path="{{ params.archive }}/{{ params.flow_id }}/{{ run_id }}.jsonl",
    )

    @task
    def rows_loaded(manifest: dict[str, Any]) -> int:
        """Add up the rows loaded by all attempts, reading the file line by line."""
        with ObjectStoragePath(manifest["path"]).open("rb") as lines:
            runs = map(json.loads, lines)
            return sum(run["rows"]["loaded"] for run in runs if run["rows"])

    @task
    def last_disposition(flow_id: str) -> str:
        """Return how the flow's last run ended, as the status of the flow says; the hook has a method for each call."""
        with PortableHook() as hook:
            return str(hook.get_flow_status(flow_id).disposition)

    newest >> ended >> [attempts, archive, last_disposition("{{ params.flow_id }}")]
    rows_loaded(archive.output)
    count_by_disposition(attempts.output)
