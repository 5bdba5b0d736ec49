"""Faults that can be put between a client and the services: lost answers, hangs, wrong bodies."""

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

from airflow_provider_flowruns.sandbox.answers import json_answer

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
"""The kinds of fault, and the options of each with their defaults."""


@dataclass(eq=False)
class Fault:
    """One fault. Made by :meth:`Faults.add`.

    It is an error to change any field.

    :param kind: what goes wrong, see :meth:`Faults.add`.
    :param service: only requests to this service, None for any.
    :param method: only requests with this HTTP method, None for any.
    :param path: only requests with a path in which this is found, None for any.
    :param times: so many requests, None for all.
    :param after: so many matching requests are still let pass.
    :param share: only this share of the requests, from 0 to 1.
    :param options: the options of the kind, all of them.
    :param withdraw: takes the fault out of the sandbox's faults.
    :param hits: so many requests it was applied to.
    """

    kind: str
    service: str | None
    method: str | None
    path: re.Pattern[str] | None
    times: int | None
    after: int
    share: float
    options: Mapping[str, Any]
    withdraw: Callable[[Fault], None] = field(repr=False)
    hits: int = 0
    # Always the same dice, so that a test sees the same requests struck as far as they arrive in the same order.
    _dice: Random = field(default_factory=lambda: Random(0), repr=False)

    def remove(self) -> None:
        """Apply the fault to no further request. Removing it twice does no harm."""
        self.withdraw(self)

    def matches(self, service: str, method: str, path: str) -> bool:
        """Tell whether the fault is meant for such a request.

        :param service: name of the service.
        :param method: HTTP method in upper case.
        :param path: the request's path.
        """
        return (
            (self.service is None or self.service == service)
            and (self.method is None or self.method == method)
            and (self.path is None or self.path.search(path) is not None)
        )

    def strikes(self) -> bool:
        """Throw the dice for a request that the fault is meant for."""
        return self.share >= 1 or self._dice.random() < self.share


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
        """Apply a fault to coming requests. Where several match, the one added first is applied.

        Kinds that process nothing: ``status`` (``status=503``, ``body=`` None, text, bytes or JSON, ``headers=``),
        ``reset`` (the connection is reset), ``html`` (200 with a page; ``body=``), ``redirect``
        (``location=``, ``status=302``), ``empty`` (200 without a body), ``json`` (``body=`` anything,
        ``status=200``).

        Kinds that process the request: ``slow_body`` (``seconds=5``: headers at once, then the body bit by
        bit), ``truncated`` (half of the announced body, then the connection is closed),
        ``accept_then_reset`` (the answer is lost), ``accept_then_status`` (``status=502``, ``body=``,
        ``headers=``).

        ``hang`` (``seconds=30``, ``processed=False``) answers as always, but only after so long. The request
        is processed after the wait, and not at all when the client leaves before; with ``processed=True``
        it is processed before the wait.

        :param kind: one of the above.
        :param service: only requests to this service.
        :param method: only requests with this HTTP method.
        :param path: only requests with a path in which this regular expression is found; the path begins
            with the service's prefix and is as it was sent.
        :param times: so many requests; None for all.
        :param after: let so many matching requests pass first.
        :param share: of the matching requests, apply it to this share, chosen at random but always the same.
        :param options: the options of the kind.
        :return: the fault, with its count of ``hits`` and a ``remove()``.
        :raises ValueError: for an unknown kind.
        :raises TypeError: for an unknown or missing option.
        """
        fault = Fault(
            kind=kind,
            service=service,
            method=None if method is None else method.upper(),
            path=None if path is None else re.compile(path),
            times=times,
            after=after,
            share=share,
            options=_checked_options(kind, options),
            withdraw=self._remove,
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, service: str, method: str, path: str) -> Fault | None:
        """Give the fault to be applied to a request, and count it as applied.

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
                elif (fault.times is None or fault.hits < fault.times) and fault.strikes():
                    fault.hits += 1
                    return fault
        return None

    def _remove(self, fault: Fault) -> None:
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)


def _checked_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    if kind not in OPTIONS:
        raise ValueError(f"There is no fault {kind!r}; there are {', '.join(OPTIONS)}.")
    if unknown := options.keys() - OPTIONS[kind].keys():
        raise TypeError(f"The fault {kind!r} takes no option {', '.join(sorted(unknown))}.")
    chosen = {**OPTIONS[kind], **options}
    if missing := [name for name, value in chosen.items() if value is REQUIRED]:
        raise TypeError(f"The fault {kind!r} needs the option {', '.join(missing)}.")
    return chosen


class LostAnswer(web.Response):
    """Instead of an answer, resets the connection."""

    async def prepare(self, request: Any) -> Any:
        """Reset the connection, and stop the server from writing to it."""
        transport = request.transport
        if transport is not None and not transport.is_closing():
            # Without lingering, closing sends a reset instead of an orderly end.
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
        raise ConnectionResetError("The sandbox was asked to lose this answer.")


Process = Callable[[], Awaitable[web.Response]]


async def apply_fault(fault: Fault, process: Process) -> web.Response:
    """Answer a request as a fault wants it.

    :param fault: the fault.
    :param process: processes the request and gives the normal answer.
    """
    return await _APPLY[fault.kind](fault.options, process)


async def _status(options: Mapping[str, Any], process: Process) -> web.Response:
    status, body, headers = options["status"], options["body"], options["headers"]
    if body is None or isinstance(body, str):
        return web.Response(status=status, text=body, headers=headers)
    if isinstance(body, bytes):
        return web.Response(status=status, body=body, headers=headers)
    return json_answer(body, status, headers)


async def _reset(options: Mapping[str, Any], process: Process) -> web.Response:
    return LostAnswer()


async def _hang(options: Mapping[str, Any], process: Process) -> web.Response:
    # The server cancels this when the client leaves or the sandbox stops.
    answer = await process() if options["processed"] else None
    await asyncio.sleep(options["seconds"])
    return await process() if answer is None else answer


async def _slow_body(options: Mapping[str, Any], process: Process) -> web.Response:
    return _rebuilt(await process(), lambda body: _bit_by_bit(body, options["seconds"]))


async def _html(options: Mapping[str, Any], process: Process) -> web.Response:
    return web.Response(text=options["body"], content_type="text/html")


async def _truncated(options: Mapping[str, Any], process: Process) -> web.Response:
    answer = _rebuilt(await process(), _first_half)
    answer.force_close()
    return answer


async def _accept_then_reset(options: Mapping[str, Any], process: Process) -> web.Response:
    await process()
    return LostAnswer()


async def _accept_then_status(options: Mapping[str, Any], process: Process) -> web.Response:
    await process()
    return await _status(options, process)


async def _redirect(options: Mapping[str, Any], process: Process) -> web.Response:
    return web.Response(status=options["status"], headers={"Location": options["location"]})


async def _empty(options: Mapping[str, Any], process: Process) -> web.Response:
    return web.Response()


async def _json(options: Mapping[str, Any], process: Process) -> web.Response:
    return json_answer(options["body"], options["status"])


def _rebuilt(answer: web.Response, send: Callable[[bytes], AsyncIterator[bytes]]) -> web.Response:
    """Announce the same body, of at least two bytes, but send it in another way."""
    body = answer.body if isinstance(answer.body, bytes) and len(answer.body) > 1 else b"{}"
    headers = answer.headers.copy()
    headers["Content-Length"] = str(len(body))
    return web.Response(status=answer.status, headers=headers, body=send(body))


async def _first_half(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]


async def _bit_by_bit(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    """Spread a body over some seconds, byte by byte unless that takes too many writes."""
    step = max(len(body) // max(int(seconds * _WRITES_PER_SECOND), 1), 1)
    pause = seconds * step / len(body)
    for begin in range(0, len(body), step):
        yield body[begin : begin + step]
        await asyncio.sleep(pause)


_APPLY: Mapping[str, Callable[[Mapping[str, Any], Process], Awaitable[web.Response]]] = {
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
