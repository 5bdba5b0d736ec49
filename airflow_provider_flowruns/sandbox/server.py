"""The sandbox itself: one local web server for the three services, in a thread of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from airflow_provider_flowruns.sandbox.activepieces import Activepieces
from airflow_provider_flowruns.sandbox.answers import answer_refusals
from airflow_provider_flowruns.sandbox.exchange import Connections, Exchange, current_exchange
from airflow_provider_flowruns.sandbox.faults import Faults, LostAnswer, apply_fault
from airflow_provider_flowruns.sandbox.ledger import Ledger
from airflow_provider_flowruns.sandbox.portable import Portable
from airflow_provider_flowruns.sandbox.service import SandboxService
from airflow_provider_flowruns.sandbox.tableflow import TableFlow
from airflow_provider_flowruns.sandbox.tls import make_certificate, server_context
from airflow_provider_flowruns.sandbox.world import World

HOST = "127.0.0.1"
HEALTH_PATH = "/_sandbox/health"
LEDGER_CAPACITY = 100_000
START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0
SHUTDOWN_GRACE = 0.1
"""Requests under way get so many seconds to end when the sandbox stops."""


class Sandbox:
    """The APIs of Portable, Activepieces and TableFlow as a server on 127.0.0.1.

    Use it in a with block, or call :meth:`start` and :meth:`stop`. Flows can be added before the start.

    * ``portable``, ``activepieces``, ``tableflow``: the services, each with ``url``, ``token``, ``add_flow``.
    * ``faults``: what goes wrong, see :meth:`Faults.add`.
    * ``ledger``: what was sent, started and cancelled, see :class:`Ledger`.

    :param port: port to listen on; 0 takes a free one.
    :param tls: speak HTTPS with a certificate of its own (needs the package ``cryptography``).
    :param latency: seconds before each request is processed.
    :param clock: gives the time as epoch seconds; all runs follow it.
    :param ledger_capacity: so many requests are kept in the ledger; the oldest are dropped first.
    """

    def __init__(
        self,
        port: int = 0,
        tls: bool = False,
        latency: float = 0.0,
        *,
        clock: Callable[[], float] = time.time,
        ledger_capacity: int = LEDGER_CAPACITY,
    ) -> None:
        lock = threading.RLock()
        self.latency = latency
        self.ledger = Ledger(lock, ledger_capacity)
        self.faults = Faults(lock)
        self.world = World(clock=clock, ledger=self.ledger, lock=lock)
        self.portable = Portable(self.world)
        self.activepieces = Activepieces(self.world)
        self.tableflow = TableFlow(self.world)
        self._port = port
        self._tls = tls
        self._certificate: Path | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._connections = Connections()

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Sandbox {self.world.address or 'not running'}>"

    @property
    def services(self) -> tuple[SandboxService[Any], ...]:
        """The three services."""
        return (self.portable, self.activepieces, self.tableflow)

    @property
    def url(self) -> str:
        """Scheme, host and port, as in ``http://127.0.0.1:54321``.

        :raises RuntimeError: when the server is not running.
        """
        return self.world.url

    @property
    def ca_file(self) -> str | None:
        """Path of the certificate to trust, with ``tls=True`` and while the server runs; else None."""
        return None if self._certificate is None else str(self._certificate)

    def connection_json(self, service: str) -> str:
        """Write the Airflow connection to one service as JSON.

        :param service: ``portable``, ``activepieces`` or ``tableflow``.
        :raises KeyError: for another name.
        :raises RuntimeError: when the server is not running.
        """
        return {each.name: each for each in self.services}[service].connection_json(self.ca_file)

    def connections(self) -> dict[str, str]:
        """Give the environment variables that make the sandbox the default connection of each service.

        :raises RuntimeError: when the server is not running.
        """
        return {
            f"AIRFLOW_CONN_{each.name.upper()}_DEFAULT": each.connection_json(self.ca_file) for each in self.services
        }

    def start(self) -> None:
        """Start the server and return when it answers.

        :raises RuntimeError: when it is running already.
        :raises OSError: when the port is taken.
        :raises ImportError: with ``tls=True``, when the package ``cryptography`` is not installed.
        """
        if self._thread is not None:
            raise RuntimeError("The sandbox is running already.")
        if self._tls:
            self._certificate = make_certificate(Path(tempfile.mkdtemp(prefix="flowruns-sandbox-")))
        ready: Future[int] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="flowruns-sandbox", daemon=True
        )
        self._thread.start()
        try:
            port = ready.result(START_TIMEOUT)
        except BaseException:
            self.stop()
            raise
        self.world.address = f"{'https' if self._tls else 'http'}://{HOST}:{port}"

    def stop(self) -> None:
        """Close all connections, hanging ones too, and end the thread. Stopping twice does no harm."""
        thread, self._thread = self._thread, None
        if thread is not None:
            if self._loop is not None:
                with suppress(RuntimeError):  # a server that could not start has closed its loop by itself
                    self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(STOP_TIMEOUT)
        self.world.address = None
        if self._certificate is not None:
            shutil.rmtree(self._certificate.parent, ignore_errors=True)
            self._certificate = None

    async def _serve(self, ready: Future[int]) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        runner: web.AppRunner | None = None
        try:
            runner = web.AppRunner(
                self._application(),
                access_log=None,
                # A request ends when its client leaves: a fault that hangs must not outlive its test.
                handler_cancellation=True,
                shutdown_timeout=SHUTDOWN_GRACE,
            )
            await runner.setup()
            server = await self._listen(runner)
        except BaseException as problem:
            if runner is not None:
                await runner.cleanup()
            ready.set_exception(problem)
            return
        ready.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> asyncio.Server:
        make_protocol = runner.server
        if make_protocol is None:
            raise RuntimeError("The web application is not set up.")

        def accept() -> asyncio.Protocol:
            self.ledger.note_connection()
            protocol: asyncio.Protocol = make_protocol()
            return protocol

        context = None if self._certificate is None else server_context(self._certificate)
        return await asyncio.get_running_loop().create_server(accept, HOST, self._port, ssl=context)

    def _application(self) -> web.Application:
        application = web.Application(
            middlewares=[self._keep_ledger, self._read_body, self._apply_faults, answer_refusals]
        )
        application.on_response_prepare.append(self._set_date)
        for service in self.services:
            application.router.add_routes(service.routes())
        return application

    async def _set_date(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say the time of the sandbox's own clock, as a vendor's server does."""
        response.headers["Date"] = formatdate(self.world.clock(), usegmt=True)

    @web.middleware
    async def _keep_ledger(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Write each request down when it arrives, and its status before the answer leaves.

        The health check is no part of the services: it is neither written down nor subject to faults.
        """
        if request.path == HEALTH_PATH:
            return web.json_response({})
        connection = self._connections.number(request)
        exchange = Exchange(request, self._service_of(request), self.world.clock(), connection)
        key = self.ledger.note_arrival(exchange.record(None))
        status: int | None = None
        try:
            answer: web.StreamResponse = await handler(request)
            status = None if isinstance(answer, LostAnswer) else answer.status
        except web.HTTPException as refusal:
            status = refusal.status
            raise
        finally:
            self.ledger.note_answer(key, exchange.record(status))
        return answer

    @web.middleware
    async def _read_body(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Read the body before anything else, save for TableFlow's forms, which may hold large files."""
        exchange = current_exchange()
        streamed = exchange.service == TableFlow.name and request.content_type.startswith("multipart/")
        if not streamed and not await exchange.read_payload():
            return web.Response(status=413)
        answer: web.StreamResponse = await handler(request)
        return answer

    @web.middleware
    async def _apply_faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Answer as the first fault that is meant for the request wants it, or as always."""
        exchange = current_exchange()
        if self.latency > 0:
            await asyncio.sleep(self.latency)
        fault = self.faults.take(exchange.service, request.method, exchange.path)
        if fault is None:
            answer: web.StreamResponse = await handler(request)
            return answer
        exchange.fault = fault.kind
        return await apply_fault(fault, lambda: handler(request))

    def _service_of(self, request: web.Request) -> str:
        prefix = request.path.split("/")[1]
        return prefix if prefix in {service.name for service in self.services} else "unknown"
