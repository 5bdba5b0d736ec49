"""Servers and proxies that do exactly what a test wants, and one exchange with them in the way of each client."""

from __future__ import annotations

import asyncio
import base64
import http.client
import select
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.client.retry import ONCE
from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.client.sync import SyncClient
from airflow_provider_flowruns.model.calls import Call
from airflow_provider_flowruns.services.portable import PortableApi

TOKEN = "made-up-token-0123456789"
GET_STATUS = PortableApi().get_flow_status(5)
#: Nothing here takes so long; a client that has not come back by then never will.
GUARD_SECONDS = 60.0
#: Whatever the machine that runs the tests says about its network is not part of them.
VARIABLES = (
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *(f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL", "NO")),
    *(f"{name}_proxy" for name in ("http", "https", "all", "no")),
)


@dataclass(frozen=True)
class Outcome:
    """What came of an exchange: its result, or the class and text of the error."""

    error: str | None = None
    said: str = ""
    result: Any = None


def settings(host: str, service: str = "portable", **extra: Any) -> Settings:
    return parse_settings(service, "my_conn", host=host, schema=None, port=None, password=TOKEN, extra=extra)


def outcomes(make: Callable[[], Settings], call: Call[Any] = GET_STATUS, times: int = 1) -> dict[str, Outcome]:
    """Send a call from each client and return what came of it; both read the connection by themselves."""

    def worker() -> Any:
        with SyncClient(make(), ONCE) as client:
            return [client.send(call) for _ in range(times)][-1]

    async def triggerer() -> Any:
        async def look_up() -> Settings:
            return make()

        client = AsyncClient(look_up, ONCE)
        try:
            return [await client.send(call) for _ in range(times)][-1]
        finally:
            await client.close()

    return {"worker": outcome(worker), "triggerer": outcome(lambda: asyncio.run(triggerer()))}


def outcome(work: Callable[[], Any]) -> Outcome:
    """Return what came of a piece of work; fails when it does not end."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return Outcome(result=done.result(GUARD_SECONDS))
    except Exception as error:
        assert done.done(), "the exchange did not end"
        return Outcome(type(error).__name__, str(error))


# -- servers


def read_request(connection: socket.socket) -> bytes:
    """Read a request without a body."""
    head = b""
    while b"\r\n\r\n" not in head and (piece := connection.recv(65_536)):
        head += piece
    return head


@contextmanager
def server(serve: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Generator[str]:
    """Serve each connection by a function until it returns; the address is without scheme."""
    listening = socket.create_server(("127.0.0.1", 0))
    open_ones: list[socket.socket] = []

    def handle(connection: socket.socket) -> None:
        with suppress(OSError):
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
                open_ones.append(connection)
            with connection:
                serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                open_ones.append(connection)
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        for one in (listening, *open_ones):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    """Return what answers each request of a connection with the same bytes, then waits for the next one."""

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(answer)

    return serve


def answering_once(answer: bytes) -> Callable[[socket.socket], None]:
    """Return what answers with some bytes and closes the connection."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    return serve


def ok(body: bytes, **headers: str) -> bytes:
    """Return a good answer with a body."""
    named = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body


# -- proxies


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RecordingProxy

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_CONNECT(self) -> None:
        if not self._is_let_in():
            return
        with socket.create_connection(_local(self.path)) as upstream:
            self.send_response(200)
            self.end_headers()
            pump(self.connection, upstream)
        self.close_connection = True

    def do_GET(self) -> None:
        if not self._is_let_in():
            return
        scheme, _, rest = self.path.partition("://")
        assert scheme == "http"
        address, _, path = rest.partition("/")
        upstream = http.client.HTTPConnection(*_local(address))
        upstream.request("GET", f"/{path}", headers=dict(self.headers))
        answer = upstream.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        upstream.close()

    def _is_let_in(self) -> bool:
        given = self.headers.get("Proxy-Authorization")
        self.server.seen.append((self.command, self.path.removeprefix("http://").partition("/")[0]))
        if given == self.server.wanted:
            return True
        self.send_response(407)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False


class RecordingProxy(ThreadingHTTPServer):
    """An HTTP proxy that writes down what it was asked for; names lead to this machine."""

    daemon_threads = True

    def __init__(self, user: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        #: Verb and address of each request.
        self.seen: list[tuple[str, str]] = []
        self.wanted = f"Basic {base64.b64encode(user.encode()).decode()}" if user else None
        self.address = f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""

    def __enter__(self) -> RecordingProxy:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


@contextmanager
def socks_proxy(user: str | None = None) -> Generator[tuple[str, list[str]]]:
    """Serve SOCKS 5; yields the address and the list of targets that it is asked for."""
    seen: list[str] = []

    def serve(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        methods = stream.read(stream.read(2)[1])
        method = 2 if user else 0
        if method not in methods:
            connection.sendall(b"\x05\xff")
            return
        connection.sendall(bytes([5, method]))
        if user:
            stream.read(1)
            given = ":".join(stream.read(stream.read(1)[0]).decode() for _ in range(2))
            connection.sendall(b"\x01\x00" if given == user else b"\x01\x01")
            if given != user:
                return
        kind = stream.read(4)[3]
        host = socket.inet_ntoa(stream.read(4)) if kind == 1 else stream.read(stream.read(1)[0]).decode()
        port = int.from_bytes(stream.read(2), "big")
        seen.append(f"{host}:{port}")
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            connection.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            pump(connection, upstream)

    with server(serve) as address:
        yield address, seen


def pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes between two connections until one of them ends."""
    ways: Mapping[socket.socket, socket.socket] = {one: other, other: one}
    with suppress(OSError):
        while True:
            pending = [side for side in ways if isinstance(side, ssl.SSLSocket) and side.pending()]
            for side in pending or select.select([*ways], [], [])[0]:
                piece = side.recv(65_536)
                if not piece:
                    return
                ways[side].sendall(piece)


def _local(address: str) -> tuple[str, int]:
    return "127.0.0.1", int(address.rpartition(":")[2])
