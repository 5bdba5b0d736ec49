"""The page as an application that Airflow's api-server mounts. Only the api-server imports it.

A mounted application has no login of its own: every route here depends on Airflow's.
"""

from __future__ import annotations

from concurrent.futures import Future, wait
from datetime import UTC, datetime
from functools import cache

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_connection
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from airflow_provider_flowruns.page.cache import ReadingCache
from airflow_provider_flowruns.page.connections import NamedConnection, list_connections
from airflow_provider_flowruns.page.flow_history import ConnectionHistory, read_history
from airflow_provider_flowruns.page.permissions import list_readable_dags, may_read_connection
from airflow_provider_flowruns.page.rendering import Card, get_style_hash, render_page, render_refusal
from airflow_provider_flowruns.page.waits import read_waits

#: How long what was read of a connection is shown, in seconds.
KEEP_SECONDS = 30.0
#: Number of connections that are read at a time.
MAX_READINGS = 8
#: How long a request waits for the services, in seconds; what has not been read by then is read on.
MAX_WAIT_SECONDS = 10.0

_REFUSALS = {
    401: ("Not logged in", "Log in to Airflow, then reload this page."),
    403: ("No permission", "Only who may read connections can see their flows. Ask an administrator of this Airflow."),
    404: ("Not found", "There is no such page."),
}


@cache
def get_app() -> FastAPI:
    """Return the application of this process."""
    # Without the pages about its routes, which would need no login.
    app = FastAPI(title="Flow runs", openapi_url=None, docs_url=None, redoc_url=None)
    cache: ReadingCache[str, ConnectionHistory] = ReadingCache(
        read_history, keep_seconds=KEEP_SECONDS, max_readings=MAX_READINGS
    )

    # Not a coroutine: FastAPI calls it in a thread, so that it may wait for services and database.
    @app.get("/", dependencies=[Depends(requires_access_connection("GET"))])
    def show_page(user: GetUserDep) -> HTMLResponse:
        waits = read_waits(list_readable_dags(user))
        polled = {NamedConnection(one.conn_id, one.service) for one in waits.waits}
        known = {one.conn_id: one for one in sorted(polled) + list_connections()}
        readable = [one for _, one in sorted(known.items()) if may_read_connection(user, one.conn_id)]
        readings = [cache.get(one.conn_id) for one in readable]
        wait(readings, MAX_WAIT_SECONDS)
        cards = [
            Card(
                one.conn_id,
                one.service,
                _get_result(reading),
                [each for each in waits.waits if each.conn_id == one.conn_id],
            )
            for one, reading in zip(readable, readings, strict=True)
        ]
        return _respond(render_page(cards, waits, datetime.now(UTC)))

    @app.exception_handler(HTTPException)
    def refuse(request: Request, error: HTTPException) -> HTMLResponse:
        title, text = _REFUSALS.get(error.status_code, ("Not possible", error.detail))
        return _respond(render_refusal(title, text), error.status_code)

    return app


def _get_result(reading: Future[ConnectionHistory]) -> ConnectionHistory | None:
    return reading.result() if reading.done() else None


def _respond(html: str, status: int = 200) -> HTMLResponse:
    """Return a page that may load nothing and run nothing, and that nothing keeps or frames."""
    policy = (
        f"default-src 'none'; style-src '{get_style_hash()}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return HTMLResponse(
        html,
        status,
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        },
    )
