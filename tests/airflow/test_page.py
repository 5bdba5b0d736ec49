"""The page *Flow runs* in a real Airflow whose users have different permissions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

from airflow_provider_flowruns.sandbox import Sandbox
from tests.airflow_users import AirflowWithUsers

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.nightly,
    pytest.mark.skipif(not AIRFLOW_V_3_1_PLUS, reason="Airflow shows pages of plugins since 3.1"),
]

DAG_FILE = Path(__file__).resolve().parents[1] / "browser" / "dags" / "page_waits.py"
#: A flow's name as somebody hostile would choose it.
HOSTILE_NAME = "<script>alert('flow')</script>"
PORT_OF_NOTHING = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def flow(sandbox: Sandbox) -> Any:
    """Return a flow with runs of all outcomes."""
    flow = sandbox.portable.add_flow("Orders to warehouse")
    flow.add_run(outcome="SUCCEEDED", ago=10_800, running=60)
    flow.add_run(outcome="FAILED", ago=7_200, running=120)
    flow.add_run(outcome="SUCCEEDED", ago=3_600, running=180)
    sandbox.portable.add_flow(HOSTILE_NAME)
    return flow


@pytest.fixture(scope="module")
def airflow(sandbox: Sandbox, flow: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowWithUsers]:
    dags = tmp_path_factory.mktemp("dags")
    shutil.copy(DAG_FILE, dags)
    unreachable = {"conn_type": "tableflow", "host": PORT_OF_NOTHING, "password": "a-made-up-key"}
    env = sandbox.connections() | {"AIRFLOW_CONN_TABLEFLOW_DOWN": json.dumps(unreachable)}
    with AirflowWithUsers(dags, tmp_path_factory.mktemp("users") / "passwords.json", env) as airflow:
        airflow.wait_until_ready(["page_waits"])
        yield airflow


@pytest.fixture(scope="module")
def dag_run(airflow: AirflowWithUsers, flow: Any) -> str:
    """Return the id of a DAG run that waits for the flow."""
    conf = {"flow_id": str(flow.id), "completed_after": datetime.now(UTC).isoformat()}
    run_id = airflow.trigger("page_waits", conf)
    airflow.wait_for_task("page_waits", run_id, "wait_for_orders", ["deferred"])
    return run_id


def test_nobody_sees_it_without_logging_in(airflow: AirflowWithUsers) -> None:
    response = airflow.open_page(None)
    assert response.status_code == 401
    assert "Orders to warehouse" not in response.text
    assert "Log in to Airflow" in response.text


def test_a_made_up_token_is_refused(airflow: AirflowWithUsers) -> None:
    response = airflow.open_page(None, headers={"Authorization": "Bearer made-up"})
    assert response.status_code in {401, 403}
    assert "Orders to warehouse" not in response.text


def test_who_may_not_read_connections_sees_nothing_of_it(airflow: AirflowWithUsers, sandbox: Sandbox) -> None:
    before = len(sandbox.ledger.requests)
    response = airflow.open_page("viewer")
    assert response.status_code == 403
    assert "portable" not in response.text.lower()
    assert "Orders to warehouse" not in response.text
    assert len(sandbox.ledger.requests) == before


@pytest.mark.parametrize("role", ["op", "admin"])
def test_who_may_read_connections_sees_their_flows(
    airflow: AirflowWithUsers, flow: Any, dag_run: str, role: str
) -> None:
    response = airflow.open_page(role)
    assert response.status_code == 200
    page = response.text
    for conn_id in ("portable_default", "activepieces_default", "tableflow_default", "tableflow_down"):
        assert conn_id in page
    assert "Orders to warehouse" in page
    assert str(flow.id) in page
    assert "66 % (2 of 3)" in page
    assert "page_waits.wait_for_orders" in page
    assert f"/dags/page_waits/runs/{dag_run}" in page


def test_a_connection_that_fails_shows_its_error_and_disturbs_no_other(airflow: AirflowWithUsers, flow: Any) -> None:
    page = airflow.open_page("admin").text
    card = page.partition("tableflow_down")[2].partition("</section>")[0]
    assert "Not readable." in card
    assert "127.0.0.1" in card
    assert "Orders to warehouse" in page


def test_what_services_wrote_is_escaped_and_nothing_may_run(airflow: AirflowWithUsers, flow: Any) -> None:
    response = airflow.open_page("admin")
    assert "&lt;script&gt;alert(&#39;flow&#39;)&lt;/script&gt;" in response.text
    assert "<script" not in response.text
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert response.headers["cache-control"] == "no-store"


def test_it_shows_no_token(airflow: AirflowWithUsers, sandbox: Sandbox, flow: Any) -> None:
    page = airflow.open_page("admin").text
    assert [service.name for service in sandbox.services if service.token in page] == []
    assert "a-made-up-key" not in page


@pytest.mark.parametrize("path", ["/flowruns/docs", "/flowruns/openapi.json", "/flowruns/redoc"])
def test_there_is_no_page_about_its_routes(airflow: AirflowWithUsers, path: str) -> None:
    assert airflow.open_page("admin", path).status_code == 404


def test_airflow_lists_its_menu_entry(airflow: AirflowWithUsers) -> None:
    (plugin,) = [one for one in airflow.get("/api/v2/plugins")["plugins"] if one["name"] == "flowruns"]
    (view,) = plugin["external_views"]
    assert (view["name"], view["href"], view["destination"]) == ("Flow runs", "flowruns/", "nav")
    assert airflow.get("/api/v2/plugins/importErrors")["import_errors"] == []


def test_page_false_leaves_neither_page_nor_menu_entry(airflow: AirflowWithUsers, dag_run: str) -> None:
    airflow.restart_api_server({"AIRFLOW__FLOWRUNS__PAGE": "False"})
    # Airflow's own UI takes every address that nothing else does, and says there that it knows no such page.
    assert airflow.open_page("admin").text == airflow.open_page("admin", "/no-such-page").text
    assert airflow.open_page("admin", "/flowruns/anything").text == airflow.open_page("admin", "/no-such-page").text
    (plugin,) = [one for one in airflow.get("/api/v2/plugins")["plugins"] if one["name"] == "flowruns"]
    assert (plugin["fastapi_apps"], plugin["external_views"]) == ([], [])
