"""Start a run with a payload, wait for it, and use what one of its steps returned."""

from __future__ import annotations

from typing import TypedDict, cast

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator


class Order(TypedDict):
    """An order, as the flow's first step returns it."""

    id: int


class Orders(TypedDict):
    """What the flow's first step returns."""

    rows: list[Order]
    count: int


class Result(TypedDict):
    """What this DAG uses of the operator's result: the run's summary with the output of the step."""

    run_id: str
    step_output: Orders


with DAG("start_and_use_output", schedule=None, tags=["flowruns"]):
    read_orders = ActivepiecesRunFlowOperator(
        task_id="read_orders",
        flow_id="CountOrders0000000001",
        payload={"region": "north", "dag_run": "{{ run_id }}"},
        return_step="step_1",
        deferrable=True,
        timeout=3600,
    )

    @task
    def list_order_ids(result: Result) -> list[int]:
        """Return the ids of the orders that the run has read."""
        return [order["id"] for order in result["step_output"]["rows"]]

    list_order_ids(cast("Result", read_orders.output))
