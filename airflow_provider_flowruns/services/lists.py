"""Decode the lists of responses record by record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from airflow_provider_flowruns.model.clean import parse_json

T = TypeVar("T")


class _List(Struct):
    data: list[Raw]


_lists = Decoder(_List)


def decode_list(body: bytes, decode_row: Callable[[Raw], T | None]) -> Any:
    """Return a body ``{"data": [...]}`` as :func:`parse_json` does, with what becomes of its rows in their places.

    The body's other members are left out. A body of another form, or one that is not strictly JSON, is returned as it
    is by :func:`parse_json`.

    :param body: the bytes as they arrived.
    :param decode_row: returns what becomes of a row's bytes, None if it cannot tell; then its JSON value is returned.
    :raises ValueError: the body is not JSON, or is nested too deep.
    """
    if b"\\u0000" in body:
        return parse_json(body)  # its texts have to be cleaned
    try:
        rows = split_list(body)
    except (DecodeError, RecursionError):
        return parse_json(body)
    return {"data": [parse_json(bytes(row)) if (read := decode_row(row)) is None else read for row in rows]}


def split_list(body: bytes) -> list[Raw]:
    """Return the rows of a body ``{"data": [...]}`` as they were sent, unread.

    :param body: the bytes as they arrived.
    :raises msgspec.DecodeError: it is no such list.
    :raises RecursionError: it is nested too deep.
    """
    return _lists.decode(body).data
