"""Clean what a vendor sends: the only place where bytes of a response become texts and JSON values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from airflow_provider_flowruns.model.json_pieces import decode_json

#: Stands for what cannot be encoded as UTF-8 or stored by PostgreSQL.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

#: NUL is refused by PostgreSQL's JSONB; half a surrogate pair cannot be encoded and ends the process that tries.
_UNFIT = re.compile(r"[\0\ud800-\udfff]")
#: Longer integers become infinite: Python refuses to convert more than 4,300 digits.
_MAX_DIGITS = 400


def clean_text(text: str) -> str:
    """Return the text with U+FFFD in place of each NUL and each half of a surrogate pair."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNFIT.sub(REPLACEMENT, text)


def parse_json(body: bytes) -> Any:
    """Return a body as a JSON value whose texts, keys included, are clean.

    Also reads a byte order mark, other Unicode encodings, invalid UTF-8, NaN, and control characters within texts.

    :param body: the bytes as they arrived.
    :raises ValueError: it is not JSON, or is nested too deep.
    """
    import msgspec

    try:
        if b"\\u0000" not in body:
            # Strict about surrogates and UTF-8, so what it accepts is clean.
            return decode_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None
    return _parse_leniently(body)


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a JSON value with each of its texts, numbers, constants and keys replaced.

    :param value: the JSON value.
    :param change: returns what takes the place of a leaf or a key.
    """
    if isinstance(value, dict):
        return {change(key): map_leaves(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [map_leaves(item, change) for item in value]
    return change(value)


def _parse_leniently(body: bytes) -> Any:
    try:
        text = body.decode(json.detect_encoding(body), "replace")
        return map_leaves(json.loads(text, strict=False, parse_int=_parse_int), _clean_leaf)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _clean_leaf(value: Any) -> Any:
    return clean_text(value) if isinstance(value, str) else value
