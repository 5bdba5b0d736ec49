"""JSON of any size without holding up other threads: large values are decoded piece by piece."""

from __future__ import annotations

from typing import Any

#: A value of at most this many bytes is decoded at once: it takes some milliseconds, in which no other thread runs.
_PIECE_BYTES = 256 * 1024
#: Values nested deeper than this are decoded at once: each level of pieces takes another look at all of them.
_MAX_LEVELS = 12
#: Within so many bytes a value begins, or else it is not taken apart.
_LEADING_BYTES = 64


def decode_json(body: bytes) -> Any:
    """Return a JSON value, as ``msgspec.json.decode`` does.

    :param body: JSON in UTF-8.
    :raises msgspec.DecodeError: it is none.
    :raises UnicodeDecodeError: it is not UTF-8.
    :raises RecursionError: it is nested too deep.
    """
    return _decode(body, _MAX_LEVELS)


def _decode(body: Any, levels: int) -> Any:
    import msgspec

    view = memoryview(body)
    if len(view) <= _PIECE_BYTES or not levels:
        return msgspec.json.decode(body)
    match bytes(view[:_LEADING_BYTES]).lstrip()[:1]:
        case b"{":
            members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            return {name: _decode(member, levels - 1) for name, member in members.items()}
        case b"[":
            return [_decode(item, levels - 1) for item in msgspec.json.decode(body, type=list[msgspec.Raw])]
        case _:
            return msgspec.json.decode(body)
