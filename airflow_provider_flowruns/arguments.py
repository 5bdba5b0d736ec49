"""Checks of operator arguments at DAG parse, for those whose value is known by then."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from airflow_provider_flowruns.services.errors import InvalidArgument
from airflow_provider_flowruns.services.reading import checked_range, checked_time


def check_when_known(value: Any, check: Callable[[Any], object]) -> None:
    """
    Run a check now if the value is final; a template or another task's result is checked when it is rendered.

    :param value: the argument's value.
    :param check: raises for a wrong value.
    :raises InvalidArgument: the value is final and wrong.
    """
    if _is_known(value):
        check(value)


def check_range_when_known(start: Any, end: Any, start_argument: str, end_argument: str) -> None:
    """
    Check a time range as far as its ends are known at DAG parse.

    :param start: begin of the range.
    :param end: end of the range.
    :param start_argument: name of the argument with the begin.
    :param end_argument: name of the argument with the end.
    :raises InvalidArgument: an end is known and no point in time, or both are and the range is empty.
    """
    check_when_known(start, partial(checked_time, argument=start_argument))
    check_when_known(end, partial(checked_time, argument=end_argument))
    if _is_known(start) and _is_known(end):
        checked_range(start, end, start_argument=start_argument, end_argument=end_argument)


def _is_known(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    return not hasattr(value, "resolve")  # an XComArg is known when the task runs


def check_choice(value: Any, *, argument: str, choices: tuple[str, ...]) -> None:
    """
    Check an argument that is one of a few words.

    :param value: the argument's value.
    :param argument: its name, for the message.
    :param choices: the words it may be.
    :raises InvalidArgument: it is none of them.
    """
    if value not in choices:
        raise InvalidArgument(f"{argument} must be one of {', '.join(choices)}, got {value!r}")


def checked_payload(value: Any, *, reserved: str | None = None, argument: str = "payload") -> dict[str, Any]:
    """
    Return a JSON object that goes with a start; None is an empty one.

    :param value: the argument's value.
    :param reserved: key that this package adds itself, None when it adds none.
    :param argument: its name, for the message.
    :raises InvalidArgument: it is no JSON object, or holds the reserved key.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidArgument(f"{argument} must be a JSON object, got {type(value).__name__}")
    if reserved in value:
        raise InvalidArgument(
            f"{argument} must not hold {reserved!r}: the task's own value goes there (correlation_key)"
        )
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"{argument} must be plain JSON: {error}") from None
    return dict(value)


def check_seconds(value: Any, *, argument: str) -> None:
    """
    Check a span of time in seconds.

    :param value: the argument's value.
    :param argument: its name, for the message.
    :raises InvalidArgument: it is not a number above zero.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidArgument(f"{argument} must be a number of seconds above 0, got {value!r}")
