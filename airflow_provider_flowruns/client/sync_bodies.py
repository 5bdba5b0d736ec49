"""Read the body of a response of requests: whole within a size limit, or piece by piece while it arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias, TypeVar

import requests

from airflow_provider_flowruns.client.bodies import BodyBuffer, UnreadableBodyError
from airflow_provider_flowruns.client.responses import build_body_error, build_connection_error
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.client.sync_failures import describe_failure
from airflow_provider_flowruns.client.sync_transport import limit_exchange
from airflow_provider_flowruns.model.calls import Request, Response
from airflow_provider_flowruns.model.errors import ApiError

R = TypeVar("R")
#: Makes something of a response whose headers have arrived.
Receiver: TypeAlias = Callable[[Settings, Request, requests.Response, Mapping[str, str]], R | ApiError]

_CHUNK_BYTES = 64 * 1024
#: Number of bytes that are read of the body of an error.
_MAX_ERROR_BYTES = 64 * 1024


def read_whole(
    settings: Settings, request: Request, response: requests.Response, headers: Mapping[str, str]
) -> Response | ApiError:
    """Read a response to its end and return it; the error if its body is too large or cannot be decompressed.

    :param settings: the connection.
    :param request: the request that was sent.
    :param response: the response, of which only the headers have been read.
    :param headers: its headers.
    """
    with response:
        try:
            body = _read_body(response, headers, settings.max_response_bytes)
        except UnreadableBodyError as error:
            return build_body_error(settings, request, response.status_code, error)
        return Response(response.status_code, headers, body)


class DownloadedBody:
    """The body of a response, read while it is consumed, so that it may be of any size.

    :param settings: the connection.
    :param request: the request that was sent.
    :param response: the response, of which only the headers have been read.
    :param headers: its headers.
    """

    def __init__(
        self, settings: Settings, request: Request, response: requests.Response, headers: Mapping[str, str]
    ) -> None:
        #: The response's headers by their names in lower case.
        self.headers = headers
        self._settings = settings
        self._request = request
        self._response = response

    @property
    def is_usable(self) -> bool:
        """Whether this is the file, and not an error."""
        return 200 <= self._response.status_code < 300

    @property
    def chunks(self) -> Iterator[bytes]:
        """The pieces of the body in turn; each has to arrive within the connection's timeout.

        :raises ServiceConnectionError: the body ends early, or its next piece does not arrive.
        """
        while True:
            chunk = self._read_chunk()
            if isinstance(chunk, ApiError):
                raise chunk
            if not chunk:
                return
            yield chunk

    def read_error(self) -> Response:
        """Return the response as one with a short body, for the message of an error."""
        with limit_exchange(self._settings), self._response:
            try:
                body = _read_body(self._response, self.headers, _MAX_ERROR_BYTES)
            except Exception:  # its status says what matters
                body = b""
            return Response(self._response.status_code, self.headers, body)

    def close(self) -> None:
        """Close the response; a connection whose body has not been read to its end is not used again."""
        self._response.close()

    def _read_chunk(self) -> bytes | ApiError:
        # The error is not raised here: it would reference the library's error, and with it the token.
        try:
            with limit_exchange(self._settings):
                chunk: bytes = self._response.raw.read(_CHUNK_BYTES, decode_content=True)
        except Exception as error:  # any error of a library
            reason = f"the body ended early: {describe_failure(error, is_connecting=False)}"
            return build_connection_error(self._settings, self._request, reason)
        return chunk


def _read_body(response: requests.Response, headers: Mapping[str, str], max_bytes: int) -> bytes:
    if response.status_code < 200:
        return b""  # from here on the connection uses another protocol
    body = BodyBuffer(headers, max_bytes)
    while chunk := response.raw.read(_CHUNK_BYTES, decode_content=False):
        body.add(chunk)
    return body.decompress()
