"""An error that leaves a client holds on to nothing of the library that failed: its objects hold the token."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from threading import Thread
from types import TracebackType
from typing import Any

import pytest

from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.client.retry import ONCE, RetryPolicy
from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.client.sync import SyncClient
from airflow_provider_flowruns.model.errors import ApiError, ServiceConnectionError, UnexpectedResponseError
from airflow_provider_flowruns.services.portable import PortableApi

TOKEN = "made-up-token-0123456789"
CALL = PortableApi().get_flow_status(5)
FOREIGN = ("requests", "urllib3", "http.client", "aiohttp", "json", "msgspec")

RESPONSES = {
    "nothing": (b"", ServiceConnectionError),
    "no HTTP": (b"SSH-2.0-made-up\r\n\r\n", ServiceConnectionError),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", ServiceConnectionError),
    "no JSON": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", UnexpectedResponseError),
    "another shape": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", UnexpectedResponseError),
}


@pytest.fixture(params=[*RESPONSES, "refused"])
def failing(request: pytest.FixtureRequest) -> Iterator[tuple[Settings, type[ApiError]]]:
    """A connection to a server that fails in some way, and the error that stands for it."""
    server = socket.create_server(("127.0.0.1", 0))
    host = f"http://127.0.0.1:{server.getsockname()[1]}"
    settings = parse_settings("portable", "my_conn", host=host, schema=None, port=None, password=TOKEN, extra={})
    if request.param == "refused":
        server.close()
        yield settings, ServiceConnectionError
        return
    data, kind = RESPONSES[request.param]

    def serve() -> None:
        with closing(server):
            while True:
                connection, _ = server.accept()
                with connection:
                    if not connection.recv(65_536):
                        return
                    connection.sendall(data)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    yield settings, kind
    with socket.create_connection(server.getsockname()) as last:
        last.shutdown(socket.SHUT_WR)
    thread.join(10)


def reachable(error: BaseException) -> list[object]:
    """Return every exception that hangs on an error, and everything that their frames hold."""
    found: list[object] = []
    known: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in known:
            continue
        known.add(id(one))
        if isinstance(one, BaseException):
            found.append(one)
            todo += [one.__context__, one.__cause__, one.__traceback__, *one.args]
        elif isinstance(one, TracebackType):
            values = [value for name, value in one.tb_frame.f_locals.items() if name not in {"self", "failing"}]
            found += values
            todo += [one.tb_next, *(value for value in values if isinstance(value, BaseException))]
    return found


def is_foreign(one: object) -> bool:
    return type(one).__module__.startswith(FOREIGN)


def send_sync(settings: Settings, retry: RetryPolicy) -> None:
    with SyncClient(settings, retry) as client:
        client.send(CALL)


def send_async(settings: Settings, retry: RetryPolicy) -> None:
    async def lookup() -> Settings:
        return settings

    async def send() -> None:
        client = AsyncClient(lookup, retry)
        try:
            await client.send(CALL)
        finally:
            await client.close()

    asyncio.run(send())


@pytest.mark.parametrize(
    "retry", [ONCE, RetryPolicy(attempts=2, first_wait=0.01, max_wait=0.01)], ids=["once", "twice"]
)
@pytest.mark.parametrize("send", [send_sync, send_async])
def test_an_error_holds_no_object_of_the_library_that_failed(failing, send, retry) -> None:
    settings, kind = failing

    with pytest.raises(kind) as raised:
        send(settings, retry)
    assert (raised.value.__context__, raised.value.__cause__) == (None, None)
    assert [one for one in reachable(raised.value) if is_foreign(one)] == []
