"""Run a flow on an Activepieces server inside a company network, with its own certificate authority and a proxy."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_flowruns.model.runs import RunSummary
from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator

with DAG(
    "self_hosted",
    schedule=None,
    tags=["flowruns", "activepieces"],
):
    # Address, certificates and proxy are the connection's. Worker and triggerer read them from there.
    count_orders = ActivepiecesRunFlowOperator(
        task_id="count_orders",
        activepieces_conn_id="activepieces_intranet",
        flow_id="CountOrders0000000001",
        payload={"dag_run": "{{ run_id }}"},
        deferrable=True,
        timeout=timedelta(hours=1),
        retries=2,
    )

    @task
    def describe_run(run: RunSummary) -> str:
        """Return how the run ended, and its page on the company's server."""
        return f"{run['disposition']}, see {run['url']}"

    describe_run(cast("RunSummary", count_orders.output))
