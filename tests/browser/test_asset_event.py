"""The end of a flow's run, shown as the asset event that started a DAG."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.activepieces import ActivepiecesFlow
from tests.browser.conftest import TakeScreenshot
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

DAG_ID, ASSET = "orders_arrived", "orders"


def test_a_finished_flow_starts_a_dag_by_an_asset_event(
    page: Page, airflow: RealAirflow, sandbox: Sandbox, watched: ActivepiecesFlow, take: TakeScreenshot
) -> None:
    def is_polled() -> bool:
        return any(
            request.status == 200 and ("flowId", watched.id) in request.query for request in sandbox.ledger.requests
        )

    airflow.wait_for("the watcher's first poll, before which the end of a run is not reported", is_polled, 120)
    run = watched.add_run(waiting=1, running=2)

    def list_dag_runs() -> list[dict[str, Any]]:
        return list(airflow.get(f"/api/v2/dags/{DAG_ID}/dagRuns")["dag_runs"])

    airflow.wait_for("the DAG run that the event starts", lambda: bool(list_dag_runs()), 120)
    (dag_run,) = list_dag_runs()
    assert airflow.wait_for_run(DAG_ID, dag_run["dag_run_id"]) == "success"
    assert airflow.get_xcom(DAG_ID, dag_run["dag_run_id"], "which_run") == run.id

    page.goto(f"{airflow.url}/dags/{DAG_ID}/runs/{dag_run['dag_run_id']}/asset_events")
    page.get_by_role("link", name=ASSET, exact=True).wait_for()
    text = page.locator("body").inner_text()
    assert "Asset Triggered" in text
    assert "1 Source Asset Event" in " ".join(text.split())
    heading, last = page.get_by_role("heading", name="asset_triggered__"), page.get_by_text("Triggered Dag Run:")
    take("asset-event", heading, page.get_by_text("Run Type"), page.get_by_text("Dag Version(s)"), last)
