"""A proxy in front of the server that counts requests, and loses the response to one."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from aiohttp import ClientSession, web
from rounds import Request


class Proxy:
    """Passes requests on to a server during the ``with`` block.

    :param target: base URL of the server.
    """

    def __init__(self, target: str) -> None:
        self.seen: list[Request] = []
        self.url = ""
        self._target = target
        self._lost: str | None = None
        self._ready: Future[int] = Future()

    def lose_response(self, path: str) -> None:
        """Pass the next request to a path that matches on, and close its connection instead of responding."""
        self._lost = path

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._ready.result(30)}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with ClientSession(auto_decompress=False) as self._session:
            application = web.Application(client_max_size=2**26)
            application.router.add_route("*", "/{path:.*}", self._pass_on)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._ready.set_result(runner.addresses[0][1])
            await self._stop.wait()
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        sent_body = await request.read()
        self.seen.append(Request(time.time(), request.path, sent_body))
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        url = f"{self._target}{request.raw_path}"
        async with self._session.request(request.method, url, headers=headers, data=sent_body) as response:
            body = await response.read()
        if self._lost and re.search(self._lost, request.path):
            self._lost = None
            if request.transport:
                request.transport.abort()
        kept = {"content-type", "content-encoding", "date"}
        sent = {name: value for name, value in response.headers.items() if name.lower() in kept}
        return web.Response(status=response.status, body=body, headers=sent)
