"""A prepared TableFlow extraction with one large table, as pages of rows and as CSV."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from benchmarks.table_rows import COLUMNS, EXTRACTION_ID, TABLE

_CHUNK_BYTES = 64 * 1024


def build_routes(row_count: int, latency: float) -> list[web.RouteDef]:
    """Build the endpoints of the extraction.

    :param row_count: number of rows of the table.
    :param latency: delay of each response in seconds.
    """
    values = [_build_values(number) for number in range(row_count)]
    rows = [
        json.dumps({"index": number, "values": dict(zip(COLUMNS, row, strict=True)), "validations": {}}).encode()
        for number, row in enumerate(values)
    ]
    csv = "".join(f"{line}\n" for line in [",".join(COLUMNS), *(f'"{row[0]}",{",".join(row[1:])}' for row in values)])
    content = csv.encode()
    base = f"/v2/extractions/{EXTRACTION_ID}"

    async def get_extraction(_: web.Request) -> web.Response:
        await asyncio.sleep(latency)
        return web.json_response(_build_extraction(row_count))

    async def list_rows(request: web.Request) -> web.Response:
        start, size = int(request.query["offset"]), int(request.query["limit"])
        await asyncio.sleep(latency)
        following = start + size if start + size < row_count else None
        page = {"offset": start, "limit": size, "total": row_count, "next_offset": following, "filter": "all"}
        body = b'{"pagination":%s,"rows":[%s]}' % (json.dumps(page).encode(), b",".join(rows[start : start + size]))
        return web.Response(body=body, content_type="application/json")

    async def download(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(latency)
        response = web.StreamResponse(headers={"Content-Type": "text/csv"})
        response.content_length = len(content)
        await response.prepare(request)
        for start in range(0, len(content), _CHUNK_BYTES):
            await response.write(content[start : start + _CHUNK_BYTES])
        await response.write_eof()
        return response

    return [
        web.get(base, get_extraction),
        web.get(f"{base}/tables/{TABLE}/rows", list_rows),
        web.get(f"{base}/tables/{TABLE}/download", download),
    ]


def _build_values(number: int) -> tuple[str, ...]:
    quantity, price = number % 7 + 1, 100 + number % 900
    return f"Part, no. {number}", str(quantity), f"{price / 100:.2f}", f"{quantity * price / 100:.2f}"


def _build_extraction(row_count: int) -> dict[str, object]:
    columns = [{"key": column, "name": column.title(), "data_type": "text"} for column in COLUMNS]
    counts = {"valid": row_count, "invalid": 0, "total": row_count}
    return {
        "id": EXTRACTION_ID,
        "template_id": "InvoiceTemplate1",
        "template_name": "Invoice",
        "file_name": "invoice.pdf",
        "file_size": 1_000,
        "file_type": "application/pdf",
        "status": "completed",
        "status_history": [],
        "data": {"fields": {"values": {}, "validations": {}}, "tables": {}},
        "stats": {
            "fields": {"valid": 0, "invalid": 0, "total": 0},
            "tables": {TABLE: {"rows": counts, "columns": {"total": len(COLUMNS)}}},
        },
        "template": {"fields": [], "tables": [{"key": TABLE, "name": "Line items", "columns": columns}]},
    }
