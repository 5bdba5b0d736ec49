"""Fault injection between a client and the services: lost responses, delays, invalid bodies."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import web

from airflow_provider_flowruns.sandbox.responses import StreamedResponse, build_json_response

REQUIRED = object()
HTML_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>"
_NO_LINGER = struct.pack("ii", 1, 0)
_WRITES_PER_SECOND = 200

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "status": {"status": 503, "body": None, "headers": None},
    "reset": {},
    "hang": {"seconds": 30.0, "processed": False},
    "slow_body": {"seconds": 5.0},
    "html": {"body": HTML_PAGE},
    "truncated": {},
    "accept_then_reset": {},
    "accept_then_status": {"status": 502, "body": None, "headers": None},
    "redirect": {"location": REQUIRED, "status": 302},
    "empty": {},
    "json": {"body": REQUIRED, "status": 200},
}
"""The kinds of fault, with the default values of their options."""


@dataclass(eq=False)
class Fault:
    """One fault, created by :meth:`Faults.add`. Its fields are read-only.

    :param kind: what goes wrong, see :meth:`Faults.add`.
    :param service: service of the affected requests, None for any.
    :param method: HTTP method of the affected requests, None for any.
    :param path: regular expression found in the path of the affected requests, None for any.
    :param times: maximum number of affected requests, None for all.
    :param after: number of matching requests that still pass unaffected.
    :param share: fraction of the matching requests that are affected, from 0 to 1.
    :param options: all options of the kind.
    :param on_remove: removes the fault from the sandbox's faults.
    :param hits: number of requests affected so far.
    """

    kind: str
    service: str | None
    method: str | None
    path: re.Pattern[str] | None
    times: int | None
    after: int
    share: float
    options: Mapping[str, Any]
    on_remove: Callable[[Fault], None] = field(repr=False)
    hits: int = 0
    # A fixed seed affects the same requests in every test run, provided that they arrive in the same order.
    _random: Random = field(default_factory=lambda: Random(0), repr=False)

    def remove(self) -> None:
        """Stop applying the fault. Removing it twice has no effect."""
        self.on_remove(self)

    def matches(self, service: str, method: str, path: str) -> bool:
        """Return whether a request matches the fault's filters.

        :param service: name of the service.
        :param method: HTTP method in upper case.
        :param path: the request's path.
        """
        return (
            (self.service is None or self.service == service)
            and (self.method is None or self.method == method)
            and (self.path is None or self.path.search(path) is not None)
        )

    def draw(self) -> bool:
        """Return whether a matching request is affected, at random according to the share."""
        return self.share >= 1 or self._random.random() < self.share


class Faults:
    """The faults of one sandbox.

    :param lock: the sandbox's lock.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._faults: list[Fault] = []

    def add(
        self,
        kind: str,
        service: str | None = None,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        after: int = 0,
        share: float = 1.0,
        **options: Any,
    ) -> Fault:
        """Apply a fault to future requests. If several faults match a request, the first one added is applied.

        Kinds that do not process the request: ``status`` (``status=503``, ``body=`` None, text, bytes or JSON,
        ``headers=``), ``reset`` (the connection is reset), ``html`` (200 with a page; ``body=``), ``redirect``
        (``location=``, ``status=302``), ``empty`` (200 without a body), ``json`` (``body=`` any value,
        ``status=200``).

        Kinds that process the request: ``slow_body`` (``seconds=5``: the headers at once, then the body in small
        chunks), ``truncated`` (half of the announced body, then the connection is closed), ``accept_then_reset``
        (the response is lost), ``accept_then_status`` (``status=502``, ``body=``, ``headers=``).

        ``hang`` (``seconds=30``, ``processed=False``) delays the normal response. The request is processed after the
        delay, and not at all if the client disconnects before that; with ``processed=True`` it is processed before
        the delay.

        The keyword arguments besides those below are the options of the kind.

        :param kind: one of the above.
        :param service: affect only requests to this service.
        :param method: affect only requests with this HTTP method.
        :param path: affect only requests whose path, as sent and with the service's prefix, contains a match of this
            regular expression.
        :param times: maximum number of affected requests; None for all.
        :param after: number of matching requests that pass unaffected first.
        :param share: fraction of the matching requests that are affected, chosen pseudo-randomly with a fixed seed.
        :return: the fault, with ``hits`` and ``remove()``.
        :raises ValueError: the kind is unknown.
        :raises TypeError: an option is unknown or missing.
        """
        fault = Fault(
            kind=kind,
            service=service,
            method=None if method is None else method.upper(),
            path=None if path is None else re.compile(path),
            times=times,
            after=after,
            share=share,
            options=_validate_options(kind, options),
            on_remove=self._remove,
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def select(self, service: str, method: str, path: str) -> Fault | None:
        """Return the fault to apply to a request, if any, and count the hit.

        :param service: name of the service.
        :param method: HTTP method in upper case.
        :param path: the request's path.
        """
        with self._lock:
            for fault in self._faults:
                if not fault.matches(service, method, path):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                elif (fault.times is None or fault.hits < fault.times) and fault.draw():
                    fault.hits += 1
                    return fault
        return None

    def _remove(self, fault: Fault) -> None:
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)


