"""Starts on each service as in the tests of one machine, and some that only make sense with several workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.openlineage.utils.selective_enable import enable_lineage
from airflow.sdk import DAG

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from tests.airflow.dags.starts import build_dag

deferred_starts = build_dag("deferred_starts", deferrable=True)
starts = build_dag("starts", deferrable=False)
# In the queue of one worker, so that a test can keep the tasks queued.
queued_starts = build_dag("queued_starts", deferrable=True, queue="worker-1")
# Its first try ends while the run is still active, and its second one is far away.
retried_starts = build_dag("retried_starts", deferrable=True, timeout=20, retry_delay=timedelta(hours=1))
# The wait ends on its own, and its run is to continue.
impatient_starts = build_dag("impatient_starts", deferrable=True, timeout=90, retries=0)
lineage_starts = build_dag("lineage_starts", deferrable=True)
enable_lineage(lineage_starts)


def build_one_flow_dag(dag_id: str, *, deferrable: bool) -> DAG:
    """Return a DAG that starts one Portable flow from both workers, three times each at once."""
    common: dict[str, Any] = {
        "flow_id": "{{ params.flow }}",
        "deferrable": deferrable,
        "poll_interval": 2,
        "timeout": 900,
        "retries": 0,
    }
    with DAG(dag_id, schedule=None, params={"flow": ""}) as dag:
        for worker in ("worker-1", "worker-2"):
            for number in range(3):
                PortableRunFlowOperator(task_id=f"{worker}_{number}", queue=worker, **common)
    return dag


one_flow_deferred = build_one_flow_dag("one_flow_deferred", deferrable=True)
one_flow = build_one_flow_dag("one_flow", deferrable=False)
