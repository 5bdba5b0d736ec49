"""Parse the query parameters that several endpoints of the TableFlow API share."""

from __future__ import annotations

from aiohttp import web

from airflow_provider_flowruns.sandbox.responses import parse_integer
from airflow_provider_flowruns.sandbox.tableflow_errors import raise_bad_request

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000


def parse_limit(request: web.Request) -> int:
    """Return the maximum number of rows that a request asks for."""
    return parse_integer(request.query.get("limit"), "limit", DEFAULT_LIMIT, 1, MAX_LIMIT, raise_bad_request)


def parse_offset(request: web.Request) -> int:
    """Return the number of rows that a request skips."""
    return parse_integer(request.query.get("offset"), "offset", 0, 0, None, raise_bad_request)
