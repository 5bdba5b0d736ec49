"""The link of a task that opens its run."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from airflow_provider_flowruns.links import FlowRunLink
from airflow_provider_flowruns.sandbox import Sandbox
from tests.browser.conftest import TakeScreenshot
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow


def test_the_link_of_a_finished_task_opens_its_run_in_activepieces(
    page: Page, airflow: RealAirflow, sandbox: Sandbox, take: TakeScreenshot
) -> None:
    flow = sandbox.activepieces.add_flow("Orders")
    run = flow.add_run(ago=300)
    dag_run = airflow.trigger("activepieces_wait", {"flow_id": flow.id})
    assert airflow.wait_for_run("activepieces_wait", dag_run) == "success"

    page.goto(f"{airflow.url}/dags/activepieces_wait/runs/{dag_run}/tasks/ended/details")
    link = page.get_by_role("link", name=FlowRunLink.name, exact=True)
    link.wait_for()
    take("run-link", page.get_by_role("heading", name="ended"), link, page.get_by_text("Dag Version").first)
    with page.context.expect_page() as opened:
        link.click()
    opened.value.wait_for_url(f"{sandbox.activepieces.url}/projects/{flow.project_id}/runs/{run.id}")
