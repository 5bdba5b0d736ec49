"""Arguments that contain other tasks' results, of plain and mapped tasks, rendered as text and natively."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, task, task_group

from airflow_provider_flowruns.operators.activepieces import (
    ActivepiecesListFlowRunsOperator,
    ActivepiecesRunFlowOperator,
)
from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor, PortableFlowSensor

PARAMS = {"leads": "", "invoices": "", "document": "", "orders": "", "orders_run": ""}


@task
def rows() -> Any:
    """Return a list."""
    return [{"id": 1}, {"id": 2}]


@task(multiple_outputs=True)
def order() -> Any:
    """Return a dict with a datetime."""
    return {"id": 7, "at": datetime(2026, 1, 31, 12, tzinfo=UTC)}


@task
def square(number: int) -> int:
    """Return the result of a mapped task."""
    return number**2


@task
def payloads() -> Any:
    """Return the values over which tasks are mapped."""
    return [{"n": 1}, [2]]


@task(multiple_outputs=True)
def ids(params: Any = None) -> Any:
    """Return the ids of a run and its flow."""
    return {"flow_id": params["orders"], "run_id": params["orders_run"], "status": "SUCCEEDED"}


@task
def path(params: Any = None) -> Any:
    """Return the path of a file."""
    return params["document"]


LEADS: dict[str, Any] = {
    "flow_id": "{{ params.leads }}",
    "activepieces_conn_id": "activepieces_live",
    "wait": False,
}

with DAG("nested_results", schedule=None, params=PARAMS) as nested_results:
    some_rows, one_order, one_run = rows(), order(), ids()

    ActivepiecesRunFlowOperator(
        task_id="in_a_dict",
        payload={"rows": some_rows, "deep": {"of": [one_order["id"], {"at": one_order["at"]}]}},
        **LEADS,
    )
    ActivepiecesRunFlowOperator(task_id="in_a_list", payload=[some_rows, {"order": one_order}], **LEADS)
    ActivepiecesRunFlowOperator(
        task_id="all_of_a_mapped_task", payload={"squares": square.expand(number=[1, 2, 3])}, **LEADS
    )
    ActivepiecesRunFlowOperator(
        task_id="as_json_text", payload="{{ ti.xcom_pull(task_ids='rows') | tojson }}", **LEADS
    ).set_upstream(some_rows)
    ActivepiecesRunFlowOperator.partial(task_id="shared", payload={"rows": [some_rows]}, **LEADS).expand(
        correlation_key=["one", "two"]
    )
    ActivepiecesRunFlowOperator.partial(task_id="mapped", **LEADS).expand(payload=payloads())

    @task_group
    def group(number: int) -> None:
        """Start a flow with an argument of the group."""
        ActivepiecesRunFlowOperator(task_id="start", payload={"number": number, "rows": [some_rows]}, **LEADS)

    group.expand(number=[1, 2])

    TableFlowRunFlowOperator(
        task_id="tableflow",
        flow_id="{{ params.invoices }}",
        files={"document": [path()]},
        file_metadata={"document": {"order": one_order}},
        guidance={"document": one_order["id"]},
        metadata={"x": [some_rows]},
        tableflow_conn_id="tableflow_live",
        wait=False,
    )
    PortableFlowRunSensor(
        task_id="sensor", flow_id=one_run["flow_id"], run_id=one_run["run_id"], portable_conn_id="portable_live"
    )
    ActivepiecesListFlowRunsOperator(
        task_id="list",
        flow_id="{{ params.leads }}",
        status=["FAILED", one_run["status"]],
        activepieces_conn_id="activepieces_live",
    )

with DAG(
    "nested_results_native", schedule=None, params=PARAMS, render_template_as_native_obj=True
) as nested_results_native:
    ActivepiecesRunFlowOperator(
        task_id="native",
        payload={"rows": rows(), "conf": "{{ dag_run.conf }}", "day": "{{ dag_run.run_after.date() }}"},
        **LEADS,
    )
    PortableFlowSensor(
        task_id="sensor",
        flow_id="{{ params.orders }}",
        completed_after="{{ dag_run.run_after - macros.timedelta(days=1) }}",
        portable_conn_id="portable_live",
    )
    PortableGetRunAttemptsOperator(
        task_id="history",
        flow_id="{{ params.orders }}",
        limit="{{ 5 }}",
        start_time="{{ dag_run.run_after - macros.timedelta(days=1) }}",
        end_time="{{ none if params.orders else dag_run.run_after }}",
        portable_conn_id="portable_live",
    )
