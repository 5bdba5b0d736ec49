"""Parse the JSON that DAG authors pass to a start into plain JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence, Set
from datetime import date, time
from typing import Any
from uuid import UUID

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.parsing import describe_value

#: Larger integers have thousands of digits, which Python does not format.
_MAX_INTEGER_BITS = 4096


def parse_payload(value: Any, *, argument: str = "payload", reserved: str | None = None) -> dict[str, Any] | list[Any]:
    """Return a JSON object or list as plain JSON; None is an empty object.

    Text is parsed as JSON. Within the value, datetimes, dates and times become ISO-8601 text (as ``isoformat`` writes
    them, without a time zone where they have none), UUIDs become text, and tuples, sets and other sequences lists.

    :param value: the argument's value.
    :param argument: its name, for the message.
    :param reserved: key that this package adds to an object, None if it adds none.
    :raises InvalidArgumentError: it is neither an object nor a list, or contains the reserved key or something
        that JSON cannot represent; the message says where.
    """
    try:
        plain = _convert({} if value is None else _decode(value, argument), argument)
    except RecursionError:
        raise InvalidArgumentError(f"{argument} is nested too deeply for JSON, or contains itself") from None
    if not isinstance(plain, dict | list):
        raise InvalidArgumentError(f"{argument} must be a JSON object or list, got {describe_value(value)}")
    if isinstance(plain, dict) and reserved in plain:
        raise InvalidArgumentError(
            f"{argument} must not contain {reserved!r}: the task puts its own value there (correlation_key)"
        )
    return plain


def parse_object(value: Any, *, argument: str, reserved: str | None = None) -> dict[str, Any]:
    """Return a JSON object as :func:`parse_payload` does; a list is rejected, too.

    :param value: the argument's value.
    :param argument: its name, for the message.
    :param reserved: key that this package adds, None if it adds none.
    :raises InvalidArgumentError: it is no JSON object, or one that :func:`parse_payload` refuses.
    """
    plain = parse_payload(value, argument=argument, reserved=reserved)
    if not isinstance(plain, dict):
        raise InvalidArgumentError(f"{argument} must be a JSON object, got a list")
    return plain


def _decode(value: Any, argument: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise InvalidArgumentError(
            f"{argument} is text that is not JSON ({error}), got {describe_value(value)}"
        ) from None


def _convert(value: Any, path: str) -> Any:
    """Return a value as plain JSON; ``path`` says where it stands, such as ``payload['rows'][0]``."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and value.bit_length() <= _MAX_INTEGER_BITS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {_validate_key(key, path): _convert(inner, f"{path}[{key!r}]") for key, inner in value.items()}
    if isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray | memoryview):
        return [_convert(inner, f"{path}[{place}]") for place, inner in enumerate(value)]
    raise InvalidArgumentError(f"{path} is {_describe(value)}, which JSON cannot represent: make it text or a number")


def _validate_key(key: Any, path: str) -> str:
    if isinstance(key, str):
        return key
    raise InvalidArgumentError(f"{path} has the key {describe_value(key)}; the keys of a JSON object must be text")


def _describe(value: Any) -> str:
    if isinstance(value, int | float):
        return describe_value(value)
    return f"of type {type(value).__name__}"
