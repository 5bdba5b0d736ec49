"""Check operator arguments: at DAG parse if their value is known by then, otherwise when they are rendered."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.parsing import describe_value
from airflow_provider_flowruns.services.validation import validate_range, validate_time

#: Longer durations are mistakes, such as milliseconds instead of seconds, and overflow the dates they are added to.
MAX_DURATION_SECONDS = 10 * 365 * 24 * 60 * 60


def check_when_known(value: Any, check: Callable[[Any], object]) -> None:
    """Check a value now if it is final; one with a template or another task's result is checked when it is rendered.

    :param value: the argument's value.
    :param check: raises an error if the value is wrong.
    :raises InvalidArgumentError: the value is final and wrong.
    """
    if is_known(value):
        check(value)


def check_range_when_known(start: Any, end: Any, start_argument: str, end_argument: str) -> None:
    """Check a time range as far as its bounds are known at DAG parse.

    :param start: start of the range, None if it is not given.
    :param end: end of the range, None if it is not given.
    :param start_argument: name of the argument with the start.
    :param end_argument: name of the argument with the end.
    :raises InvalidArgumentError: a bound is known and is not a time, or both are known and the range is empty.
    """
    for value, argument in ((start, start_argument), (end, end_argument)):
        if value is not None:
            check_when_known(value, partial(require_rendered, argument=argument))
            check_when_known(value, partial(validate_time, argument=argument))
    if is_known(start) and is_known(end):
        validate_range(start, end, start_argument=start_argument, end_argument=end_argument)


def is_known(value: Any) -> bool:
    """Return whether a value is final at DAG parse: it contains neither a template nor another task's result.

    :param value: the argument's value.
    """
    return not callable(value) and all(map(_is_final, _leaves(value)))


def get_known_part(value: Any) -> Any:
    """Return the part of a value that is known at DAG parse: without other tasks' results, None if it is one itself.

    Templates in containers are kept as text. A text that contains a template is not known at all.

    :param value: the argument's value.
    """
    if callable(value) or (isinstance(value, str) and _is_template(value)):
        return None
    try:
        return _get_known_part(value)
    except RecursionError:  # it contains itself, which the check reports
        return value


def _get_known_part(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _get_known_part(inner) for key, inner in value.items() if not _is_reference(inner)}
    if isinstance(value, list | tuple | set):
        return [_get_known_part(inner) for inner in value if not _is_reference(inner)]
    return None if _is_reference(value) else value


def _leaves(value: Any) -> list[Any]:
    """Return the values in the containers that Airflow renders."""
    leaves, seen, rest = [], set(), [value]
    while rest:
        one = rest.pop()
        if not isinstance(one, dict | list | tuple | set):
            leaves.append(one)
        elif id(one) not in seen:
            seen.add(id(one))
            rest += one.values() if isinstance(one, dict) else one
    return leaves


def _is_final(value: Any) -> bool:
    return not _is_template(value) if isinstance(value, str) else not _is_reference(value)


def _is_template(text: str) -> bool:
    return any(delimiter in text for delimiter in ("{{", "{%", "{#"))


def _is_reference(value: Any) -> bool:
    """Return whether Airflow replaces a value when it renders, such as a task's result."""
    return hasattr(value, "resolve") and not isinstance(value, os.PathLike)


def check_choice(value: Any, *, argument: str, choices: tuple[str, ...]) -> None:
    """Check that an argument is one of its allowed values.

    :param value: the argument's value.
    :param argument: its name, for the message.
    :param choices: the allowed values.
    :raises InvalidArgumentError: it is none of them.
    """
    if value not in choices:
        raise InvalidArgumentError(f"{argument} must be one of {', '.join(choices)}, got {describe_value(value)}")


def check_text(value: Any, *, argument: str) -> None:
    """Check that an argument is a text.

    :param value: the argument's value.
    :param argument: its name, for the message.
    :raises InvalidArgumentError: it is not a text, or it is blank.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidArgumentError(f"{argument} must be a text, got {describe_value(value)}")


def parse_seconds(value: Any, *, argument: str) -> float:
    """Return a duration in seconds.

    :param value: number of seconds or timedelta.
    :param argument: the argument's name, for the message.
    :raises InvalidArgumentError: it is neither, not above zero, or above ten years.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds <= MAX_DURATION_SECONDS:
        raise InvalidArgumentError(
            f"{argument} must be a number of seconds above 0 and at most {MAX_DURATION_SECONDS} (10 years), "
            f"or a timedelta in this range, got {describe_value(value)}"
        )
    return float(seconds)


def get_given_arguments(task: Any, *names: str) -> tuple[str, ...]:
    """Return which of a task's named arguments were given; call it before they are rendered.

    :param task: the sensor or operator, with its arguments as attributes.
    """
    return tuple(name for name in names if getattr(task, name) is not None)


def require_rendered(value: Any, *, argument: str) -> None:
    """Check that an argument that was given has a value after rendering.

    :param value: the rendered value of an argument that was not None when the DAG was parsed.
    :param argument: its name, for the message.
    :raises InvalidArgumentError: it is empty or None.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise InvalidArgumentError(
            f"{argument} rendered to nothing (an empty text or None): give its template a default, "
            f"or leave {argument} out"
        )
