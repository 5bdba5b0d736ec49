"""A server with prepared responses in a separate process, so that only the client is measured."""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from aiohttp import web

from airflow_provider_flowruns.sandbox.tls import create_certificate, create_server_context

#: Builds routes whose responses are delayed by a number of seconds.
RouteBuilder: TypeAlias = Callable[[float], list[web.RouteDef]]


@contextmanager
def run_server_process(build_routes: RouteBuilder, latency: float) -> Generator[tuple[str, str]]:
    """Serve some routes over TLS on 127.0.0.1, and yield the base URL and the CA file.

    :param build_routes: a function of a module, which is called in the new process with ``latency``.
    :param latency: delay of each response in seconds.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=_serve, args=(there, folder, build_routes, latency), daemon=True)
        process.start()
        try:
            yield here.recv()
        finally:
            process.kill()
            process.join()


def _serve(pipe: Connection, folder: str, build_routes: RouteBuilder, latency: float) -> None:
    asyncio.run(_serve_until_killed(pipe, Path(folder), build_routes(latency)))


async def _serve_until_killed(pipe: Connection, folder: Path, routes: list[web.RouteDef]) -> None:
    ca_file = create_certificate(folder)
    app = web.Application()
    app.router.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=create_server_context(ca_file))
    await site.start()
    port = runner.addresses[0][1]
    pipe.send((f"https://127.0.0.1:{port}", str(ca_file)))
    await asyncio.Event().wait()
