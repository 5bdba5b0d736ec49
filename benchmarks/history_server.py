"""Prepared run attempts of one Portable flow."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

FLOW_ID = 568971
_NEWEST = datetime(2026, 1, 31, 12, tzinfo=UTC)


def build_routes(attempts: int, latency: float) -> list[web.RouteDef]:
    """Build the list of the flow's run attempts.

    :param attempts: their number.
    :param latency: delay of each response in seconds.
    """
    rows = [_build_attempt(number) for number in range(attempts)]

    async def list_attempts(request: web.Request) -> web.Response:
        start, size = int(request.query["offset"]), int(request.query["limit"])
        await asyncio.sleep(latency)
        body = b'{"data":[' + b",".join(rows[start : start + size]) + b"]}"
        return web.Response(body=body, content_type="application/json")

    return [web.get("/v2/flows/{id}/run", list_attempts)]


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
