"""What tasks show of their runs: links, asset events, lineage; and flows that callbacks start."""

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

#: The flow that a deadline starts; a deadline's callback takes no DAG run's conf.
ALARM_FLOW_ID = "FaceDeadlineAlarm0001"

WATCHED = ("deferred", "rescheduled", "failing", "deferred_failing")
PARAMS = ("sync", "mapped", "alarm", *WATCHED, *(f"{name}_run" for name in WATCHED))

TABLE, FLOWS = Asset("face_table"), AssetAlias("face_flows")

with DAG(
    "face",
    schedule=None,
    params=dict.fromkeys(PARAMS, ""),
) as face:
    PortableRunFlowOperator(
        task_id="sync",
        flow_id="{{ params.sync }}",
        portable_conn_id="portable_held",
        outlets=[TABLE, FLOWS, Asset.ref(name="face_named")],
    )
    PortableFlowRunSensor(
        task_id="deferred",
        flow_id="{{ params.deferred }}",
        run_id="{{ params.deferred_run }}",
        portable_conn_id="portable_held",
        deferrable=True,
        outlets=[FLOWS],
    )
    ActivepiecesFlowSensor(
        task_id="rescheduled",
        flow_id="{{ params.rescheduled }}",
        activepieces_conn_id="activepieces_held",
        mode="reschedule",
    )
    PortableFlowRunSensor(
        task_id="failing",
        flow_id="{{ params.failing }}",
        run_id="{{ params.failing_run }}",
        portable_conn_id="portable_held",
        on_failure_callback=FlowRunNotifier(
            service="activepieces",
            flow_id="{{ params.alarm }}",
            payload={"task": "{{ ti.task_id }}", "error": "{{ exception }}"},
            conn_id="activepieces_held",
        ),
    )
    PortableFlowRunSensor(
        task_id="deferred_failing",
        flow_id="{{ params.deferred_failing }}",
        run_id="{{ params.deferred_failing_run }}",
        portable_conn_id="portable_held",
        deferrable=True,
    )
    mapped = ActivepiecesRunFlowOperator.partial(
        task_id="mapped", flow_id="{{ params.mapped }}", activepieces_conn_id="activepieces_held"
    ).expand(deferrable=[False, True])

    @task
    def ids(runs: Any) -> list[str]:
        """Return the runs' ids."""
        return [run["run_id"] for run in runs]

    ActivepiecesGetFlowRunOperator.partial(task_id="read", activepieces_conn_id="activepieces_held").expand(
        run_id=ids(mapped.output)
    )
enable_lineage(face)


def consumer_of(dag_id: str, outlet: Any) -> DAG:
    """Return a DAG that an outlet's events start, with a task that returns what they say."""
    with DAG(dag_id, schedule=[outlet]) as dag:

        @task
        def told(triggering_asset_events: Any = None) -> list[Any]:
            return [event.extra for event in triggering_asset_events[outlet]]

        told()
    return dag


table_consumer = consumer_of("face_table_consumer", TABLE)
named_consumer = consumer_of("face_named_consumer", Asset("face_named"))
flows_consumer = consumer_of("face_flows_consumer", FLOWS)

with DAG(
    "face_late",
    schedule=None,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=AsyncCallback(
            FlowRunNotifier,
            kwargs={
                "service": "activepieces",
                "flow_id": ALARM_FLOW_ID,
                "payload": {"said": "late"},
                "conn_id": "activepieces_held",
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
