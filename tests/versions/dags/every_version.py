"""A DAG for every supported Airflow version: imports that exist in all of them, and every way to wait."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias, task

from airflow_provider_flowruns.notifications.flow_run import FlowRunNotifier
from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator, PortableRunFlowOperator
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor

with DAG(
    "every_version",
    schedule=None,
    params={"tableflow_run": "", "activepieces_run": "", "failing_flow": 1, "flow": 1, "alarm": ""},
):
    TableFlowFlowRunSensor(
        task_id="deferred",
        run_id="{{ params.tableflow_run }}",
        deferrable=True,
        poke_interval=1,
        timeout=300,
    )
    ActivepiecesFlowRunSensor(
        task_id="rescheduled",
        run_id="{{ params.activepieces_run }}",
        mode="reschedule",
        poke_interval=10,
        timeout=300,
    )
    PortableFlowSensor(
        task_id="failing",
        flow_id="{{ params.failing_flow }}",
        deferrable=True,
        poke_interval=1,
        timeout=300,
        on_failure_callback=FlowRunNotifier(
            service="activepieces", flow_id="{{ params.alarm }}", payload={"task": "{{ ti.task_id }}"}
        ),
    )
    started = PortableRunFlowOperator(
        task_id="started",
        flow_id="{{ params.flow }}",
        deferrable=True,
        poll_interval=1,
        timeout=300,
        outlets=[Asset("s3://every-version/table"), AssetAlias("every_version_flows")],
    )
    history = PortableGetRunAttemptsOperator(task_id="history", flow_id="{{ params.flow }}", limit=5)

    @task
    def read(run: dict[str, Any], attempts: list[dict[str, Any]]) -> bool:
        """Return whether the started run is the flow's only one, according to XCom."""
        return [attempt["run_id"] for attempt in attempts] == [run["run_id"]]

    started >> history
    read(started.output, history.output)
