"""Many deferred waits over the three services, one mapped task each."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor

SERVICES = ("portable", "activepieces", "tableflow")
WAIT: dict[str, Any] = {"deferrable": True, "poke_interval": 20, "timeout": 7200}


@task
def get_ids(service: str, params: Any = None) -> list[str]:
    """Return the ids that the DAG run is about."""
    return params[service]


def build_dag(dag_id: str, connections: str) -> DAG:
    """Return a DAG that waits for the ids in its params.

    :param connections: what the ids of its connections end in.
    """
    with DAG(dag_id, schedule=None, params={"portable": [], "activepieces": [], "tableflow": [], "after": ""}) as dag:
        ids = {service: get_ids.override(task_id=f"ids_{service}")(service) for service in SERVICES}
        PortableFlowSensor.partial(
            task_id="portable",
            portable_conn_id=f"portable_{connections}",
            completed_after="{{ params.after }}",
            **WAIT,
        ).expand(flow_id=ids["portable"])
        ActivepiecesFlowRunSensor.partial(
            task_id="activepieces", activepieces_conn_id=f"activepieces_{connections}", **WAIT
        ).expand(run_id=ids["activepieces"])
        TableFlowFlowRunSensor.partial(
            task_id="tableflow", tableflow_conn_id=f"tableflow_{connections}", **WAIT
        ).expand(run_id=ids["tableflow"])
    return dag


many_waits = build_dag("many_waits", "default")
rotated_waits = build_dag("rotated_waits", "rotated")
