"""A TLS server in a process of its own that says how runs are getting on, and costs as little as it can."""

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
    from benchmarks.answers import Answer, Stage

#: Seconds before each answer.
LATENCY = 0.05


@dataclass(frozen=True)
class Counts:
    """What the server has seen: TCP connections, requests, and records of single runs (or flows) it gave out."""

    connections: int
    requests: int
    looks: int

    def since(self, before: Counts) -> Counts:
        """Return what has been added."""
        return Counts(self.connections - before.connections, self.requests - before.requests, self.looks - before.looks)


@dataclass(frozen=True)
class PollingServer:
    """A running server. It can be handed to another process; only one may talk to it at a time."""

    port: int
    ca_file: str
    pipe: Connection

    def reset(self, keys: list[str]) -> None:
        """Begin anew with runs of these ids."""
        self._ask("reset", keys)

    def counts(self) -> Counts:
        """Return what has been counted since the reset."""
        return Counts(*self._ask("counts", None))

    def end(self, ends: dict[str, float]) -> None:
        """Let runs end at these times (``time.monotonic()``, which all processes share)."""
        self._ask("end", ends)

    def _ask(self, what: str, detail: object) -> tuple[int, int, int]:
        self.pipe.send((what, detail))
        return self.pipe.recv()  # type: ignore[no-any-return]


@contextmanager
def polling_server() -> Generator[PollingServer]:
    """Run a server."""
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
    """Raise this process's limit of open files as far as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _serve(pipe: Connection, folder: str) -> None:
    allow_many_connections()
    asyncio.run(_run(pipe, Path(folder)))


async def _run(pipe: Connection, folder: Path) -> None:
    # Both import aiohttp, which reads the certificates to trust at once; who only asks this server must do that later.
    from airflow_provider_flowruns.sandbox.tls import create_certificate, create_server_context
    from benchmarks.answers import Stage, routes

    stage, answers, stopped = Stage(), routes(), asyncio.Event()

    def obey() -> None:
        try:
            what, detail = pipe.recv()
        except EOFError:  # whoever wanted the server is gone
            what, detail = "stop", None
        if what == "stop":
            stopped.set()
            return
        if what == "reset":
            stage.reset(detail)
        elif what == "end":
            stage.ends = detail
        pipe.send((stage.connections, stage.requests, stage.looks))

    loop = asyncio.get_running_loop()
    tls = create_server_context(create_certificate(folder))
    server = await loop.create_server(partial(_Exchange, stage, answers), "127.0.0.1", 0, ssl=tls, backlog=8_192)
    loop.add_reader(pipe.fileno(), obey)
    pipe.send(server.sockets[0].getsockname()[1])
    await stopped.wait()
    loop.remove_reader(pipe.fileno())


class _Exchange(asyncio.Protocol):
    """One connection: HTTP/1.1 as far as the clients measured here speak it."""

    def __init__(self, stage: Stage, answers: list[tuple[str, Answer]]) -> None:
        self._stage, self._answers = stage, answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._stage.connections += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = _content_length(head) if end else 0
        if end and len(rest) >= length:
            self._received = rest[length:]
            target = head.split(b" ", 2)[1].decode()
            asyncio.get_running_loop().call_later(LATENCY, self._answer, target, rest[:length])

    def _answer(self, target: str, body: bytes) -> None:
        self._stage.requests += 1
        path, _, query = target.partition("?")
        answer = next((answer for begins, answer in self._answers if path.startswith(begins)), None)
        content = answer(self._stage, path, query, body) if answer else None
        status = b"404 Not Found" if content is None else b"200 OK"
        content = content or b"{}"
        self._transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, len(content), content)
        )


def _content_length(head: bytes) -> int:
    _, found, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0]) if found else 0
