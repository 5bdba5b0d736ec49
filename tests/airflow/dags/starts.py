"""Start one run on each service. The tests choose how the tasks wait, and kill or mark them."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator


def linger(context: Any, result: Any) -> None:
    """Delay the worker between the task's result and its success, in the first try, if the params say so."""
    if context["params"]["linger"] and context["ti"].try_number == 1:
        logging.getLogger(__name__).warning("holding the result")
        time.sleep(600)


def build_dag(dag_id: str, *, deferrable: bool, **arguments: Any) -> DAG:
    """Return a DAG with a start on each service. The arguments replace those that all of them have."""
    common: dict[str, Any] = {
        "deferrable": deferrable,
        "poll_interval": 1,
        "timeout": 300,
        "retries": 2,
        "retry_delay": timedelta(seconds=1),
        "post_execute": linger,
        **arguments,
    }
    params = {"portable": "", "activepieces": "", "tableflow": "", "document": "", "linger": False}
    with DAG(dag_id, schedule=None, params=params) as dag:
        PortableRunFlowOperator(
            task_id="portable", flow_id="{{ params.portable }}", portable_conn_id="portable_live", **common
        )
        ActivepiecesRunFlowOperator(
            task_id="activepieces",
            flow_id="{{ params.activepieces }}",
            activepieces_conn_id="activepieces_live",
            **common,
        )
        TableFlowRunFlowOperator(
            task_id="tableflow",
            flow_id="{{ params.tableflow }}",
            files={"document": "{{ params.document }}"},
            tableflow_conn_id="tableflow_live",
            **common,
        )
    return dag


deferred_starts = build_dag("deferred_starts", deferrable=True)
starts = build_dag("starts", deferrable=False)
