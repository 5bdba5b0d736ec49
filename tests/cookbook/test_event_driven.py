"""Each run of a flow that succeeds starts the recipe once."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_flowruns.sandbox.portable import PortableFlow
from airflow_provider_flowruns.sandbox.scenario import PORTABLE_FLOW_ID, ExampleFlows
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

DAG_ID = "event_driven"


@pytest.fixture
def flow(airflow: RealAirflow, flows: ExampleFlows) -> PortableFlow:
    """Return the flow after the watcher's first poll."""
    stored = "select key from asset_state_store join asset on asset.id = asset_id where asset.name = 'orders_flow'"

    def has_cursor() -> bool:  # tasks store durations there, too
        return any("durations" not in key for (key,) in airflow.fetch_rows(stored))

    airflow.wait_for("the watcher's cursor", has_cursor, 120)
    flow = flows.portable[PORTABLE_FLOW_ID]
    assert isinstance(flow, PortableFlow)
    return flow


def test_each_run_that_succeeds_is_published_once(airflow, flow) -> None:
    failed, empty = flow.add_run(outcome="FAILED", running=0.1), flow.add_run(running=0.1, resources=[])
    loads = [flow.add_run(running=0.2) for _ in range(2)]
    wanted = {f"orders/flow_run={load.id}" for load in loads}

    airflow.wait_for("both partitions", lambda: wanted <= set(list_published(airflow)), 180)

    published = Counter(list_published(airflow))
    assert {published[partition] for partition in wanted} == {1}
    assert not {f"orders/flow_run={run.id}" for run in (failed, empty)} & published.keys()


def list_published(airflow: RealAirflow) -> list[str]:
    """Return what the task returned in all DAG runs that have ended."""
    dag_runs = airflow.get(f"/api/v2/dags/{DAG_ID}/dagRuns", limit=100)["dag_runs"]
    ended = [dag_run["dag_run_id"] for dag_run in dag_runs if dag_run["state"] == "success"]
    return [partition for dag_run_id in ended for partition in airflow.get_xcom(DAG_ID, dag_run_id, "publish")]
