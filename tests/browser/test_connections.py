"""Connections as a person makes them: the form, *Test Connection*, and tasks that use what was saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page

from airflow_provider_flowruns.get_provider_info import get_provider_info
from airflow_provider_flowruns.sandbox import Sandbox
from tests.browser.conftest import WRONG_TOKEN, Picture
from tests.browser.forms import ConnectionsPage, documented
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

TYPES: Any = get_provider_info()["connection-types"]
GREEN, RED = "rgb(0, 128, 0)", "rgb(255, 0, 0)"
PORT = "443"
#: The row and the notice come close to each other in it.
SMALL = {"width": 1100, "height": 640}

#: What is filled in, and how the form stores it; Airflow hides proxies, since they may hold passwords.
EXTRA_TYPED = {
    "timeout": "2.5",
    "verify": "false",
    "proxies": '{"https": "http://127.0.0.1:3128"}',
    "headers": '{"X-Team": "data"}',
}
EXTRA_STORED = {"timeout": 2.5, "verify": "false", "proxies": {"https": "***"}, "headers": {"X-Team": "data"}}

of_each_type = pytest.mark.parametrize("entry", TYPES, ids=lambda entry: entry["connection-type"])


@of_each_type
def test_the_form_shows_the_documented_fields_and_no_others(
    entry: dict[str, Any], page: Page, airflow: RealAirflow, take: Picture
) -> None:
    kind, expected = entry["connection-type"], documented(entry)
    form = ConnectionsPage(page, airflow.url).add(entry["hook-name"])
    assert form.sections() == [*expected, "Extra Fields JSON"]
    for section, fields in expected.items():
        assert form.fields(section) == fields
    form.dialog.get_by_label("Connection ID").fill(f"{kind}_default")
    take(f"connection-form-{kind}-extra", form.dialog)
    form.open("Standard Fields")
    take(f"connection-form-{kind}", form.dialog)


@of_each_type
def test_a_connection_made_in_the_form_passes_the_test_and_serves_tasks(
    entry: dict[str, Any], page: Page, airflow: RealAirflow, sandbox: Sandbox, take: Picture
) -> None:
    kind = entry["connection-type"]
    service = {each.name: each for each in sandbox.services}[kind]
    flow = service.add_flow("Orders")
    flow.add_run(ago=300)
    own = service.connection_extra()
    conn_id = f"{kind}_made_in_form"

    connections = ConnectionsPage(page, airflow.url)
    form = connections.add(entry["hook-name"])
    form.dialog.get_by_label("Connection ID").fill(conn_id)
    form.fill("Standard Fields", {"host": service.url, "port": PORT, "password": service.token})
    form.fill("Extra Fields", own | EXTRA_TYPED)
    form.save()

    stored = airflow.get(f"/api/v2/connections/{conn_id}")
    assert json.loads(stored["extra"]) == own | EXTRA_STORED
    assert (stored["host"], stored["port"], stored["password"]) == (service.url, int(PORT), "***")

    page.set_viewport_size(SMALL)
    tested = connections.test(conn_id)
    assert tested.colour == GREEN
    assert tested.notice.startswith(f"Test Connection Successful\n{entry['hook-name']} answers; this ")
    if kind == "activepieces":
        take("connection-test-ok", connections.row(conn_id), connections.notice)

    assert "data" in {each.headers.get("x-team") for each in sandbox.ledger.requests if each.service == kind}

    dag_run = airflow.trigger(f"stored_{kind}", {"conn_id": conn_id, "flow_id": str(flow.id)})
    assert airflow.wait_run(f"stored_{kind}", dag_run) == "success"
    (run,) = airflow.xcom(f"stored_{kind}", dag_run, "runs")
    assert run["flow_id"] == str(flow.id)


@of_each_type
def test_a_wrong_token_is_said_to_be_wrong(
    entry: dict[str, Any], page: Page, airflow: RealAirflow, sandbox: Sandbox, take: Picture
) -> None:
    kind, title = entry["connection-type"], entry["hook-name"]
    service = {each.name: each for each in sandbox.services}[kind]
    conn_id = f"{kind}_wrong_token"

    connections = ConnectionsPage(page, airflow.url)
    form = connections.add(title)
    form.dialog.get_by_label("Connection ID").fill(conn_id)
    form.fill("Standard Fields", {"host": service.url, "port": PORT, "password": WRONG_TOKEN})
    form.save()

    page.set_viewport_size(SMALL)
    tested = connections.test(conn_id)
    assert tested.colour == RED
    assert tested.notice.startswith("Test Connection Failed\nThe service does not accept the token. ")
    assert f"{title} answered 401 to GET" in tested.notice
    assert "(this connection: put a" in tested.notice
    if kind == "activepieces":
        take("connection-test-wrong-token", connections.row(conn_id), connections.notice)
