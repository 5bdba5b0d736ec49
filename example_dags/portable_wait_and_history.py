"""Wait for a Portable flow, then evaluate the load and its history."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG(
    "portable_wait_and_history",
    schedule=None,
    params={"flow_id": 568101},
    tags=["flowruns", "portable"],
    doc_md="""
### Wait for a Portable flow, then read its history

Waits in the triggerer for a run of the flow that ends after this DAG run was due, reads the flow's newest run attempts,
and computes from XCom the number of rows that the run loaded and the attempts' success rate.
""",
):
    # --8<-- [start:wait]
    loaded = PortableFlowSensor(
        task_id="loaded",
        flow_id="{{ params.flow_id }}",
        completed_after="auto",
        deferrable=True,
        poke_interval=15,
        timeout=3600,
    )

    attempts = PortableGetRunAttemptsOperator(task_id="attempts", flow_id="{{ params.flow_id }}", limit=20)
    # --8<-- [end:wait]

    # --8<-- [start:use]
    @task(multiple_outputs=False)
    def judge(run: dict[str, Any], attempts: list[dict[str, Any]]) -> dict[str, float]:
        """Return the number of rows that the run loaded, and the success rate of the attempts."""
        succeeded = [attempt for attempt in attempts if attempt["disposition"] == "SUCCEEDED"]
        return {
            "rows_loaded": sum(resource["loaded"] for resource in run["resources"]),
            "success_rate": len(succeeded) / len(attempts),
        }

    loaded >> attempts
    judge(loaded.output, attempts.output)
    # --8<-- [end:use]
