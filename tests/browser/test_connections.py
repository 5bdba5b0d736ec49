"""Connections from a user's point of view: the form, *Test Connection*, and tasks that use the connection."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize

from airflow_provider_flowruns.get_provider_info import get_provider_info
from airflow_provider_flowruns.sandbox import Sandbox
from tests.browser.conftest import WRONG_TOKEN, TakeScreenshot
from tests.browser.forms import ConnectionsPage, build_expected_fields
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

TYPES: Any = get_provider_info()["connection-types"]
GREEN, RED = "rgb(0, 128, 0)", "rgb(255, 0, 0)"
PORT = "443"
#: In a small window, the row and the notification are close to each other.
SMALL_WINDOW: ViewportSize = {"width": 1100, "height": 640}

#: The values entered, and how the form stores them. Airflow masks proxies, because they may contain passwords.
ENTERED_EXTRA = {
    "timeout": "2.5",
    "verify": "false",
    "proxies": '{"https": "http://127.0.0.1:3128"}',
    "headers": '{"X-Team": "data"}',
}
STORED_EXTRA = {"timeout": 2.5, "verify": "false", "proxies": {"https": "***"}, "headers": {"X-Team": "data"}}

of_each_type = pytest.mark.parametrize("entry", TYPES, ids=lambda entry: entry["connection-type"])


@of_each_type
def test_the_form_shows_the_documented_fields_and_no_others(
    entry: dict[str, Any], page: Page, airflow: RealAirflow, take: TakeScreenshot
) -> None:
    kind, expected = entry["connection-type"], build_expected_fields(entry)
    form = ConnectionsPage(page, airflow.url).add(entry["hook-name"])
    assert form.list_sections() == [*expected, "Extra Fields JSON"]
    for section, fields in expected.items():
        assert form.list_fields(section) == fields
    form.dialog.get_by_label("Connection ID").fill(f"{kind}_default")
    take(f"connection-form-{kind}-extra", form.dialog)
    form.open("Standard Fields")
    take(f"connection-form-{kind}", form.dialog)


@of_each_type
def test_a_connection_created_in_the_form_passes_the_test_and_works_in_tasks(
    entry: dict[str, Any], page: Page, airflow: RealAirflow, sandbox: Sandbox, take: TakeScreenshot
) -> None:
    kind = entry["connection-type"]
    service: Any = {service.name: service for service in sandbox.services}[kind]
    flow = service.add_flow("Orders")
    flow.add_run(ago=300)
    extra = service.get_connection_extra()
    conn_id = f"{kind}_created_in_form"

    connections = ConnectionsPage(page, airflow.url)
    form = connections.add(entry["hook-name"])
    form.dialog.get_by_label("Connection ID").fill(conn_id)
    form.fill("Standard Fields", {"host": service.url, "port": PORT, "password": service.token})
    form.fill("Extra Fields", extra | ENTERED_EXTRA)
    form.save()

    stored = airflow.get(f"/api/v2/connections/{conn_id}")
    # The form stores a field that was left empty as null.
    filled = {name: value for name, value in json.loads(stored["extra"]).items() if value is not None}
    assert filled == extra | STORED_EXTRA
    assert (stored["host"], stored["port"], stored["password"]) == (service.url, int(PORT), "***")

    page.set_viewport_size(SMALL_WINDOW)
    result = connections.test(conn_id)
    assert result.colour == GREEN
    assert result.notification.startswith(f"Test Connection Successful\nConnected to {entry['hook-name']}; this ")
    if kind == "activepieces":
        take("connection-test-ok", connections.get_row(conn_id), connections.notification)

    assert "data" in {request.headers.get("x-team") for request in sandbox.ledger.requests if request.service == kind}

    dag_run = airflow.trigger(f"stored_{kind}", {"conn_id": conn_id, "flow_id": str(flow.id)})
    assert airflow.wait_for_run(f"stored_{kind}", dag_run) == "success"
    (run,) = airflow.get_xcom(f"stored_{kind}", dag_run, "runs")
    assert run["flow_id"] == str(flow.id)


@of_each_type
def test_a_wrong_token_is_reported(
    entry: dict[str, Any], page: Page, airflow: RealAirflow, sandbox: Sandbox, take: TakeScreenshot
) -> None:
    kind, title = entry["connection-type"], entry["hook-name"]
    service = {service.name: service for service in sandbox.services}[kind]
    conn_id = f"{kind}_wrong_token"

    connections = ConnectionsPage(page, airflow.url)
    form = connections.add(title)
    form.dialog.get_by_label("Connection ID").fill(conn_id)
    form.fill("Standard Fields", {"host": service.url, "port": PORT, "password": WRONG_TOKEN})
    form.save()

    page.set_viewport_size(SMALL_WINDOW)
    result = connections.test(conn_id)
    assert result.colour == RED
    assert result.notification.startswith("Test Connection Failed\nThe service does not accept the token. ")
    assert f"{title} responded with 401 to GET" in result.notification
    assert "(this connection: put a" in result.notification
    if kind == "activepieces":
        take("connection-test-wrong-token", connections.get_row(conn_id), connections.notification)


def test_airflow_refuses_to_test_a_connection_without_a_port_as_the_docs_say(
    page: Page, airflow: RealAirflow, sandbox: Sandbox
) -> None:
    connections = ConnectionsPage(page, airflow.url)
    form = connections.add("Portable")
    form.dialog.get_by_label("Connection ID").fill("portable_without_port")
    form.fill("Standard Fields", {"host": sandbox.portable.url, "password": sandbox.portable.token})
    form.save()
    result = connections.test("portable_without_port")
    assert (result.colour, result.notification) == (RED, "Test Connection Failed\nBad Request")
