"""Tasks with links, asset events and lineage of their runs, and flows that are started by callbacks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.openlineage.utils.selective_enable import enable_lineage
from airflow.sdk import DAG, Asset, AssetAlias, AsyncCallback, DeadlineAlert, DeadlineReference, task

from airflow_provider_flowruns.notifications.flow_run import FlowRunNotifier
from airflow_provider_flowruns.operators.activepieces import ActivepiecesGetFlowRunOperator, ActivepiecesRunFlowOperator
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor

#: The flow that a missed deadline starts. The callback has no access to the DAG run's conf.
ALARM_FLOW_ID = "DeadlineAlarmFlow0001"

WAITING = ("deferred", "rescheduled", "failing", "deferred_failing")
PARAMS = ("sync", "mapped", "alarm", *WAITING, *(f"{name}_run" for name in WAITING))

TABLE, FLOWS = Asset("ui_artifacts_table"), AssetAlias("ui_artifacts_flows")

with DAG(
    "ui_artifacts",
    schedule=None,
    params=dict.fromkeys(PARAMS, ""),
) as artifacts:
    PortableRunFlowOperator(
        task_id="sync",
        flow_id="{{ params.sync }}",
        portable_conn_id="portable_stepped",
        outlets=[TABLE, FLOWS, Asset.ref(name="ui_artifacts_named")],
    )
    PortableFlowRunSensor(
        task_id="deferred",
        flow_id="{{ params.deferred }}",
        run_id="{{ params.deferred_run }}",
        portable_conn_id="portable_stepped",
        deferrable=True,
        outlets=[FLOWS],
    )
    ActivepiecesFlowSensor(
        task_id="rescheduled",
        flow_id="{{ params.rescheduled }}",
        activepieces_conn_id="activepieces_stepped",
        mode="reschedule",
    )
    PortableFlowRunSensor(
        task_id="failing",
        flow_id="{{ params.failing }}",
        run_id="{{ params.failing_run }}",
        portable_conn_id="portable_stepped",
        on_failure_callback=FlowRunNotifier(
            service="activepieces",
            flow_id="{{ params.alarm }}",
            payload={"task": "{{ ti.task_id }}", "error": "{{ exception }}"},
            conn_id="activepieces_stepped",
        ),
    )
    PortableFlowRunSensor(
        task_id="deferred_failing",
        flow_id="{{ params.deferred_failing }}",
        run_id="{{ params.deferred_failing_run }}",
        portable_conn_id="portable_stepped",
        deferrable=True,
    )
    mapped = ActivepiecesRunFlowOperator.partial(
        task_id="mapped", flow_id="{{ params.mapped }}", activepieces_conn_id="activepieces_stepped"
    ).expand(deferrable=[False, True])

    @task
    def ids(runs: Any) -> list[str]:
        """Return the runs' ids."""
        return [run["run_id"] for run in runs]

    ActivepiecesGetFlowRunOperator.partial(task_id="read", activepieces_conn_id="activepieces_stepped").expand(
        run_id=ids(mapped.output)
    )
enable_lineage(artifacts)


def build_consumer_dag(dag_id: str, outlet: Any) -> DAG:
    """Return a DAG that is started by an outlet's events, with a task that returns their extras."""
    with DAG(dag_id, schedule=[outlet]) as dag:

        @task
        def event_extras(triggering_asset_events: Any = None) -> list[Any]:
            return [event.extra for event in triggering_asset_events[outlet]]

        event_extras()
    return dag


table_consumer = build_consumer_dag("ui_artifacts_table_consumer", TABLE)
named_consumer = build_consumer_dag("ui_artifacts_named_consumer", Asset("ui_artifacts_named"))
flows_consumer = build_consumer_dag("ui_artifacts_flows_consumer", FLOWS)

with DAG(
    "missed_deadline",
    schedule=None,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=AsyncCallback(
            FlowRunNotifier,
            kwargs={
                "service": "activepieces",
                "flow_id": ALARM_FLOW_ID,
                "payload": {"message": "late"},
                "conn_id": "activepieces_stepped",
            },
        ),
    ),
):

    @task
    def slow() -> None:
        """Take longer than the deadline allows."""
        from time import sleep

        sleep(3)

    slow()
