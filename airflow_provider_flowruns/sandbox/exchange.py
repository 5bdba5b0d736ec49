"""One request on its way through the server, and what of it goes into the ledger."""

from __future__ import annotations

import itertools
import weakref
from contextvars import ContextVar
from typing import Any, cast
from urllib.parse import parse_qsl

from aiohttp import MultipartReader, StreamReader, web

from airflow_provider_flowruns.sandbox.ledger import BODY_KEPT, RecordedRequest

MAX_BODY = 64 * 1024 * 1024
"""A body that is read whole may have so many bytes. Forms with files are read piece by piece."""
_CURRENT: ContextVar[Exchange] = ContextVar("flowruns_sandbox_exchange")


class Connections:
    """Numbers the TCP connections, in the order of their first requests."""

    def __init__(self) -> None:
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._next = itertools.count(1)

    def number(self, request: web.Request) -> int:
        """Give the number of the connection a request came over; 0 if that is closed already."""
        if request.transport is None:
            return 0
        if request.transport not in self._numbers:
            self._numbers[request.transport] = next(self._next)
        return self._numbers[request.transport]


class Exchange:
    """A request that has arrived, and as much of its body as was read.

    :param request: the request.
    :param service: name of the service it is for, or ``unknown``.
    :param time: epoch seconds of its arrival.
    :param connection: number of its TCP connection.
    """

    def __init__(self, request: web.Request, service: str, time: float, connection: int) -> None:
        self.service = service
        self.path = request.raw_path.partition("?")[0]
        self.payload = b""
        self.fault: str | None = None
        self._request = request
        self._time = time
        self._connection = connection
        self._head = bytearray()
        self._size = 0
        _CURRENT.set(self)

    def record(self, status: int | None) -> RecordedRequest:
        """Describe the request for the ledger.

        :param status: HTTP status of the answer, or None while or because there is none.
        """
        request = self._request
        query = request.raw_path.partition("?")[2]
        return RecordedRequest(
            time=self._time,
            service=self.service,
            method=request.method,
            path=self.path,
            query=tuple(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=bytes(self._head),
            body_size=self._size,
            status=status,
            connection=self._connection,
            fault=self.fault,
        )

    async def read_payload(self) -> bool:
        """Read the whole body into :attr:`payload`.

        :return: False if it is too large for that.
        """
        whole = bytearray()
        async for chunk in self._request.content.iter_any():
            self.saw(chunk)
            whole += chunk
            if len(whole) > MAX_BODY:
                return False
        self.payload = bytes(whole)
        return True

    def multipart(self) -> MultipartReader:
        """Read the body as a form, part by part.

        :raises ValueError: when the header has no boundary.
        """
        # The reader calls four methods of its stream and asks for nothing else.
        stream = cast(StreamReader, _WatchedStream(self._request.content, self))
        return MultipartReader(self._request.headers, stream)

    def saw(self, data: bytes) -> None:
        """Take note of a piece of the body."""
        self._head += data[: max(BODY_KEPT - len(self._head), 0)]
        self._size += len(data)

    def unsaw(self, data: bytes) -> None:
        """Take back the last piece of the body, which will be read again."""
        self._size -= len(data)
        del self._head[self._size :]


class _WatchedStream:
    """A request's body of which the exchange sees every byte that is read."""

    def __init__(self, stream: StreamReader, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    async def read(self, n: int = -1) -> bytes:
        data = await self._stream.read(n)
        self._exchange.saw(data)
        return data

    async def readline(self, **limits: Any) -> bytes:
        data = await self._stream.readline(**limits)
        self._exchange.saw(data)
        return data

    def at_eof(self) -> bool:
        return self._stream.at_eof()

    def unread_data(self, data: bytes) -> None:
        self._exchange.unsaw(data)
        self._stream.unread_data(data)


def current_exchange() -> Exchange:
    """Give the exchange that the server made for the request being handled."""
    return _CURRENT.get()
