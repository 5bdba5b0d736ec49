"""A token that is refused is looked up again, for as long as anybody asks; what else was changed counts, too."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.client import aio
from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.client.retry import ONCE
from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.model.calls import Call, Request
from airflow_provider_flowruns.model.errors import (
    AuthenticationError,
    ConfigurationError,
    FlowRunsError,
    RequestNotSentError,
    ServiceConnectionError,
)
from airflow_provider_flowruns.sandbox.tls import create_certificate, create_server_context
from tests.unit.client.wire import VARIABLES, RecordingProxy, ok, read_request, server

ASK = Call("portable", Request("GET", "/v2/flows"), lambda body: body)
REFUSAL = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


class Web:
    """A server that accepts one token, and counts its connections."""

    def __init__(self, accepted: str = "new") -> None:
        self.token = accepted
        self.connections = 0
        self.requests = 0

    def __call__(self, connection: socket.socket) -> None:
        self.connections += 1
        while head := read_request(connection):
            self.requests += 1
            is_known = f"Bearer {self.token}\r\n".encode() in head
            connection.sendall(ok(b'"good"') if is_known else REFUSAL)


class Airflow:
    """Hands out a connection, or raises what it is told to."""

    def __init__(self, host: str, token: str, **extra: Any) -> None:
        self.host, self.token, self.extra = host, token, extra
        self.failure: FlowRunsError | None = None
        self.lookups = 0

    async def __call__(self) -> Settings:
        self.lookups += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return parse_settings(
            "portable", "my_conn", host=self.host, schema=None, port=None, password=self.token, extra=self.extra
        )


def run(airflow: Airflow, steps: Callable[[Callable[[], Any]], Any]) -> None:
    """Run steps that get a function which sends one request and returns the result, or the error."""

    async def main() -> None:
        client = AsyncClient(airflow, ONCE)

        async def ask() -> Any:
            try:
                return await client.send(ASK)
            except FlowRunsError as error:
                return type(error)

        await steps(ask)
        await client.close()

    asyncio.run(main())


def test_a_refused_token_is_looked_up_once_a_minute_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(web := Web()) as address:
        airflow = Airflow(f"http://{address}", "old")

        async def steps(ask: Callable[[], Any]) -> None:
            for _ in range(5):
                assert await ask() is AuthenticationError
            assert airflow.lookups == 2
            for lookups in range(3, 8):
                monkeypatch.setattr(aio, "RELOAD_INTERVAL_SECONDS", 0.0)
                assert await ask() is AuthenticationError
                monkeypatch.setattr(aio, "RELOAD_INTERVAL_SECONDS", 60.0)
                assert await ask() is AuthenticationError
                assert airflow.lookups == lookups
            monkeypatch.setattr(aio, "RELOAD_INTERVAL_SECONDS", 0.0)
            airflow.token = "new"
            assert await ask() == "good"

        run(airflow, steps)
    assert web.connections == 1


def test_an_airflow_that_cannot_be_asked_again_is_trouble_that_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert issubclass(RequestNotSentError, ServiceConnectionError)
    assert ServiceConnectionError.transient
    with server(web := Web()) as address:
        airflow = Airflow(f"http://{address}", "new")

        async def steps(ask: Callable[[], Any]) -> None:
            assert await ask() == "good"
            web.token = "newer"
            airflow.failure = RequestNotSentError("Portable", "GET", "(connection)", None, "Airflow is away")
            assert await ask() is RequestNotSentError
            assert (
                await ask() is RequestNotSentError
            )  # there may be another token, and it is not asked for at every poll
            assert airflow.lookups == 2
            monkeypatch.setattr(aio, "RELOAD_INTERVAL_SECONDS", 0.0)
            airflow.failure, airflow.token = None, "newer"
            assert await ask() == "good"

        run(airflow, steps)


def test_a_connection_that_is_half_changed_is_reported_as_the_token_that_was_refused() -> None:
    with server(web := Web()) as address:
        airflow = Airflow(f"http://{address}", "new")

        async def steps(ask: Callable[[], Any]) -> None:
            assert await ask() == "good"
            web.token = "newer"
            airflow.failure = ConfigurationError("connection 'my_conn' has no password")
            assert await ask() is AuthenticationError
            airflow.failure = None
            assert await ask() is AuthenticationError

        run(airflow, steps)


def test_those_who_ask_while_it_is_looked_up_share_the_look_up() -> None:
    with server(Web()) as address:
        airflow = Airflow(f"http://{address}", "old")

        async def steps(ask: Callable[[], Any]) -> None:
            assert await ask() is AuthenticationError
            assert airflow.lookups == 2
            airflow.token = "other"
            assert {await one for one in [asyncio.ensure_future(ask()) for _ in range(30)]} == {AuthenticationError}
            assert airflow.lookups == 2

        run(airflow, steps)


def test_a_new_token_uses_the_connections_that_are_there() -> None:
    with server(web := Web()) as address:
        airflow = Airflow(f"http://{address}", "new")

        async def steps(ask: Callable[[], Any]) -> None:
            assert await ask() == "good"
            web.token = airflow.token = "newer"
            assert await ask() == "good"

        run(airflow, steps)
    assert (web.connections, airflow.lookups) == (1, 2)


@pytest.mark.parametrize("change", ["host", "proxies", "verify", "timeout"])
def test_what_was_changed_with_the_token_counts(change: str, tmp_path: Path) -> None:
    authority = create_certificate(tmp_path)
    old, new = Web("old"), Web("new")
    with (
        server(old) as old_address,
        server(new, create_server_context(authority) if change == "verify" else None) as new_address,
        RecordingProxy() as proxy,
    ):
        airflow = Airflow(f"http://{old_address}", "old")

        async def steps(ask: Callable[[], Any]) -> None:
            assert await ask() == "good"
            old.token, airflow.token = "gone", "new"
            if change == "timeout":
                old.token, airflow.extra = "new", {"timeout": 5}
            else:
                airflow.host = f"{'https' if change == 'verify' else 'http'}://{new_address}"
                extras: dict[str, dict[str, Any]] = {
                    "host": {},
                    "proxies": {"proxies": {"http": proxy.address}},
                    "verify": {"verify": str(authority)},
                }
                airflow.extra = extras[change]
            assert await ask() == "good"
            assert await ask() == "good"

        run(airflow, steps)
        assert len(proxy.seen) == (2 if change == "proxies" else 0)
    assert new.requests == (0 if change == "timeout" else 2)


def test_a_ca_file_that_is_not_here_ends_no_wait_that_has_a_token(tmp_path: Path) -> None:
    with server(web := Web("old")) as address:
        airflow = Airflow(f"http://{address}", "old")

        async def steps(ask: Callable[[], Any]) -> None:
            assert await ask() == "good"
            web.token = "new"
            airflow.token, airflow.extra = "new", {"verify": str(tmp_path / "missing.pem")}
            assert await ask() is AuthenticationError

        run(airflow, steps)


def test_requests_that_are_under_way_keep_their_connection_to_the_end() -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def slow(connection: socket.socket) -> None:
        while head := read_request(connection):
            if b"/slow" in head:
                is_asked.set()
                may_answer.wait(30)
                connection.sendall(ok(b'"late"'))
            else:
                connection.sendall(REFUSAL)

    with server(slow) as old_address, server(Web()) as new_address:
        airflow = Airflow(f"http://{old_address}", "old")

        async def main() -> None:
            client = AsyncClient(airflow, ONCE)
            late = asyncio.create_task(client.send(Call("portable", Request("GET", "/slow"), lambda body: body)))
            await asyncio.to_thread(is_asked.wait, 30)
            airflow.host, airflow.token = f"http://{new_address}", "new"
            assert await client.send(ASK) == "good"
            may_answer.set()
            assert await late == "late"
            await client.close()

        asyncio.run(main())
