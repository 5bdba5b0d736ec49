"""A Portable flow that fails: the sensor fails with Portable's own error text."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG(
    "portable_failed_run",
    schedule=None,
    params={"flow_id": 568102},
    tags=["flowruns", "portable"],
    doc_md="""
### A run that fails

The flow's next run fails, and so does the sensor, with the error text from Portable. The report is not built, because
its data did not arrive. **This DAG is expected to fail.**
""",
):
    # --8<-- [start:wait]
    contacts_loaded = PortableFlowSensor(
        task_id="contacts_loaded",
        flow_id="{{ params.flow_id }}",
        completed_after="auto",
        deferrable=True,
        poke_interval=15,
        timeout=3600,
    )

    @task
    def build_report() -> None:
        """Represent the work that needs the data."""

    contacts_loaded >> build_report()
    # --8<-- [end:wait]
