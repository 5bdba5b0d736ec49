"""Turn a response into a result or an error."""

from __future__ import annotations

import logging
from functools import lru_cache, partial
from typing import Any, TypeVar

from airflow_provider_flowruns.client.bodies import BodyTooLargeError, UnreadableBodyError
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.model.calls import Call, Download, Page, Request, Response
from airflow_provider_flowruns.model.clean import parse_json
from airflow_provider_flowruns.model.errors import (
    ApiError,
    RequestNotSentError,
    ServiceConnectionError,
    UnexpectedResponseError,
    get_error_class,
)
from airflow_provider_flowruns.model.rows import Rows
from airflow_provider_flowruns.model.targets import BatchResult
from airflow_provider_flowruns.services.base import describe_error_response
from airflow_provider_flowruns.services.parsing import describe_shape

T = TypeVar("T")
log = logging.getLogger(__name__)
_MAX_MESSAGE_CHARS = 1_000
#: HTTP defines ``Retry-After`` for these two and for redirects, which are not followed.
_STATUSES_WITH_RETRY_AFTER = frozenset({429, 503})


def read_result(settings: Settings, call: Call[T], response: Response) -> T:
    """Return the result of a call, clean and without the connection's secrets.

    Does no I/O and keeps no state: any thread may call it.

    :param settings: the connection, for its secrets and for messages.
    :param call: the call that was sent.
    :param response: its response.
    :raises ApiError: the subclass that stands for its status, or UnexpectedResponseError if it cannot be read.
    """
    if call.read_bytes and 200 <= response.status < 300:
        try:
            return call.read_bytes(response.body, partial(_parse_clean, settings))
        except Exception:  # ruff: ignore[try-except-pass] - read below, which also tells what is wrong with it
            pass
    response = settings.mask.response(response)
    if not 200 <= response.status < 300:
        raise build_status_error(settings, call, response)
    if call.may_be_empty and not response.body.strip():
        return call.read(None)
    try:
        result = call.read(call.decode(response.body))
    except Exception as error:  # any error of a reading function is due to the response
        reason, hint = _describe_reading_error(settings, response, error)
    else:
        _log_unread(settings, call, result)
        return result
    # Outside of the except block, so that the error does not reference the other one and with it the whole body.
    raise _build_error(settings, UnexpectedResponseError, call.request, response.status, reason, hint=hint)


def _parse_clean(settings: Settings, body: bytes) -> Any:
    return parse_json(settings.mask.body(body))


def _describe_reading_error(settings: Settings, response: Response, error: Exception) -> tuple[str, str | None]:
    """Return why a response cannot be read, and what to do if that is not what its class of error suggests."""
    try:
        body = response.json()
    except ValueError:
        return describe_error_response(settings.service, response), None
    is_explained = isinstance(error, ValueError)
    reason = str(error) if is_explained else f"cannot be read ({type(error).__name__}): {describe_shape(body)}"
    return reason, "check the connection's host: it must be the API's base URL; if it is right, please report this"


def _log_unread(settings: Settings, call: Call[Any], result: Any) -> None:
    rows = result.items if isinstance(result, Page) else result.runs if isinstance(result, BatchResult) else result
    if isinstance(rows, Rows) and rows.unread:
        _warn_about_unread(settings.conn_id, call.request.method, call.request.path)
        log.debug("%s of %s rows of %s cannot be read", rows.unread, rows.total, call.request.path)


@lru_cache(maxsize=1_000)
def _warn_about_unread(conn_id: str, method: str, path: str) -> None:
    """Log a warning the first time that rows of a list are left out."""
    log.warning(
        "Connection %r: some rows in the response to %s %s cannot be read and are left out", conn_id, method, path
    )


def build_connection_error(
    settings: Settings, request: Request, reason: str, *, sent: bool = True, has_begun: bool = True
) -> ServiceConnectionError:
    """Return the error for a request without a response.

    :param settings: the connection, for messages.
    :param request: the request, sent or not.
    :param reason: why, unshortened: secrets must be masked before it is cut.
    :param sent: whether the request may have reached the service.
    :param has_begun: whether a connection was tried; else the host and the network are not the cause.
    """
    kind = ServiceConnectionError if sent else RequestNotSentError
    reason = sanitize_text(settings, reason)
    hint = f"connection {settings.conn_id!r}"
    if has_begun:
        hint += f", host {settings.base_url}: check host, network, proxies and verify"
    return kind(settings.service.info.title, request.method, request.path, None, reason, hint)


def build_body_error(
    settings: Settings, request: Request, status: int, error: UnreadableBodyError
) -> UnexpectedResponseError:
    """Return the error for a response whose body cannot be read or is too large.

    :param settings: the connection, for messages.
    :param request: the request that was sent.
    :param status: HTTP status of the response.
    :param error: what is wrong with the body.
    """
    what, hint = str(error), f"connection {settings.conn_id!r}"
    if isinstance(error, BodyTooLargeError):
        what = f"the response is larger than {settings.max_response_bytes / 2**20:g} MiB"
        hint = f"connection {settings.conn_id!r}: raise extra 'max_response_mb' if such a response is expected"
    return UnexpectedResponseError(settings.service.info.title, request.method, request.path, status, what, hint)


def build_status_error(settings: Settings, call: Call[Any] | Download, response: Response) -> ApiError:
    """Return the error for a response whose status is not 2xx.

    :param settings: the connection, for messages.
    :param call: what was sent.
    :param response: its response, without the connection's secrets.
    """
    request = call.request
    text = call.meanings.get(response.status) or describe_error_response(settings.service, response)
    if response.status < 200:
        text = "the server sent only an interim status"
    elif response.status < 400:
        text = f"redirected to {response.headers.get('location', 'nowhere')}, which is not followed with the token"
    error_class, seconds = get_error_class(response.status), _read_retry_after(response)
    return _build_error(settings, error_class, request, response.status, text, seconds)


def _read_retry_after(response: Response) -> float | None:
    if response.status not in _STATUSES_WITH_RETRY_AFTER:
        return None
    # Importing urllib3 would block an event loop for too long; the transports load it beforehand.
    from airflow_provider_flowruns.client.retry_after import parse_retry_after

    return parse_retry_after(response.headers)


def _build_error(
    settings: Settings,
    kind: type[ApiError],
    request: Request,
    status: int,
    text: str,
    retry_after: float | None = None,
    hint: str | None = None,
) -> ApiError:
    info = settings.service.info
    hint = hint or info.get_hint(kind, with_token=request.with_token, names=request.names)
    hint = f"connection {settings.conn_id!r}: {hint}" if hint else f"connection {settings.conn_id!r}"
    return kind(info.title, request.method, request.path, status, sanitize_text(settings, text), hint, retry_after)


def sanitize_text(settings: Settings, text: str) -> str:
    """Return a text that can be shown: clean, without the connection's secrets, at most 1,000 characters.

    :param settings: the connection.
    :param text: a text that may repeat what was sent, such as a library's error.
    """
    return settings.mask.text(text)[:_MAX_MESSAGE_CHARS]
