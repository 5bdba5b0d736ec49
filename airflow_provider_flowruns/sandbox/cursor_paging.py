"""Cursor paging as in Activepieces 0.83.0, which loses runs of the same second (0.85.2 does not)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from airflow_provider_flowruns.sandbox.responses import ApiError

RowT = TypeVar("RowT")


@dataclass(frozen=True)
class CursorKey(Generic[RowT]):
    """The sort key of a list, and its representation in a cursor.

    :param get: returns a row's sort key. Rows are in descending order, and a page starts strictly after the key in
        the cursor. Rows with the same key as the last row of a page are therefore lost.
    :param encode: returns a row's key as the text in a cursor.
    :param decode: parses such a text; raises ValueError with the server's message.
    """

    get: Callable[[RowT], int]
    encode: Callable[[RowT], str]
    decode: Callable[[str], int]


@dataclass(frozen=True)
class CursorPage(Generic[RowT]):
    """One page of a list.

    :param rows: the rows of the page.
    :param next: cursor of the next page, None on the last page.
    """

    rows: Sequence[RowT]
    next: str | None


def get_page(rows: Sequence[RowT], limit: int, cursor: str | None, key: CursorKey[RowT]) -> CursorPage[RowT]:
    """Return one page of a list.

    :param rows: all rows, newest first.
    :param limit: page size.
    :param cursor: cursor as sent. A cursor that does not start with ``next`` is ignored.
    :param key: the sort key of the list.
    :raises ApiError: 500 for a cursor with an invalid key.
    """
    direction, _, encoded_key = decode_base64(cursor or "").partition("_")
    if direction == "next":
        last_key = _decode_key(encoded_key, key)
        rows = [row for row in rows if key.get(row) < last_key]
    page = rows[:limit]
    return CursorPage(page, _build_cursor(page[-1], key) if page and len(rows) > limit else None)


def _build_cursor(row: RowT, key: CursorKey[RowT]) -> str:
    return _encode_base64(f"next_{_encode_base64(key.encode(row))}")


def _decode_key(encoded_key: str, key: CursorKey[RowT]) -> int:
    try:
        return key.decode(decode_base64(encoded_key))
    except ValueError as error:
        raise_server_error(str(error))


def _encode_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decode_base64(text: str) -> str:
    """Decode base64 as leniently as Node.js: skip invalid characters and ignore an incomplete end."""
    letters = re.sub(r"[^A-Za-z0-9+/]", "", text.partition("=")[0].translate({45: 43, 95: 47}))
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return base64.b64decode(letters + "=" * (-len(letters) % 4)).decode("utf-8", "replace")


def raise_server_error(message: str, code: str | None = None) -> NoReturn:
    """Raise a 500 in the format of the server's framework.

    :param message: the error message.
    :param code: the database's error code, if the error came from the database.
    """
    body = {"statusCode": 500, "code": code, "error": "Internal Server Error", "message": message}
    raise ApiError(500, {name: value for name, value in body.items() if value is not None})
