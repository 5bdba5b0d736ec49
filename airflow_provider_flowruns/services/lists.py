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
    rows = _split(body)
    if rows is None:
        return parse_json(body)
    return {"data": [parse_json(bytes(row)) if (read := decode_row(row)) is None else read for row in rows]}


def _split(body: bytes) -> list[Raw] | None:
    """Return the rows of a list; None for a body that is something else, or whose texts have to be cleaned."""
    if b"\\u0000" in body:
        return None
    try:
        return _lists.decode(body).data
    except (DecodeError, RecursionError):
        return None
