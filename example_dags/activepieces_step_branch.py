"""Run an Activepieces flow and decide by what one of its steps returned."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_flowruns.operators.activepieces import (
    ActivepiecesGetStepOutputOperator,
    ActivepiecesRunFlowOperator,
)

with DAG(
    "activepieces_step_branch",
    schedule=None,
    params={"flow_id": "CountOrders0000000001"},
    tags=["flowruns", "activepieces"],
    doc_md="""
### Decide by the output of a step

Starts a flow that counts new orders, reads what its first step returned, and continues with one of two tasks: there are
orders, or there are none.
""",
):
    # --8<-- [start:run]
    count_orders = ActivepiecesRunFlowOperator(
        task_id="count_orders",
        flow_id="{{ params.flow_id }}",
        return_step="step_1",
        deferrable=True,
        poll_interval=15,
        timeout=3600,
    )
    # --8<-- [end:run]

    # --8<-- [start:steps]
    order_ids = ActivepiecesGetStepOutputOperator(
        task_id="order_ids",
        run_id="{{ ti.xcom_pull(task_ids='count_orders', key='run_id') }}",
        step="step_1",
        path="rows[*].id",
    )

    @task.branch
    def choose(ids: list[int]) -> str:
        """Return the task to continue with."""
        return "process_orders" if ids else "no_orders"

    # --8<-- [end:steps]

    @task
    def process_orders(ids: list[int]) -> int:
        """Return the number of orders."""
        return len(ids)

    @task
    def no_orders() -> None:
        """Do nothing."""

    count_orders >> order_ids
    choose(order_ids.output) >> [process_orders(order_ids.output), no_orders()]
