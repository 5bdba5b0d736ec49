"""The application behind Airflow's login: whom it lets in, and what it asks the services."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

if not AIRFLOW_V_3_1_PLUS:
    pytest.skip("Airflow shows pages of plugins since 3.1", allow_module_level=True)

from airflow.api_fastapi.core_api import security
from fastapi import HTTPException
from fastapi.testclient import TestClient

from airflow_provider_flowruns.model.runs import Flow
from airflow_provider_flowruns.page import app as app_module
from airflow_provider_flowruns.page import permissions
from airflow_provider_flowruns.page.connections import NamedConnection
from airflow_provider_flowruns.page.flow_history import ConnectionHistory, FlowHistory
from airflow_provider_flowruns.page.waits import Waits
from tests.unit.page.test_rendering import make_wait

TOKEN = "token-of-"
NOBODY, VIEWER, OPERATOR = None, "viewer", "operator"


class AuthManager:
    """Airflow's auth manager, as far as the page asks it. An operator may read the connections in ``readable``."""

    def __init__(self) -> None:
        self.readable = {"portable_default", "tableflow_default"}
        self.dag_ids = {"orders"}

    async def get_user_from_token(self, token: str) -> Any:
        return SimpleNamespace(name=token.removeprefix(TOKEN))

    def is_authorized_connection(self, *, method: str, user: Any, details: Any = None) -> bool:
        assert method == "GET"
        conn_id = details and details.conn_id
        return user.name == OPERATOR and (conn_id is None or conn_id in self.readable)

    def is_authorized_dag(self, *, method: str, access_entity: Any, user: Any, details: Any = None) -> bool:
        return bool(self.dag_ids)

    def get_authorized_dag_ids(self, *, user: Any, method: str = "GET") -> set[str]:
        assert method == "GET"
        return self.dag_ids


class World:
    """What the application finds in Airflow and at the services."""

    def __init__(self) -> None:
        self.auth_manager = AuthManager()
        self.connections = [
            NamedConnection("portable_default", "portable"),
            NamedConnection("secret_default", "activepieces"),
            NamedConnection("tableflow_default", "tableflow"),
        ]
        self.waits = [make_wait(), make_wait(conn_id="secret_default"), make_wait(conn_id="from_backend")]
        self.read: list[str] = []
        self.threads: set[int] = set()
        self.slow: set[str] = set()
        self.release = threading.Event()

    def read_history(self, conn_id: str) -> ConnectionHistory:
        self.read.append(conn_id)
        if conn_id in self.slow:
            self.release.wait(30)
        return ConnectionHistory([FlowHistory(Flow("portable", "7", f"flow of {conn_id}"), ())], datetime.now(UTC))

    def read_waits(self, dag_ids: Any) -> Waits:
        self.threads.add(threading.get_ident())
        return Waits([wait for wait in self.waits if wait.dag_id in dag_ids])


@pytest.fixture
def world(monkeypatch):
    world = World()
    for module in (security, permissions):
        monkeypatch.setattr(module, "get_auth_manager", lambda: world.auth_manager)
    monkeypatch.setattr(app_module, "read_history", world.read_history)
    monkeypatch.setattr(app_module, "read_waits", world.read_waits)
    monkeypatch.setattr(app_module, "list_connections", lambda: world.connections)
    app_module.get_app.cache_clear()
    yield world
    world.release.set()
    app_module.get_app.cache_clear()


def open_page(user: str | None, path: str = "/", method: str = "GET", **options: Any) -> Any:
    client = TestClient(app_module.get_app(), cookies={"_token": f"{TOKEN}{user}"} if user else {})
    return client.request(method, path, **options)


def test_nobody_sees_it_without_logging_in(world) -> None:
    response = open_page(NOBODY)
    assert response.status_code == 401
    assert "portable" not in response.text
    assert world.read == []


def test_a_token_that_airflow_refuses_is_refused(world, monkeypatch) -> None:
    async def refuse(token: str) -> None:
        raise HTTPException(403, "Invalid JWT token")

    monkeypatch.setattr(security, "resolve_user_from_token", refuse)
    assert open_page(OPERATOR).status_code == 403
    assert world.read == []


def test_who_may_not_read_connections_sees_nothing(world) -> None:
    response = open_page(VIEWER)
    assert response.status_code == 403
    assert "No permission" in response.text
    assert "portable" not in response.text
    assert world.read == []


def test_only_connections_that_the_user_may_read_are_read_and_named(world) -> None:
    response = open_page(OPERATOR)
    assert response.status_code == 200
    assert sorted(world.read) == ["portable_default", "tableflow_default"]
    assert "flow of portable_default" in response.text
    assert "secret_default" not in response.text


def test_a_connection_of_a_secrets_backend_is_shown_while_a_task_polls_it(world) -> None:
    world.auth_manager.readable.add("from_backend")
    assert "flow of from_backend" in open_page(OPERATOR).text


def test_only_waits_in_dags_that_the_user_may_read_are_shown(world) -> None:
    assert "orders.wait_for_orders" in open_page(OPERATOR).text
    world.auth_manager.dag_ids = {"another"}
    assert "orders.wait_for_orders" not in open_page(OPERATOR).text


def test_who_may_read_no_dag_sees_no_wait(world) -> None:
    world.auth_manager.dag_ids = set()
    response = open_page(OPERATOR)
    assert response.status_code == 200
    assert "orders.wait_for_orders" not in response.text


def test_a_connection_is_read_once_for_all_who_look_within_a_while(world) -> None:
    for _ in range(3):
        open_page(OPERATOR)
    assert sorted(world.read) == ["portable_default", "tableflow_default"]


def test_a_slow_service_delays_no_other_and_the_page_no_longer_than_it_says(world, monkeypatch) -> None:
    monkeypatch.setattr(app_module, "MAX_WAIT_SECONDS", 0.3)
    world.slow.add("portable_default")
    page = open_page(OPERATOR).text
    assert "still being read" in page
    assert "flow of tableflow_default" in page


def test_it_works_in_a_thread_and_not_in_the_event_loop(world) -> None:
    open_page(OPERATOR)
    loop_threads = []
    app = app_module.get_app()

    @app.get("/thread")
    async def note_thread() -> None:
        loop_threads.append(threading.get_ident())

    with TestClient(app, cookies={"_token": f"{TOKEN}{OPERATOR}"}) as client:
        client.get("/thread")
        world.threads.clear()
        client.get("/")
    assert world.threads
    assert world.threads.isdisjoint(loop_threads)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_it_can_only_be_read(world, method) -> None:
    assert open_page(OPERATOR, method=method).status_code == 405
    assert world.read == []


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/anything"])
def test_there_is_no_other_page(world, path) -> None:
    response = open_page(OPERATOR, path)
    assert response.status_code == 404
    assert "script" not in response.text


@pytest.mark.parametrize(("user", "path"), [(NOBODY, "/"), (VIEWER, "/"), (OPERATOR, "/"), (OPERATOR, "/anything")])
def test_every_response_forbids_scripts_frames_and_copies(world, user, path) -> None:
    headers = open_page(user, path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy == dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_result_is_taken_only_from_a_reading_that_has_ended() -> None:
    assert app_module._get_result(Future()) is None
