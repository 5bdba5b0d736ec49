"""The sandbox server: one local web server for all services, in its own thread."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from airflow_provider_flowruns.sandbox.activepieces import Activepieces
from airflow_provider_flowruns.sandbox.faults import ConnectionResetResponse, Faults, apply_fault
from airflow_provider_flowruns.sandbox.ledger import Ledger
from airflow_provider_flowruns.sandbox.portable import Portable
from airflow_provider_flowruns.sandbox.request_recorder import ConnectionNumbers, RequestRecorder, get_request_recorder
from airflow_provider_flowruns.sandbox.responses import handle_api_errors
from airflow_provider_flowruns.sandbox.service import SandboxService
from airflow_provider_flowruns.sandbox.state import SandboxState
from airflow_provider_flowruns.sandbox.tableflow import TableFlow
from airflow_provider_flowruns.sandbox.tls import create_certificate, create_server_context

HOST = "127.0.0.1"
HEALTH_PATH = "/_sandbox/health"
LEDGER_CAPACITY = 100_000
START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 5.0
SHUTDOWN_TIMEOUT_SECONDS = 0.1
"""Time for requests in progress to finish when the sandbox stops."""


class Sandbox:
    """The APIs of Portable, Activepieces and TableFlow as a server on 127.0.0.1.

    Use it in a with block, or call :meth:`start` and :meth:`stop`. Flows can be added before the start.

    * ``portable``, ``activepieces``, ``tableflow``: the services, each with ``url``, ``token``, ``add_flow``.
    * ``faults``: fault injection, see :meth:`Faults.add`.
    * ``ledger``: the requests received, and the runs started and cancelled, see :class:`Ledger`.

    :param port: port to listen on; 0 selects a free one.
    :param tls: use HTTPS with a generated certificate (requires the extra ``sandbox``).
    :param latency: delay in seconds before each request is processed.
    :param clock: returns the time in epoch seconds; determines the state of all runs.
    :param ledger_capacity: maximum number of requests in the ledger; the oldest are dropped first.
    :param further_services: classes of services of other packages, see ``sandbox.plain_service``.
    """

    def __init__(
        self,
        port: int = 0,
        tls: bool = False,
        latency: float = 0.0,
        *,
        clock: Callable[[], float] = time.time,
        ledger_capacity: int = LEDGER_CAPACITY,
        further_services: Sequence[type[SandboxService[Any]]] = (),
    ) -> None:
        lock = threading.RLock()
        self.latency = latency
        self.ledger = Ledger(lock, ledger_capacity)
        self.faults = Faults(lock)
        self.state = SandboxState(clock=clock, ledger=self.ledger, lock=lock)
        self.portable = Portable(self.state)
        self.activepieces = Activepieces(self.state)
        self.tableflow = TableFlow(self.state)
        self._further_services = tuple(service(self.state) for service in further_services)
        self._port = port
        self._tls = tls
        self._ca_file: Path | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._connection_numbers = ConnectionNumbers()

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
        return f"<Sandbox {self.state.address or 'not running'}>"

    @property
    def services(self) -> tuple[SandboxService[Any], ...]:
        """All services."""
        return (self.portable, self.activepieces, self.tableflow, *self._further_services)

    def get_service(self, name: str) -> SandboxService[Any]:
        """Return a service by its name.

        :param name: its name, such as ``portable``.
        :raises KeyError: the service is unknown.
        """
        return {service.name: service for service in self.services}[name]

    @property
    def url(self) -> str:
        """Scheme, host and port, as in ``http://127.0.0.1:54321``.

        :raises RuntimeError: the server is not running.
        """
        return self.state.url

    @property
    def ca_file(self) -> str | None:
        """Path of the CA file to trust while the server is running with ``tls=True``, else None."""
        return None if self._ca_file is None else str(self._ca_file)

    def connection_json(self, service: str) -> str:
        """Return the Airflow connection to one service as JSON.

        :param service: name of the service, such as ``portable``.
        :raises KeyError: the service is unknown.
        :raises RuntimeError: the server is not running.
        """
        return self.get_service(service).connection_json(self.ca_file)

    def connections(self) -> dict[str, str]:
        """Return environment variables that make the sandbox the default connection of each service.

        :raises RuntimeError: the server is not running.
        """
        return {
            f"AIRFLOW_CONN_{service.name.upper()}_DEFAULT": service.connection_json(self.ca_file)
            for service in self.services
        }

    def start(self) -> None:
        """Start the server and return when it accepts requests.

        :raises RuntimeError: the server is already running.
        :raises OSError: the port is in use.
        :raises ImportError: ``tls=True`` was passed, and the package ``trustme`` is not installed.
        """
        if self._thread is not None:
            raise RuntimeError("The sandbox is already running.")
        if self._tls:
            self._ca_file = create_certificate(Path(tempfile.mkdtemp(prefix="flowruns-sandbox-")))
        ready: Future[int] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="flowruns-sandbox", daemon=True
        )
        self._thread.start()
        try:
            port = ready.result(START_TIMEOUT_SECONDS)
        except BaseException:
            self.stop()
            raise
        self.state.address = f"{'https' if self._tls else 'http'}://{HOST}:{port}"

    def stop(self) -> None:
        """Close all connections, including delayed ones, and end the thread. Stopping twice has no effect."""
        thread, self._thread = self._thread, None
        if thread is not None:
            if self._loop is not None:
                with suppress(RuntimeError):  # a server that failed to start has already closed its loop
                    self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(STOP_TIMEOUT_SECONDS)
        self.state.address = None
        if self._ca_file is not None:
            shutil.rmtree(self._ca_file.parent, ignore_errors=True)
            self._ca_file = None

    async def _serve(self, ready: Future[int]) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        runner: web.AppRunner | None = None
        try:
            runner = web.AppRunner(
                self._build_application(),
                access_log=None,
                # A request ends when its client disconnects, so that a delayed response does not outlive its test.
                handler_cancellation=True,
                shutdown_timeout=SHUTDOWN_TIMEOUT_SECONDS,
            )
            await runner.setup()
            server = await self._listen(runner)
        except BaseException as error:
            if runner is not None:
                await runner.cleanup()
            ready.set_exception(error)
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
            self.ledger.record_connection()
            protocol: asyncio.Protocol = make_protocol()
            return protocol

        context = None if self._ca_file is None else create_server_context(self._ca_file)
        return await asyncio.get_running_loop().create_server(accept, HOST, self._port, ssl=context)

    def _build_application(self) -> web.Application:
        application = web.Application(
            middlewares=[self._record_request, self._read_body, self._apply_faults, handle_api_errors]
        )
        application.on_response_prepare.append(self._set_date_header)
        for service in self.services:
            application.router.add_routes(service.build_routes())
        return application

    async def _set_date_header(self, request: web.Request, response: web.StreamResponse) -> None:
        """Send the time of the sandbox's clock, as a vendor's server does."""
        response.headers["Date"] = formatdate(self.state.clock(), usegmt=True)

    @web.middleware
    async def _record_request(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Record each request when it arrives, and its status before the response is sent.

        The health check does not belong to the services: it is neither recorded nor subject to faults.
        """
        if request.path == HEALTH_PATH:
            return web.json_response({})
        connection = self._connection_numbers.get(request)
        recorder = RequestRecorder(request, self._get_service_name(request), self.state.clock(), connection)
        key = self.ledger.record_arrival(recorder.build_record(None))
        status: int | None = None
        try:
            response: web.StreamResponse = await handler(request)
            status = None if isinstance(response, ConnectionResetResponse) else response.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            self.ledger.record_response(key, recorder.build_record(status))
        return response

    @web.middleware
    async def _read_body(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Read the body first, except for TableFlow's forms, which may contain large files."""
        recorder = get_request_recorder()
        is_streamed = recorder.service == TableFlow.name and request.content_type.startswith("multipart/")
        if not is_streamed and not await recorder.read_body():
            return web.Response(status=413)
        response: web.StreamResponse = await handler(request)
        return response

    @web.middleware
    async def _apply_faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Apply the first matching fault, if there is one."""
        recorder = get_request_recorder()
        if self.latency > 0:
            await asyncio.sleep(self.latency)
        fault = self.faults.select(recorder.service, request.method, recorder.path)
        if fault is None:
            response: web.StreamResponse = await handler(request)
            return response
        recorder.fault = fault.kind
        return await apply_fault(fault, lambda: handler(request))

    def _get_service_name(self, request: web.Request) -> str:
        prefix = request.path.split("/")[1]
        return prefix if prefix in {service.name for service in self.services} else "unknown"
