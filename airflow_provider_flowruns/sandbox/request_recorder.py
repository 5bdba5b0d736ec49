"""Record each request for the ledger while it passes through the server."""

from __future__ import annotations

import itertools
import weakref
from contextvars import ContextVar
from typing import Any, cast
from urllib.parse import parse_qsl

from aiohttp import MultipartReader, StreamReader, web

from airflow_provider_flowruns.sandbox.ledger import MAX_RECORDED_BODY_BYTES, RecordedRequest

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Maximum size of a body that is read into memory. Multipart forms are streamed and have no limit."""
_CURRENT: ContextVar[RequestRecorder] = ContextVar("flowruns_sandbox_request_recorder")


class ConnectionNumbers:
    """Number TCP connections in the order of their first requests."""

    def __init__(self) -> None:
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._next = itertools.count(1)

    def get(self, request: web.Request) -> int:
        """Return the number of the request's connection, or 0 if the connection is already closed."""
        if request.transport is None:
            return 0
        if request.transport not in self._numbers:
            self._numbers[request.transport] = next(self._next)
        return self._numbers[request.transport]


class RequestRecorder:
    """One request and the part of its body that has been read.

    :param request: the request.
    :param service: name of the service it is addressed to, or ``unknown``.
    :param time: time of arrival in epoch seconds.
    :param connection: number of its TCP connection.
    """

    def __init__(self, request: web.Request, service: str, time: float, connection: int) -> None:
        self.service = service
        self.path = request.raw_path.partition("?")[0]
        self.body = b""
        self.fault: str | None = None
        self._request = request
        self._time = time
        self._connection = connection
        self._recorded_body = bytearray()
        self._body_size = 0
        _CURRENT.set(self)

    def build_record(self, status: int | None) -> RecordedRequest:
        """Build the ledger's record of the request.

        :param status: HTTP status of the response, or None if there is none (yet).
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
            body=bytes(self._recorded_body),
            body_size=self._body_size,
            status=status,
            connection=self._connection,
            fault=self.fault,
        )

    async def read_body(self) -> bool:
        """Read the whole body into :attr:`body`.

        :return: False if the body is too large.
        """
        whole = bytearray()
        async for chunk in self._request.content.iter_any():
            self.record_chunk(chunk)
            whole += chunk
            if len(whole) > MAX_BODY_BYTES:
                return False
        self.body = bytes(whole)
        return True

    def open_multipart(self) -> MultipartReader:
        """Return a reader that streams the body as a multipart form.

        :raises ValueError: the Content-Type header has no boundary.
        """
        # The reader uses only the four methods of _RecordingStream.
        stream = cast(StreamReader, _RecordingStream(self._request.content, self))
        return MultipartReader(self._request.headers, stream)

    def record_chunk(self, data: bytes) -> None:
        """Record a chunk of the body."""
        self._recorded_body += data[: max(MAX_RECORDED_BODY_BYTES - len(self._recorded_body), 0)]
        self._body_size += len(data)

    def remove_chunk(self, data: bytes) -> None:
        """Remove the last chunk of the body from the record, because it will be read again."""
        self._body_size -= len(data)
        del self._recorded_body[self._body_size :]


class _RecordingStream:
    """A request's body stream that records every chunk it returns."""

    def __init__(self, stream: StreamReader, recorder: RequestRecorder) -> None:
        self._stream = stream
        self._recorder = recorder

    async def read(self, n: int = -1) -> bytes:
        data = await self._stream.read(n)
        self._recorder.record_chunk(data)
        return data

    async def readline(self, **limits: Any) -> bytes:
        data = await self._stream.readline(**limits)
        self._recorder.record_chunk(data)
        return data

    def at_eof(self) -> bool:
        return self._stream.at_eof()

    def unread_data(self, data: bytes) -> None:
        self._recorder.remove_chunk(data)
        self._stream.unread_data(data)


def get_request_recorder() -> RequestRecorder:
    """Return the recorder of the request that is being handled."""
    return _CURRENT.get()
