"""A server with prepared Portable run attempts in a separate process, so that only the client is measured."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from aiohttp import web

from airflow_provider_flowruns.sandbox.tls import create_certificate, create_server_context

FLOW_ID = 568971
_NEWEST = datetime(2026, 1, 31, 12, tzinfo=UTC)


@contextmanager
def run_history_server(attempts: int, latency: float) -> Generator[tuple[str, str]]:
    """Serve the run attempts of one flow over TLS on 127.0.0.1, and yield the base URL and the CA file.

    :param attempts: number of run attempts.
    :param latency: delay of each response in seconds.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=_serve, args=(there, folder, attempts, latency), daemon=True)
        process.start()
        try:
            yield here.recv()
        finally:
            process.kill()
            process.join()


def _serve(pipe: Connection, folder: str, attempts: int, latency: float) -> None:
    asyncio.run(
        _serve_until_killed(pipe, Path(folder), [_build_attempt(number) for number in range(attempts)], latency)
    )


async def _serve_until_killed(pipe: Connection, folder: Path, rows: list[bytes], latency: float) -> None:
    async def handle(request: web.Request) -> web.Response:
        start, size = int(request.query["offset"]), int(request.query["limit"])
        await asyncio.sleep(latency)
        body = b'{"data":[' + b",".join(rows[start : start + size]) + b"]}"
        return web.Response(body=body, content_type="application/json")

    ca_file = create_certificate(folder)
    app = web.Application()
    app.router.add_get("/v2/flows/{id}/run", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=create_server_context(ca_file))
    await site.start()
    port = runner.addresses[0][1]
    pipe.send((f"https://127.0.0.1:{port}", str(ca_file)))
    await asyncio.Event().wait()


def _build_attempt(number: int) -> bytes:
    created = _NEWEST - timedelta(minutes=number)
    record: dict[str, Any] = {
        "id": 9_000_000 - number,
        "flow": FLOW_ID,
        "trigger": "SCHEDULED",
        "lifecycle": "NOT_RUNNING",
        "disposition": "SUCCEEDED",
        "resources": [
            {"name": name, "extracted": rows, "analyzed": rows, "loaded": rows, "errors": []}
            for name, rows in (("orders", 1200 + number % 100), ("customers", 300))
        ],
        "errors": None,
        "completedAt": (created + timedelta(seconds=42.25)).isoformat().replace("+00:00", "Z"),
        "createdAt": created.isoformat().replace("+00:00", "Z"),
    }
    return json.dumps(record).encode()
