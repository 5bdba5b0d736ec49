"""The end of a flow's run, seen as the asset event that started a DAG."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from airflow_provider_flowruns.sandbox import Sandbox
from tests.browser.conftest import Picture
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

DAG_ID, FLOW_ID, ASSET = "orders_arrived", "OrdersToWarehouse0001", "orders"


def test_a_finished_flow_starts_a_dag_by_an_asset_event(
    page: Page, airflow: RealAirflow, sandbox: Sandbox, take: Picture
) -> None:
    flow = sandbox.activepieces.add_flow("Orders", flow_id=FLOW_ID)

    def looked() -> bool:
        return any(
            request.status == 200 and ("flowId", FLOW_ID) in request.query for request in sandbox.ledger.requests
        )

    airflow.wait_for("the watcher's first look, before which an end is no news", looked, 120)
    run = flow.add_run(waiting=1, running=2)

    def started() -> list[dict[str, Any]]:
        return list(airflow.get(f"/api/v2/dags/{DAG_ID}/dagRuns")["dag_runs"])

    airflow.wait_for("the DAG run that the event starts", lambda: bool(started()), 120)
    (dag_run,) = started()
    assert airflow.wait_run(DAG_ID, dag_run["dag_run_id"]) == "success"
    assert airflow.xcom(DAG_ID, dag_run["dag_run_id"], "which_run") == run.id

    page.goto(f"{airflow.url}/dags/{DAG_ID}/runs/{dag_run['dag_run_id']}/asset_events")
    event = page.get_by_text(run.id).first
    event.wait_for()
    page.screenshot(path="/tmp/explore/asset.png")
    open("/tmp/explore/asset.html", "w").write(page.content())
    assert page.get_by_role("link", name=ASSET, exact=True).count() == 1
    take("asset-event", page.locator("body"))
