"""Validate what users pass: strictly, with errors that name the argument and the fix."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.parsing import (
    _LARGEST_ID,
    convert_to_utc,
    describe_value,
    parse_iso_time,
)

#: Patterns as text, which Python compiles when they are used.
_SMALL_NUMBER = r"[0-9]{1,9}"
#: Python would read a Unix time in digits as a date and a time without separators: 13 digits as the year 1768.
_UNIX_TIME = r"[0-9]{9,}"
#: An earlier guard has a wrong unit: no service is that old.
_OLDEST_GUARD = datetime(2000, 1, 1, tzinfo=UTC)
#: A guard this far ahead may be due to a time zone; no run can satisfy a later one during its wait.
_GUARD_AHEAD = timedelta(days=1)


def validate_id(value: Any, *, argument: str, pattern: re.Pattern[str], example: str) -> str:
    """Return an id that is safe as a part of a path.

    :param value: the argument's value.
    :param argument: its name, for the message.
    :param pattern: form of the service's ids.
    :param example: an id, for the message.
    :raises InvalidArgumentError: it does not have the service's form; the message names ``argument``.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID:
        value = str(value)
    # A template without a value renders to the text "None".
    if isinstance(value, str) and pattern.fullmatch(value.strip()) and value.strip() != "None":
        return value.strip()
    raise InvalidArgumentError(f"{argument} must look like {example}, got {describe_value(value)}")


def validate_limit(value: Any, *, argument: str = "limit", maximum: int) -> int:
    """Return a number of records from 1 to ``maximum``; digits as text are accepted (a rendered template).

    :param value: the argument's value.
    :param argument: its name, for the message.
    :param maximum: upper bound.
    :raises InvalidArgumentError: it is something else.
    """
    if isinstance(value, str) and re.fullmatch(_SMALL_NUMBER, value.strip()):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= maximum:
        return value
    raise InvalidArgumentError(f"{argument} must be a whole number from 1 to {maximum}, got {describe_value(value)}")


def validate_time(value: Any, *, argument: str, also: str = "") -> datetime | None:
    """Return a datetime or ISO-8601 text as aware UTC; None and empty text mean "not given".

    A value without a time zone is assumed to be UTC.

    :param value: the argument's value.
    :param argument: its name, for the message.
    :param also: what else its caller accepts, for the message.
    :raises InvalidArgumentError: it is not a point in time.
    """
    if value is None or value == "":
        return None
    moment = _parse_moment(value)
    if moment is None:
        raise InvalidArgumentError(
            f"{argument} must be {also}a datetime or ISO-8601 text such as 2026-01-31T00:00:00+00:00, "
            f"got {describe_value(value)}{_describe_time_mistake(value)}"
        )
    return moment


def _describe_time_mistake(value: Any) -> str:
    if value == "None":
        return ": the template found no value; a DAG run without a data interval has dag_run.run_after"
    return ": a Unix time is not accepted" if re.fullmatch(_UNIX_TIME, str(value).strip()) else ""


def validate_guard(value: Any, *, argument: str, now: datetime | None = None) -> datetime:
    """Return a freshness guard that was passed, as aware UTC; without a time zone it is assumed to be UTC.

    :param value: a datetime or ISO-8601 text.
    :param argument: its name, for the message.
    :param now: the current time when a task runs; None at DAG parse, which may be long before the first run.
    :raises InvalidArgumentError: it is empty, not a time, before the year 2000, or more than a day after ``now``.
    """
    if isinstance(value, str) and not value.strip():
        value = None
    moment = validate_time(value, argument=argument, also="'auto', ")
    if moment is None:
        raise InvalidArgumentError(
            f"{argument} rendered to nothing (an empty text or None), and without a guard a run of any age would "
            f"count: fix its template or the upstream task, or omit {argument}"
        )
    if moment < _OLDEST_GUARD:
        raise InvalidArgumentError(
            f"{argument} must not be before the year 2000, got {describe_value(value)}; check its unit"
        )
    if now is not None and moment > now + _GUARD_AHEAD:
        raise InvalidArgumentError(
            f"{argument} must not be more than a day ahead, got {describe_value(value)}; no run could be that new"
        )
    return moment


def _parse_moment(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        is_date = isinstance(value, str) and not re.fullmatch(_UNIX_TIME, value.strip())
        return parse_iso_time(value) if is_date else None
    try:
        return convert_to_utc(value)
    except OverflowError:  # the first or last hours of the calendar in another time zone
        return None


def validate_range(
    start: Any, end: Any, *, start_argument: str, end_argument: str
) -> tuple[datetime | None, datetime | None]:
    """Return both ends of a time range, each None if not given.

    :param start: start of the range.
    :param end: end of the range.
    :param start_argument: name of the argument with the start.
    :param end_argument: name of the argument with the end.
    :raises InvalidArgumentError: one is not a point in time, or the range is empty.
    """
    first = validate_time(start, argument=start_argument)
    last = validate_time(end, argument=end_argument)
    if first and last and last <= first:
        raise InvalidArgumentError(
            f"{end_argument} ({last.isoformat()}) must be later than {start_argument} ({first.isoformat()})"
        )
    return first, last
