"""The page *Flow runs* from a user's point of view."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize

from airflow_provider_flowruns.sandbox import Sandbox
from tests.browser.chromium import take_screenshot
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

WINDOW: ViewportSize = {"width": 1400, "height": 1300}
#: Takes the connections that other tests have made off the page.
KEEP_DEFAULTS = """() => document.querySelectorAll("section").forEach(
  (section) => section.querySelector("h2").innerText.includes("_default") || section.remove())"""
SECONDS_BETWEEN_RUNS = 3_600
OUTCOMES = {"s": "SUCCEEDED", "f": "FAILED", "c": "CANCELED"}


def add_history(flow: Any, outcomes: str) -> Any:
    """Give a flow runs with these outcomes and different durations, the newest one last, and return the newest."""
    runs = [
        flow.add_run(
            outcome=OUTCOMES[letter],
            ago=SECONDS_BETWEEN_RUNS * (len(outcomes) - number),
            waiting=5,
            running=240 + 70 * (number * 7 % 11),
        )
        for number, letter in enumerate(outcomes)
    ]
    return runs[-1]


def test_a_person_finds_flows_runs_and_waits_on_it(page: Page, airflow: RealAirflow, sandbox: Sandbox) -> None:
    orders = sandbox.portable.add_flow("Orders to warehouse")
    add_history(orders, "ssssssssfsssssssssssssfssss")
    orders.add_run(ago=60, waiting=5, running=7_200)
    add_history(sandbox.portable.add_flow("Customers & <b>contacts</b>"), "sssscsssffsss")
    sandbox.portable.add_flow("Not run yet")
    mails = sandbox.activepieces.add_flow("New order to mail")
    newest = add_history(mails, "s" * 29)
    add_history(sandbox.tableflow.add_flow("Invoices"), "sfssfsssss")
    airflow.wait_until_ready(["page_waits"])
    conf = {"flow_id": str(orders.id), "completed_after": datetime.now(UTC).isoformat()}
    dag_run = airflow.trigger("page_waits", conf)
    airflow.wait_for_task("page_waits", dag_run, "wait_for_orders", ["deferred"])

    page.set_viewport_size(WINDOW)
    page.goto(airflow.url)
    page.get_by_role("button", name="Browse").click()
    with page.context.expect_page() as opened:
        page.get_by_role("menuitem", name="Flow runs").click()
    shown = opened.value
    shown.set_viewport_size(WINDOW)
    messages: list[str] = []
    shown.on("console", lambda message: messages.append(message.text))
    shown.reload()
    shown.get_by_role("heading", name="Flow runs", exact=True).wait_for()
    # The browser would report what the page's policy forbids.
    assert messages == []
    assert shown.locator("section").first.evaluate("section => getComputedStyle(section).borderRadius") == "6px"

    shown.evaluate(KEEP_DEFAULTS)
    row = shown.get_by_role("row").filter(has_text="Orders to warehouse")
    bars = row.get_by_role("img")
    assert bars.count() == 28
    assert row.get_by_role("img", name=re.compile(r"^FAILED")).count() == 2
    assert re.match(r"RUNNING .*run \d+", bars.last.get_attribute("aria-label") or "")
    assert "92 % (25 of 27)" in row.inner_text()
    assert shown.get_by_text("Customers & <b>contacts</b>").is_visible()

    tokens = [service.token for service in sandbox.services]
    take_screenshot(shown, "page", [shown.locator("header"), shown.locator("footer")], tokens)

    links = shown.get_by_role("row").filter(has_text="New order to mail").get_by_role("link", name=re.compile(r"run "))
    assert links.count() == 29
    with shown.context.expect_page() as vendor:
        links.last.click()
    vendor.value.wait_for_url(f"{sandbox.activepieces.url}/projects/{mails.project_id}/runs/{newest.id}")

    row.get_by_role("link", name="page_waits.wait_for_orders").click()
    shown.wait_for_url(f"{airflow.url}/dags/page_waits/runs/{dag_run}/tasks/wait_for_orders")