def _validate_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    if kind not in OPTIONS:
        raise ValueError(f"Unknown fault {kind!r}; use one of {', '.join(OPTIONS)}.")
    if unknown := options.keys() - OPTIONS[kind].keys():
        raise TypeError(f"The fault {kind!r} has no option {', '.join(sorted(unknown))}.")
    chosen = {**OPTIONS[kind], **options}
    if missing := [name for name, value in chosen.items() if value is REQUIRED]:
        raise TypeError(f"The fault {kind!r} requires the option {', '.join(missing)}.")
    return chosen


class ConnectionResetResponse(web.Response):
    """Resets the connection instead of sending a response."""

    async def prepare(self, request: Any) -> Any:
        """Reset the connection, and keep the server from writing to it."""
        transport = request.transport
        if transport is not None and not transport.is_closing():
            # With a linger time of 0, closing sends a reset instead of an orderly shutdown.
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
        raise ConnectionResetError("Connection reset by a sandbox fault.")


Handler = Callable[[], Awaitable[web.Response]]


async def apply_fault(fault: Fault, handler: Handler) -> web.Response:
    """Handle a request with a fault.

    :param fault: the fault.
    :param handler: processes the request and returns the normal response.
    """
    return await _FAULT_HANDLERS[fault.kind](fault.options, handler)


async def _status(options: Mapping[str, Any], handler: Handler) -> web.Response:
    status, body, headers = options["status"], options["body"], options["headers"]
    if body is None or isinstance(body, str):
        return web.Response(status=status, text=body, headers=headers)
    if isinstance(body, bytes):
        return web.Response(status=status, body=body, headers=headers)
    return build_json_response(body, status, headers)


async def _reset(options: Mapping[str, Any], handler: Handler) -> web.Response:
    return ConnectionResetResponse()


async def _hang(options: Mapping[str, Any], handler: Handler) -> web.Response:
    # The server cancels this when the client disconnects or the sandbox stops.
    response = await handler() if options["processed"] else None
    await asyncio.sleep(options["seconds"])
    return await handler() if response is None else response


async def _slow_body(options: Mapping[str, Any], handler: Handler) -> web.Response:
    return _replace_body(await handler(), lambda body: _send_slowly(body, options["seconds"]))


async def _html(options: Mapping[str, Any], handler: Handler) -> web.Response:
    return web.Response(text=options["body"], content_type="text/html")


async def _truncated(options: Mapping[str, Any], handler: Handler) -> web.Response:
    response = _replace_body(await handler(), _send_first_half)
    response.force_close()
    return response


async def _accept_then_reset(options: Mapping[str, Any], handler: Handler) -> web.Response:
    await handler()
    return ConnectionResetResponse()


async def _accept_then_status(options: Mapping[str, Any], handler: Handler) -> web.Response:
    await handler()
    return await _status(options, handler)


async def _redirect(options: Mapping[str, Any], handler: Handler) -> web.Response:
    return web.Response(status=options["status"], headers={"Location": options["location"]})


async def _empty(options: Mapping[str, Any], handler: Handler) -> web.Response:
    return web.Response()


async def _json(options: Mapping[str, Any], handler: Handler) -> web.Response:
    return build_json_response(options["body"], options["status"])


def _replace_body(response: web.Response, send: Callable[[bytes], AsyncIterator[bytes]]) -> web.Response:
    """Announce the same body, or a body of two bytes, but send it in a different way."""
    whole = b"".join(response.pieces) if isinstance(response, StreamedResponse) else response.body
    body = whole if isinstance(whole, bytes) and len(whole) > 1 else b"{}"
    headers = response.headers.copy()
    headers["Content-Length"] = str(len(body))
    return web.Response(status=response.status, headers=headers, body=send(body))


async def _send_first_half(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]


async def _send_slowly(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    """Send a body over a number of seconds, byte by byte unless that takes too many writes."""
    chunk_size = max(len(body) // max(int(seconds * _WRITES_PER_SECOND), 1), 1)
    pause = seconds * chunk_size / len(body)
    for start in range(0, len(body), chunk_size):
        yield body[start : start + chunk_size]
        await asyncio.sleep(pause)


_FAULT_HANDLERS: Mapping[str, Callable[[Mapping[str, Any], Handler], Awaitable[web.Response]]] = {
    "status": _status,
    "reset": _reset,
    "hang": _hang,
    "slow_body": _slow_body,
    "html": _html,
    "truncated": _truncated,
    "accept_then_reset": _accept_then_reset,
    "accept_then_status": _accept_then_status,
    "redirect": _redirect,
    "empty": _empty,
    "json": _json,
}
