"""Encode a request: its headers and its JSON body."""

from __future__ import annotations

import json

from airflow_provider_flowruns import __version__
from airflow_provider_flowruns.client.bodies import ACCEPT_ENCODING
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.model.calls import Request
from airflow_provider_flowruns.model.errors import InvalidArgumentError

_USER_AGENT = f"airflow-provider-flowruns/{__version__}"


def build_headers(settings: Settings, request: Request) -> dict[str, str]:
    """Return the headers of a request.

    The token and the connection's own headers go only where they may go; what goes elsewhere, to a webhook, takes the
    credentials that the connection has for webhooks.

    :param settings: the connection.
    :param request: the request they are for.
    """
    headers = {"Accept": request.accept, "Accept-Encoding": ACCEPT_ENCODING, "User-Agent": _USER_AGENT}
    if request.with_token:
        headers |= {**settings.headers, **settings.auth_headers}
    else:
        headers |= settings.webhook_headers
    if request.json is not None:
        headers["Content-Type"] = "application/json"
    return headers


def encode_json_body(request: Request) -> bytes | None:
    """Return a request's JSON body as it is sent, None when it has none.

    :param request: the request.
    :raises InvalidArgumentError: its value is not plain JSON.
    """
    if request.json is None:
        return None
    try:
        return json.dumps(request.json, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(
            f"the body of {request.method} {request.path} cannot be sent as JSON: {error}"
        ) from None
