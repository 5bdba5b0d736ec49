"""Build JSON responses, and turn errors raised by handlers into responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NoReturn

from aiohttp import web

MAX_DIGITS = 18


class ApiError(Exception):
    """Raised by a handler to send an error response.

    :param status: HTTP status.
    :param body: the JSON body.
    """

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


def build_json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Build a response with a JSON body.

    :param body: any JSON value.
    :param status: HTTP status.
    :param headers: additional headers.
    """
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


class StreamedResponse(web.Response):
    """A response whose body is generated while it is sent, without a ``Content-Length``.

    :param pieces: the body in pieces.
    :param headers: the headers.
    """

    def __init__(self, pieces: Iterable[bytes], headers: Mapping[str, str]) -> None:
        self.pieces = pieces
        super().__init__(body=_iterate(pieces), headers=headers)


async def _iterate(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)  # other requests are handled in between


def is_unsigned_integer(text: str) -> bool:
    """Return whether a text is an integer without a sign and of a sensible length."""
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def parse_integer(
    text: str | None, name: str, default: int, minimum: int, maximum: int | None, reject: Callable[[str], NoReturn]
) -> int:
    """Parse an integer from the query string.

    :param text: the value as sent, or None if it was not sent.
    :param name: name of the parameter, for the error message.
    :param default: result if it was not sent.
    :param minimum: smallest accepted value.
    :param maximum: largest accepted value, or None for no limit.
    :param reject: called with the error message.
    """
    if text is None:
        return default
    if not is_unsigned_integer(text):
        reject(f"{name} is not a number")
    number = int(text)
    if number < minimum or (maximum is not None and number > maximum):
        reject(f"{name} is out of range")
    return number


@web.middleware
async def handle_api_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Convert an :class:`ApiError` into the response it describes."""
    try:
        response: web.StreamResponse = await handler(request)
    except ApiError as error:
        return build_json_response(error.body, error.status)
    return response
