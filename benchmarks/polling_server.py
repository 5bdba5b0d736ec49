"""A TLS server in a separate process that returns the status of runs with as little overhead as possible."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.responses import Handler, ServiceState

#: Delay of each response in seconds.
LATENCY_SECONDS = 0.05


@dataclass(frozen=True)
class Counts:
    """Numbers of TCP connections, requests, and records of single runs (or flows) in the responses."""

    connections: int
    requests: int
    polls: int

    def since(self, before: Counts) -> Counts:
        """Return the difference to earlier counts."""
        return Counts(self.connections - before.connections, self.requests - before.requests, self.polls - before.polls)


@dataclass(frozen=True)
class PollingServer:
    """A running server. It can be passed to another process; only one process may use it at a time."""

    port: int
    ca_file: str
    pipe: Connection

    def reset(self, keys: list[str]) -> None:
        """Restart with runs of these ids."""
        self._send("reset", keys)

    def get_counts(self) -> Counts:
        """Return the counts since the reset."""
        return Counts(*self._send("counts", None))

    def end_runs(self, ends: dict[str, float]) -> None:
        """End runs at these times of ``time.monotonic()``, which is the same in all processes."""
        self._send("end", ends)

    def _send(self, command: str, argument: object) -> tuple[int, int, int]:
        self.pipe.send((command, argument))
        return self.pipe.recv()  # type: ignore[no-any-return]


@contextmanager
def run_polling_server() -> Generator[PollingServer]:
    """Run a server in a separate process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with TemporaryDirectory(prefix="flowruns-bench-") as folder:
        process = context.Process(target=_serve, args=(there, folder), daemon=True)
        process.start()
        try:
            yield PollingServer(port=here.recv(), ca_file=str(Path(folder) / "ca.pem"), pipe=here)
        finally:
            here.send(("stop", None))
            process.join(timeout=10)
            process.kill()


def allow_many_connections() -> None:
    """Raise this process's limit of open files to the maximum."""
    _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))


def _serve(pipe: Connection, folder: str) -> None:
    allow_many_connections()
    asyncio.run(_run(pipe, Path(folder)))


async def _run(pipe: Connection, folder: Path) -> None:
    # Both import aiohttp, which loads the trusted certificates. The client process must set them before that.
    from airflow_provider_flowruns.sandbox.tls import create_certificate, create_server_context
    from benchmarks.responses import ServiceState, build_routes

    state, routes, stopped = ServiceState(), build_routes(), asyncio.Event()

    def handle_command() -> None:
        try:
            command, argument = pipe.recv()
        except EOFError:  # the client process has ended
            command, argument = "stop", None
        if command == "stop":
            stopped.set()
            return
        if command == "reset":
            state.reset(argument)
        elif command == "end":
            state.ends = argument
        pipe.send((state.connections, state.requests, state.polls))

    loop = asyncio.get_running_loop()
    tls = create_server_context(create_certificate(folder))
    server = await loop.create_server(partial(_HttpProtocol, state, routes), "127.0.0.1", 0, ssl=tls, backlog=8_192)
    loop.add_reader(pipe.fileno(), handle_command)
    pipe.send(server.sockets[0].getsockname()[1])
    await stopped.wait()
    loop.remove_reader(pipe.fileno())


class _HttpProtocol(asyncio.Protocol):
    """One connection: the part of HTTP/1.1 that the measured clients use."""

    def __init__(self, state: ServiceState, routes: list[tuple[str, Handler]]) -> None:
        self._state, self._routes = state, routes
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._state.connections += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = _parse_content_length(head) if end else 0
        if end and len(rest) >= length:
            self._received = rest[length:]
            target = head.split(b" ", 2)[1].decode()
            asyncio.get_running_loop().call_later(LATENCY_SECONDS, self._respond, target, rest[:length])

    def _respond(self, target: str, body: bytes) -> None:
        self._state.requests += 1
        path, _, query = target.partition("?")
        handler = next((handler for prefix, handler in self._routes if path.startswith(prefix)), None)
        content = handler(self._state, path, query, body) if handler else None
        status = b"404 Not Found" if content is None else b"200 OK"
        content = content or b"{}"
        self._transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, len(content), content)
        )


def _parse_content_length(head: bytes) -> int:
    _, found, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0]) if found else 0
