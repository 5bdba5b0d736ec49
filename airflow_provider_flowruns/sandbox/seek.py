"""Activepieces' cursor paging, with the rows it loses (as version 0.83.0 does; 0.85.2 loses none)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from airflow_provider_flowruns.sandbox.answers import Refused

RowT = TypeVar("RowT")
PAGINATOR_LIMIT = 100
"""The paginator's own limit, used where the request says 0."""


@dataclass(frozen=True)
class Position(Generic[RowT]):
    """How a list is ordered and how a place in it is written.

    :param place: gives a row's place; rows come in descending order of it, and a page begins strictly after
        the place in the cursor. Rows that share their place with the last row of a page are lost.
    :param write: writes a row's place for a cursor.
    :param read: reads a place back; raises ValueError with the server's message.
    """

    place: Callable[[RowT], int]
    write: Callable[[RowT], str]
    read: Callable[[str], int]


@dataclass(frozen=True)
class Page(Generic[RowT]):
    """One page: the rows, and the cursors of its neighbours or None.

    :param rows: the rows of the page.
    :param next: cursor of the page after, None for the last.
    :param previous: cursor of the page before, None for the first.
    """

    rows: Sequence[RowT]
    next: str | None
    previous: str | None


def seek_page(rows: Sequence[RowT], limit: int, cursor: str | None, position: Position[RowT]) -> Page[RowT]:
    """Cut one page out of a list.

    :param rows: all rows, newest first.
    :param limit: as sent: 0 means the paginator's own limit, -1 everything.
    :param cursor: as sent. One that does not say a direction is ignored.
    :param position: how the list is ordered.
    :raises Refused: 500 for a negative limit below -1 or a cursor with an unreadable place.
    """
    if limit == -1:
        return Page(rows, None, None)
    if limit < -1:
        server_error("LIMIT must not be negative", "2201W")
    limit = limit or PAGINATOR_LIMIT
    direction, _, place = decode(cursor or "").partition("_")
    if direction == "next":
        return _page_after(rows, limit, _read(place, position), position)
    if direction == "prev":
        return _page_before(rows, limit, _read(place, position), position)
    page = rows[:limit]
    return Page(page, _cursor("next", page[-1], position) if len(rows) > limit else None, None)


def _page_after(rows: Sequence[RowT], limit: int, place: int, position: Position[RowT]) -> Page[RowT]:
    rest = [row for row in rows if position.place(row) < place]
    page = rest[:limit]
    return Page(
        page,
        _cursor("next", page[-1], position) if len(rest) > limit else None,
        _cursor("prev", page[0], position) if page else None,
    )


def _page_before(rows: Sequence[RowT], limit: int, place: int, position: Position[RowT]) -> Page[RowT]:
    rest = [row for row in rows if position.place(row) > place]
    page = rest[-limit:]
    return Page(
        page,
        _cursor("next", page[-1], position) if page else None,
        _cursor("prev", page[0], position) if len(rest) > limit else None,
    )


def _cursor(direction: str, row: RowT, position: Position[RowT]) -> str:
    return _encode(f"{direction}_{_encode(position.write(row))}")


def _read(place: str, position: Position[RowT]) -> int:
    try:
        return position.read(decode(place))
    except ValueError as problem:
        server_error(str(problem))


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decode(text: str) -> str:
    """Decode base64 as forgivingly as Node.js does: skip what is not of the alphabet, ignore a bad end."""
    letters = re.sub(r"[^A-Za-z0-9+/]", "", text.partition("=")[0].translate({45: 43, 95: 47}))
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return base64.b64decode(letters + "=" * (-len(letters) % 4)).decode("utf-8", "replace")


def server_error(message: str, code: str | None = None) -> NoReturn:
    """Refuse with a 500 as the server's framework words it.

    :param message: what went wrong.
    :param code: the database's code, where it was the database.
    """
    body = {"statusCode": 500, "code": code, "error": "Internal Server Error", "message": message}
    raise Refused(500, {key: value for key, value in body.items() if value is not None})
