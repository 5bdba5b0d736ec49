"""Run many flows at once. One that fails does not stop the others, and a summary says which did."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_flowruns.model.runs import FlowSummary, RunSummary
from airflow_provider_flowruns.operators.portable import PortableListFlowsOperator, PortableRunFlowOperator

with DAG("many_flows", schedule=None, tags=["flowruns"]):
    list_flows = PortableListFlowsOperator(task_id="list_flows")

    @task
    def choose(flows: list[FlowSummary]) -> list[str]:
        """Return the ids of the flows to run."""
        return [flow["flow_id"] for flow in flows if (flow["name"] or "").endswith("to warehouse")]

    flow_ids = choose(cast("list[FlowSummary]", list_flows.output))

    load = PortableRunFlowOperator.partial(
        task_id="load",
        map_index_template="{{ task.flow_id }}",  # what Airflow's UI shows instead of 0, 1, 2
        deferrable=True,
        timeout=3600,
    ).expand(flow_id=flow_ids)

    @task(trigger_rule="all_done", multiple_outputs=False)
    def sum_up(flow_ids: list[str], runs: Iterable[RunSummary]) -> dict[str, list[str]]:
        """Return which flows were loaded, and which were not."""
        loaded = {run["flow_id"] for run in runs}  # a task that failed has no result
        return {
            "loaded": [flow_id for flow_id in flow_ids if flow_id in loaded],
            "failed": [flow_id for flow_id in flow_ids if flow_id not in loaded],
        }

    @task
    def publish() -> None:
        """Stand for the work that needs all flows."""

    sum_up(cast("list[str]", flow_ids), cast("Iterable[RunSummary]", load.output))
    load >> publish()
