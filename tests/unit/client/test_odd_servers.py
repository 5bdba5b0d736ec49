"""Servers that drip, lie, flood or speak something else: both clients end alike, in time, with an error of ours."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.client import bodies
from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.client.retry import ONCE
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.client.sync import SyncClient
from airflow_provider_flowruns.model import errors
from airflow_provider_flowruns.model.calls import Call, Part, Request
from airflow_provider_flowruns.sandbox.tls import create_certificate, create_server_context
from tests.unit.client.wire import (
    VARIABLES,
    Outcome,
    answering,
    answering_once,
    ok,
    outcome,
    outcomes,
    read_request,
    server,
    settings,
)

BODY = b'{"id": 5, "lifecycle": "NOT_RUNNING", "disposition": "SUCCEEDED"}'
ECHO = Call("portable", Request("GET", "/v2/flows"), lambda body: body)
MIB = 2**20


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def asked(serve: Callable[[socket.socket], None], call: Call[Any] = ECHO, **extra: Any) -> dict[str, Outcome]:
    with server(serve) as address:
        return outcomes(lambda: settings(f"http://{address}", **{"timeout": 20, **extra}), call)


def only(found: dict[str, Outcome]) -> Outcome:
    """Return what came of the exchange in both clients, which must be the same."""
    assert found["worker"].error == found["triggerer"].error, found
    assert found["worker"].result == found["triggerer"].result
    return found["worker"]


# -- one deadline for the whole exchange


def drip(connection: socket.socket, pieces: Iterator[bytes]) -> None:
    read_request(connection)
    stop = threading.Event()
    with suppress(OSError):
        for piece in pieces:
            connection.sendall(piece)
            stop.wait(0.05)


def forever(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


def after(start: bytes, piece: bytes) -> Iterator[bytes]:
    yield start
    yield from forever(piece)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
DRIPS = {
    "status line": lambda: (bytes([byte]) for byte in b"HTTP/1.1 200 " + b"x" * 10_000),
    "header": lambda: after(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "headers": lambda: after(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "100 for ever": lambda: forever(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102 for ever": lambda: forever(b"HTTP/1.1 102 Processing\r\n\r\n"),
    "103 for ever": lambda: forever(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "body": lambda: after(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
    "body without length": lambda: after(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    "chunks": lambda: after(CHUNKED + b"\r\n", b"1\r\n \r\n"),
    "chunk size": lambda: after(CHUNKED + b"\r\n", b"0"),
    "gzip": lambda: after(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b" ")[:10], b"\0"),
    "nothing": lambda: iter(()),
}


@pytest.mark.parametrize("has_tls", [False, True])
@pytest.mark.parametrize("name", DRIPS)
def test_a_server_that_drips_is_left_at_the_deadline(name, has_tls, tmp_path) -> None:
    def serve(connection: socket.socket) -> None:
        drip(connection, DRIPS[name]())
        connection.recv(1)  # until the client leaves

    authority = create_certificate(tmp_path) if has_tls else None
    with server(serve, create_server_context(authority) if authority else None) as address:
        base = f"{'https' if has_tls else 'http'}://{address}"
        verify = str(authority) if authority else None
        found = outcomes(lambda: settings(base, timeout=0.6, verify=verify), ECHO)
    one = only(found)
    assert one.error == "ServiceConnectionError"
    assert all("timed out waiting for the response" in each.said for each in found.values())


def test_a_server_that_never_ends_its_handshake_proves_that_nothing_was_sent(tmp_path) -> None:
    def serve(connection: socket.socket) -> None:
        drip_until_left(connection, b"\x16\x03\x03\x40\x00")

    found = outcomes_over_tls(serve, tmp_path)
    assert only(found).error == "RequestNotSentError"
    assert all("no connection within the connect timeout" in each.said for each in found.values())


def test_a_proxy_that_drips_is_left_at_the_deadline(tmp_path) -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        drip_until_left(connection, b"HTTP/1.1 200 OK\r\nX: ")

    with server(serve) as address:
        proxies = {"all": f"http://{address}"}
        found = outcomes(lambda: settings("https://flows.example.com", timeout=0.6, proxies=proxies), ECHO)
    assert only(found).error == "RequestNotSentError"


def test_a_socks_proxy_that_drips_is_left_at_the_deadline() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(3)
        connection.sendall(b"\x05\x00")
        connection.recv(100)
        drip_until_left(connection, b"\x05\x00\x00\x03\xff")

    with server(serve) as address:
        proxies = {"all": f"socks5h://{address}"}
        found = outcomes(lambda: settings("https://flows.example.com", timeout=0.6, proxies=proxies), ECHO)
    assert only(found).error == "RequestNotSentError"


def drip_until_left(connection: socket.socket, start: bytes) -> None:
    with suppress(OSError):
        connection.sendall(start)
        while True:
            threading.Event().wait(0.05)
            connection.sendall(b"\x01")


def outcomes_over_tls(serve: Callable[[socket.socket], None], tmp_path: Path) -> dict[str, Outcome]:
    authority = create_certificate(tmp_path)
    with server(serve) as address:
        return outcomes(lambda: settings(f"https://{address}", timeout=0.6, verify=str(authority)), ECHO)


class SlowFile(io.FileIO):
    """A file on a slow disk."""

    def read(self, size: int | None = -1) -> bytes:
        threading.Event().wait(0.15)
        return super().read(size)


def test_an_upload_may_take_longer_than_the_deadline_while_it_moves(tmp_path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(b"x" * 16 * 16_384)
    received = 0

    def serve(connection: socket.socket) -> None:
        nonlocal received
        while received < file.stat().st_size:
            received += len(connection.recv(65_536))
        connection.sendall(ok(BODY))
        connection.recv(1)

    part = Part("file", filename="large.bin", content_type="application/pdf", open=partial(SlowFile, str(file)))
    call = Call("portable", Request("POST", "/v2/flows", parts=(part,)), lambda body: body["id"])
    with server(serve) as address, SyncClient(settings(f"http://{address}", timeout=1), ONCE) as client:
        assert outcome(lambda: client.send(call)).result == 5


def test_an_upload_that_nobody_takes_ends(tmp_path) -> None:
    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        threading.Event().wait(30)

    file = tmp_path / "large.bin"
    file.write_bytes(b"x" * 32 * MIB)
    part = Part("file", filename="large.bin", content_type="application/pdf", open=partial(file.open, "rb"))
    call = Call("portable", Request("POST", "/v2/flows", parts=(part,)), lambda body: body["id"])
    with server(serve) as address, SyncClient(settings(f"http://{address}", timeout=0.5), ONCE) as client:
        one = outcome(lambda: client.send(call))
    assert one.error == "ServiceConnectionError"


def test_a_response_to_an_upload_has_the_deadline_of_every_response(tmp_path) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        drip_until_left(connection, b"HTTP/1.1 200 OK\r\nX: ")

    file = tmp_path / "small.bin"
    file.write_bytes(b"x")
    part = Part("file", filename="small.bin", content_type="application/pdf", open=partial(file.open, "rb"))
    call = Call("portable", Request("POST", "/v2/flows", parts=(part,)), lambda body: body["id"])
    with server(serve) as address, SyncClient(settings(f"http://{address}", timeout=0.5), ONCE) as client:
        assert outcome(lambda: client.send(call)).error == "ServiceConnectionError"


def test_a_file_that_is_gone_proves_that_nothing_was_sent(tmp_path) -> None:
    part = Part("file", filename="gone.pdf", open=partial((tmp_path / "gone.pdf").open, "rb"))
    call = Call("portable", Request("POST", "/v2/flows", parts=(part,)), lambda body: body["id"])
    with server(answering(ok(BODY))) as address, SyncClient(settings(f"http://{address}"), ONCE) as client:
        one = outcome(lambda: client.send(call))
    assert one.error == "RequestNotSentError"
    assert "gone.pdf" in one.said


# -- interim answers, and answers without a body


INTERIM = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nContent-Length: 7\r\n\r\n",
    "199": b"HTTP/1.1 199 Odd\r\nX: y\r\n\r\n",
    "many": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 50 + b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("name", INTERIM)
def test_interim_responses_are_skipped(name) -> None:
    answers = iter(b'{"id": %d}' % number for number in range(10))

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(INTERIM[name] + ok(next(answers)))

    with server(serve) as address:
        found = outcomes(lambda: settings(f"http://{address}"), ECHO, times=3)
    # Each request has its own answer, on a connection that is kept alive.
    assert (found["worker"].result, found["triggerer"].result) == ({"id": 2}, {"id": 5})


@pytest.mark.parametrize("status", ["101 Switching Protocols", "101 Switching Protocols\r\nUpgrade: websocket"])
def test_a_change_of_protocol_is_no_response(status) -> None:
    found = asked(answering(f"HTTP/1.1 {status}\r\nConnection: upgrade\r\n\r\n".encode() + ok(BODY)))
    assert only(found).error == "UnexpectedResponseError"


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified"])
@pytest.mark.parametrize("may_be_empty", [False, True])
def test_a_response_without_a_body_is_read_alike(status, may_be_empty) -> None:
    call = Call("portable", Request("GET", "/v2/flows"), lambda body: body, may_be_empty=may_be_empty)
    found = asked(answering_once(f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n".encode()), call)
    is_good = may_be_empty and status.startswith("20")
    assert only(found).error == (None if is_good else "UnexpectedResponseError")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_body_that_must_not_be_there_is_not_taken_for_the_next_response(status) -> None:
    stale = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"id":1}'

    def serve(connection: socket.socket) -> None:
        first = True
        while read_request(connection):
            connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode() + stale if first else ok(BODY))
            first = False

    empty = Call("portable", Request("GET", "/v2/flows"), lambda body: body, may_be_empty=True)
    with server(serve) as address:
        found = outcomes(lambda: settings(f"http://{address}"), empty, times=3)
    assert all(one.result is None or one.result == json.loads(BODY) for one in found.values()), found


# -- answers that are no HTTP, or none of this API


ODD = {
    "nothing": b"",
    "garbage": b"\x00\xff\x00\xff\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP 0.9": b"<html>hello</html>",
    "no status": b"HTTP/1.1\r\n\r\n",
    "odd status": b"HTTP/1.1 abc OK\r\n\r\n",
    "long status": b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n",
    "long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "short body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    "odd chunk size": CHUNKED + b"\r\nxyz\r\n{}\r\n0\r\n\r\n",
    "chunks cut short": CHUNKED + b"\r\n2\r\n{}\r\n",
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_not_a_response_is_a_failed_connection(name) -> None:
    assert only(asked(answering_once(ODD[name]))).error == "ServiceConnectionError"


UNREADABLE = {
    "unknown encoding": ok(BODY, Content_Encoding="br"),
    "two encodings": ok(gzip.compress(BODY), Content_Encoding="gzip, gzip"),
    "no gzip": ok(BODY, Content_Encoding="gzip"),
    "no deflate": ok(BODY, Content_Encoding="deflate"),
    "gzip cut short": ok(gzip.compress(BODY)[:-12], Content_Encoding="gzip"),
    "gzip with a wrong sum": ok(gzip.compress(BODY)[:-8] + b"\0" * 8, Content_Encoding="gzip"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_body_that_cannot_be_decompressed_is_unexpected(name) -> None:
    assert only(asked(answering(UNREADABLE[name]))).error == "UnexpectedResponseError"


RAW_DEFLATE = zlib.compressobj(wbits=-15)
READABLE = {
    "identity": ok(BODY, Content_Encoding="identity"),
    "gzip": ok(gzip.compress(BODY), Content_Encoding="gzip"),
    "x-gzip in capitals": ok(gzip.compress(BODY), Content_Encoding="X-GZIP"),
    "gzip in two members": ok(gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]), Content_Encoding="gzip"),
    "gzip and padding": ok(gzip.compress(BODY) + b"\0" * 64, Content_Encoding="gzip"),
    "deflate": ok(zlib.compress(BODY), Content_Encoding="deflate"),
    "raw deflate": ok(RAW_DEFLATE.compress(BODY) + RAW_DEFLATE.flush(), Content_Encoding="deflate"),
    "chunks": CHUNKED + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "odd headers": ok(BODY, X="caf\xe9"),
    "a header of 60,000 bytes": ok(BODY, X="x" * 60_000),
}


@pytest.mark.parametrize("name", READABLE)
def test_a_body_is_read_however_it_comes(name) -> None:
    assert only(asked(answering(READABLE[name]))).result == json.loads(BODY)


@pytest.mark.parametrize("size", [100_000, 3 * MIB])
def test_a_large_body_is_read_however_it_comes(size) -> None:
    value = {"rows": [{"id": number, "name": "x" * 50} for number in range(size // 80)]}
    body = json.dumps(value).encode()
    for answer in (ok(body), ok(gzip.compress(body, 1), Content_Encoding="gzip")):
        assert only(asked(answering(answer))).result == value


@pytest.mark.parametrize("location", [b"https://caf\xe9.example.com", b"/\xff\xfe", "/größe".encode(), b"/a\x01b"])
def test_texts_of_headers_can_be_shown_and_stored(location) -> None:
    answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    for one in asked(answering(answer)).values():
        assert one.error in {"UnexpectedResponseError", "ServiceConnectionError"}
        assert one.said.isascii()
        assert one.said.isprintable()


def test_a_server_that_speaks_no_tls_proves_that_nothing_was_sent(tmp_path) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    found = outcomes_over_tls(serve, tmp_path)
    assert only(found).error == "RequestNotSentError"
    assert all("TLS failed" in one.said for one in found.values())


def test_a_server_that_speaks_tls_only_gives_no_response(tmp_path) -> None:
    authority = create_certificate(tmp_path)
    with server(answering(ok(BODY)), create_server_context(authority)) as address:
        found = outcomes(lambda: settings(f"http://{address}"), ECHO)
    assert only(found).error == "ServiceConnectionError"


@pytest.mark.parametrize("host", ["http://nowhere.invalid", "http://127.0.0.1:9", "http://xn--a.invalid"])
def test_a_server_that_is_not_there_proves_that_nothing_was_sent(host) -> None:
    assert only(outcomes(lambda: settings(host), ECHO)).error == "RequestNotSentError"


# -- whatever a library raises


class Odd(Exception):
    """No error of any library that a client could know."""


@pytest.mark.parametrize(
    "raised", [Odd("odd"), RuntimeError("Session is closed"), UnicodeError("odd"), ValueError("odd")]
)
@pytest.mark.parametrize(
    ("client", "place"),
    [
        ("worker", "requests.Session.send"),
        ("worker", "requests.Session.prepare_request"),
        ("worker", "urllib3.response.HTTPResponse.read"),
        ("triggerer", "aiohttp.ClientSession._request"),
        ("triggerer", "airflow_provider_flowruns.client.aio_transport._build_url"),
        ("triggerer", "aiohttp.StreamReader.readany"),
    ],
)
def test_an_exception_of_a_library_never_leaves_a_client(monkeypatch, client, place, raised) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(place, fail)
    one = asked(answering(ok(BODY)))[client]
    assert issubclass(getattr(errors, str(one.error)), errors.ServiceConnectionError)
    is_before_sending = place.endswith(("prepare_request", "_url"))
    assert one.error == ("RequestNotSentError" if is_before_sending else "ServiceConnectionError")
    assert type(raised).__name__ in one.said


# -- the bound on a body


def bomb(size: int) -> bytes:
    stream = zlib.compressobj(9, wbits=31)
    return b"".join([*(stream.compress(b" " * MIB) for _ in range(size // MIB)), stream.flush()])


def flood(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(CHUNKED + b"\r\n")
    with suppress(OSError):
        while True:
            connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")


def flood_of_a_redirect(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n")
    with suppress(OSError):
        while True:
            connection.sendall(b" " * 65_536)


def flood_of_gzip(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(CHUNKED + b"Content-Encoding: gzip\r\n\r\n")
    piece = bomb(64 * MIB)
    with suppress(OSError):
        while True:
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))


TOO_LARGE: dict[str, Callable[[socket.socket], None]] = {
    "length up front": answering_once(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"),
    "length beyond all numbers": answering_once(b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n"),
    "a body": answering(ok(b" " * 3 * MIB)),
    "a body without length": answering_once(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 3 * MIB),
    "endless chunks": flood,
    "endless chunks of gzip": flood_of_gzip,
    "gzip": answering(ok(bomb(64 * MIB), Content_Encoding="gzip")),
    "gzip in many members": answering(ok(bomb(MIB) * 40, Content_Encoding="gzip")),
    "deflate": answering(ok(zlib.compress(b" " * 64 * MIB), Content_Encoding="deflate")),
    "a redirect": flood_of_a_redirect,
    "an error": answering_once(b"HTTP/1.1 500 No\r\nContent-Length: 9999999\r\n\r\n"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_body_that_is_too_large_is_refused_and_names_the_field(name) -> None:
    found = asked(TOO_LARGE[name], max_response_mb=2)
    assert only(found).error == "UnexpectedResponseError"
    for one in found.values():
        assert "the response is larger than 2 MiB" in one.said
        assert "connection 'my_conn': raise extra 'max_response_mb'" in one.said


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_a_body_at_the_bound_is_read(encoding) -> None:
    body = b'"' + b"x" * (2 * MIB - 2) + b'"'
    sent = gzip.compress(body, 1) if encoding else body
    found = asked(answering(ok(sent, Content_Encoding=encoding)), max_response_mb=2)
    assert len(only(found).result) == 2 * MIB - 2
    larger = gzip.compress(body + b" ", 1) if encoding else body + b" "
    assert (
        only(asked(answering(ok(larger, Content_Encoding=encoding)), max_response_mb=2)).error
        == "UnexpectedResponseError"
    )


def test_a_bomb_takes_no_more_memory_than_the_bound() -> None:
    buffer = bodies.BodyBuffer({"content-encoding": "gzip"}, 2 * MIB)
    packed = bomb(256 * MIB)
    tracemalloc.start()
    try:
        buffer.add(packed)
        with pytest.raises(bodies.BodyTooLargeError):
            buffer.decompress()
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


# -- large bodies and the event loop


def threads_of(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Return, for each step of taking an answer in the triggerer, whether it was done in the event loop's thread."""
    threads: dict[str, int] = {}
    inflate = bodies._inflate

    def inflating(*arguments: Any) -> bytes:
        threads["decompress"] = threading.get_ident()
        return inflate(*arguments)

    def read(body: Any) -> None:
        threads["read"] = threading.get_ident()

    monkeypatch.setattr(bodies, "_inflate", inflating)

    async def ask(address: str) -> int:
        async def look_up() -> Settings:
            return settings(f"http://{address}")

        client = AsyncClient(look_up, ONCE)
        await client.send(Call("portable", Request("GET", "/v2/flows"), read))
        await client.close()
        return threading.get_ident()

    with server(answering(answer)) as address:
        loop_thread = asyncio.run(ask(address))
    return {step: thread == loop_thread for step, thread in threads.items()}


@pytest.mark.parametrize(("size", "is_in_loop"), [(1_000, True), (200_000, True), (300_000, False), (5 * MIB, False)])
def test_a_large_body_is_read_off_the_loop(monkeypatch, size, is_in_loop) -> None:
    assert threads_of(ok(b'"' + b"x" * size + b'"'), monkeypatch) == {"read": is_in_loop}


def test_a_large_compressed_body_is_decompressed_off_the_loop(monkeypatch) -> None:
    answer = ok(bomb(20 * MIB) + gzip.compress(b"[]"), Content_Encoding="gzip")
    assert threads_of(answer, monkeypatch) == {"decompress": False, "read": False}


def test_a_small_compressed_body_is_decompressed_in_the_loop(monkeypatch) -> None:
    assert threads_of(ok(gzip.compress(BODY), Content_Encoding="gzip"), monkeypatch) == {
        "decompress": True,
        "read": True,
    }
