"""How handlers answer: JSON, or a refusal raised from any depth."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from aiohttp import web

MAX_DIGITS = 18


class Refused(Exception):
    """Raised by a handler to answer with an error.

    :param status: HTTP status.
    :param body: what is sent as JSON.
    """

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with a JSON body.

    :param body: anything that JSON can say.
    :param status: HTTP status.
    :param headers: further headers.
    """
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def is_number(text: str) -> bool:
    """Tell whether a text is a whole number without a sign, and not longer than any sensible one."""
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def whole_number(
    text: str | None, name: str, default: int, least: int, most: int | None, refuse: Callable[[str], NoReturn]
) -> int:
    """Read a number from a query.

    :param text: as sent, or None if it was not.
    :param name: its name, for the refusal.
    :param default: taken if it was not sent.
    :param least: least value accepted.
    :param most: greatest value accepted, or None for no bound.
    :param refuse: called with what is wrong.
    """
    if text is None:
        return default
    if not is_number(text):
        refuse(f"{name} is not a number")
    number = int(text)
    if number < least or (most is not None and number > most):
        refuse(f"{name} is out of range")
    return number


@web.middleware
async def answer_refusals(request: web.Request, handler: Any) -> web.StreamResponse:
    """Turn :class:`Refused` into the answer it describes."""
    try:
        answer: web.StreamResponse = await handler(request)
    except Refused as refusal:
        return json_answer(refusal.body, refusal.status)
    return answer
