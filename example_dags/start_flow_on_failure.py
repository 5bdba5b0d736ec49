"""Start an Activepieces flow, for example to alert people or open a ticket, when a task has failed."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_flowruns.notifications.flow_run import FlowRunNotifier
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor

with DAG(
    "start_flow_on_failure",
    schedule=None,
    params={"flow_id": 568102, "alarm_flow_id": "ApprovalPausing000001"},
    tags=["flowruns", "portable", "activepieces"],
    doc_md="""
### Start a flow when a task has failed

Waits for a Portable flow. If its run fails, the task fails, and its callback starts an Activepieces flow with the error
in the payload. The start is sent once; nothing waits for that run.
""",
):
    PortableFlowSensor(
        task_id="contacts_loaded",
        flow_id="{{ params.flow_id }}",
        deferrable=True,
        poke_interval=15,
        timeout=3600,
        on_failure_callback=FlowRunNotifier(
            service="activepieces",
            flow_id="{{ params.alarm_flow_id }}",
            payload={
                "task": "{{ ti.dag_id }}.{{ ti.task_id }}",
                "error": "{{ exception | default('the worker was lost') }}",
                "run": "{{ ti.xcom_pull(key='run_url') }}",
            },
        ),
    )
