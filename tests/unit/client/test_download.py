"""Files that are passed on while they arrive: whole or an error, with little memory, and sent again only before."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from airflow_provider_flowruns.client.retry import ONCE, RetryPolicy
from airflow_provider_flowruns.client.sync import SyncClient
from airflow_provider_flowruns.model.calls import Download, Request
from airflow_provider_flowruns.model.errors import (
    ApiError,
    NotFoundError,
    RequestNotSentError,
    ServerError,
    ServiceConnectionError,
    UnexpectedResponseError,
)
from tests.unit.client.wire import TOKEN, answering, answering_once, ok, read_request, server, settings

FILE = Download("portable", Request("GET", "/v2/files/5", accept="*/*"), {409: "it is being made"})
QUICK = RetryPolicy(attempts=3, first_wait=0.0, max_wait=0.0)


@contextmanager
def client_of(serve: Callable[[socket.socket], None], retry: RetryPolicy = ONCE, **extra: Any) -> Generator[SyncClient]:
    with server(serve) as address, SyncClient(settings(f"http://{address}", **extra), retry) as client:
        yield client


def read(serve: Callable[[socket.socket], None], retry: RetryPolicy = ONCE, **extra: Any) -> bytes:
    with client_of(serve, retry, **extra) as client, client.download(FILE) as body:
        return b"".join(body.chunks)


def fail_with(error: type[ApiError], serve: Callable[[socket.socket], None], **extra: Any) -> str:
    with pytest.raises(error) as raised:
        read(serve, **extra)
    chain: BaseException | None = raised.value
    while chain:
        assert TOKEN not in f"{chain!r} {chain.__dict__}"
        chain = chain.__cause__ or chain.__context__
    return str(raised.value)


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
def test_a_file_arrives_as_it_was_sent(size) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    assert read(answering(ok(content[:size], Content_Type="text/csv"))) == content[:size]


def test_headers_are_those_of_the_response() -> None:
    answer = ok(b"a,b\n", Content_Disposition='attachment; filename="rows.csv"')
    with client_of(answering(answer)) as client, client.download(FILE) as body:
        assert body.headers["content-disposition"] == 'attachment; filename="rows.csv"'


def test_a_compressed_file_is_decompressed() -> None:
    assert read(answering(ok(gzip.compress(b"a,b\n" * 50_000), Content_Encoding="gzip"))) == b"a,b\n" * 50_000


def test_the_request_asks_for_any_type_with_the_token() -> None:
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(ok(b""))

    read(serve)
    assert b"\r\nAccept: */*\r\n" in requests[0]
    assert f"Bearer {TOKEN}".encode() in requests[0]


CUT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 999,
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 30\r\n\r\nthis is not in that encoding: x",
}


@pytest.mark.parametrize("name", CUT)
def test_a_body_that_ends_early_is_an_error(name) -> None:
    assert "ended early" in fail_with(ServiceConnectionError, answering_once(CUT[name]))


def test_a_body_that_stops_is_left_at_the_deadline() -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000)
        connection.recv(1)  # until the client leaves

    assert "timed out" in fail_with(ServiceConnectionError, serve, timeout=0.5)


def test_a_slow_file_may_take_longer_than_the_timeout_while_it_advances() -> None:
    pause = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 262144\r\n\r\n")
        for _ in range(4):
            pause.wait(0.5)
            connection.sendall(b"x" * 65_536)

    assert len(read(serve, timeout=1.5)) == 262_144


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        ("404 Not Found", NotFoundError, "no such file"),
        ("503 Unavailable", ServerError, "no such file"),
        ("409 Conflict", ApiError, "it is being made"),
        ("302 Found", UnexpectedResponseError, "not followed with the token"),
    ],
)
def test_another_status_is_the_error_that_it_stands_for(status, error, text) -> None:
    body = b'{"message": "no such file"}'
    head = f"HTTP/1.1 {status}\r\nLocation: http://elsewhere.example/\r\nContent-Length: {len(body)}\r\n\r\n"
    assert text in fail_with(error, answering(head.encode() + body))


def test_an_error_with_a_huge_body_is_an_error_all_the_same() -> None:
    head = b"HTTP/1.1 500 Oops\r\nContent-Length: 10000000\r\n\r\n"
    fail_with(ServerError, answering(head + b"x" * 10_000_000))


def test_a_server_that_is_not_there_got_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    client = SyncClient(settings(f"http://{address}"), ONCE)
    with client, pytest.raises(RequestNotSentError), client.download(FILE):
        raise AssertionError


def test_the_request_is_sent_again_before_the_body_begins_and_not_after() -> None:
    answers = [
        b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n",
        CUT["length"],
        ok(b"whole"),
    ]

    def serve(connection: socket.socket) -> None:
        while len(answers) > 1 and read_request(connection):
            answer = answers.pop(0)
            connection.sendall(answer)
            if answer == CUT["length"]:
                return

    with pytest.raises(ServiceConnectionError, match="ended early"):
        read(serve, QUICK)
    assert answers == [ok(b"whole")]


def test_memory_does_not_grow_with_the_file() -> None:
    size = 48 * 2**20

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        with suppress(OSError):
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
            for _ in range(size // 2**16):
                connection.sendall(bytes(2**16))

    with client_of(serve) as client, client.download(FILE) as body:
        tracemalloc.start()
        try:
            received = sum(len(chunk) for chunk in body.chunks)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert received == size
    assert peak < 2 * 2**20


def test_the_client_can_be_used_after_a_file_that_was_left() -> None:
    with client_of(answering(ok(b"x" * 500_000))) as client:
        with client.download(FILE) as body:
            next(iter(body.chunks))
        with client.download(FILE) as body:
            assert len(b"".join(body.chunks)) == 500_000
