"""Lenient readers for what the services send, strict writers for what they are sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeGuard

from airflow_provider_flowruns.services.errors import InvalidArgument

#: Portable's examples write dates with U+2010 HYPHEN; editors produce the neighbours.
_DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212], "-")
#: Above this a number of seconds lies 3,000 years ahead, so it is milliseconds.
_LARGEST_SECONDS = 1e11
#: Python does not write out numbers of thousands of digits; no id is as long as this.
_LARGEST_ID = 10**128
_SMALL_NUMBER = re.compile(r"[0-9]{1,9}")
#: Python takes a Unix time in digits for a date and a time without the signs in between: 13 digits for the year 1768.
_UNIX_TIME = re.compile(r"[0-9]{9,}", re.ASCII)
#: A guard before this is a mistake of its unit: no service is as old.
_OLDEST_GUARD = datetime(2000, 1, 1, tzinfo=UTC)
#: A guard this far ahead may be one of another time zone; no run can pass a later one before its wait is over.
_GUARD_AHEAD = timedelta(days=1)


def time_of(value: Any) -> datetime | None:
    """Return an ISO-8601 text or a Unix time (seconds, or milliseconds when that large) as aware UTC, else None."""
    if isinstance(value, bool) or value in (None, ""):
        return None
    if isinstance(value, int | float):
        return _from_unix(value)
    text = str(value).strip()
    try:
        return as_utc(datetime.fromisoformat(text if text.isascii() else text.translate(_DASHES)))
    except (ValueError, OverflowError):
        return None


def _from_unix(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds / 1_000 if seconds > _LARGEST_SECONDS else seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def as_utc(moment: datetime) -> datetime:
    """Return the moment in UTC; one without a time zone is taken as UTC."""
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def word(value: Any) -> str:
    """Return an enum word as the services mean it: trimmed, upper case, ASCII hyphens; empty when missing."""
    return _word(value) if isinstance(value, str) else ""


@lru_cache(maxsize=256)  # a history says the same few words hundreds of thousands of times
def _word(text: str) -> str:
    return text.strip().translate(_DASHES).upper()


def text_of(value: Any) -> str | None:
    """Return an id or a name as text; None for anything that stands for "no value"."""
    if type(value) is str:
        return value or None
    if type(value) is int:
        return str(value)
    if value is None or isinstance(value, bool | Mapping | list):
        return None
    return str(value)


def texts_of(value: Any) -> tuple[str, ...]:
    """Return error texts: None, a text, a list of texts or of records with a message."""
    if value is None or value in ("", {}, []):
        return ()
    items: Iterable[Any] = value if isinstance(value, list) else [value]
    return tuple(_error_text(item) for item in items if item not in (None, "", {}))


def _error_text(item: Any) -> str:
    if isinstance(item, Mapping):
        return str(item.get("message") or item.get("error") or dict(item))
    return str(item)


def count_of(value: Any) -> int:
    """Return a row count; 0 for anything that is not a number."""
    if type(value) is int:
        return value
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


def is_record(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Tell whether a value is a JSON object; asking for Mapping alone takes ten times as long."""
    return type(value) is dict or isinstance(value, Mapping)


def record_of(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, taken out of ``{"data": {...}}``; raises ValueError for anything else."""
    if isinstance(value, Mapping) and isinstance(value.get("data"), Mapping):
        value = value["data"]
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a JSON object, got {_shape(value)}")
    return value


def record_about(value: Any, record_id: str) -> Mapping[str, Any]:
    """
    Return a JSON object as :func:`record_of` does; raises ValueError as well when it is about another id.

    :param value: the body, read as JSON.
    :param record_id: the id that was asked for.
    """
    record = record_of(value)
    if text_of(record.get("id")) != record_id:
        raise ValueError(f"asked about {record_id}, got an answer about {_shown(record.get('id'))}")
    return record


def records_of(value: Any, *names: str) -> list[Mapping[str, Any]]:
    """Return a bare JSON list of objects, or the one under the first of ``names``; raises ValueError otherwise."""
    if isinstance(value, Mapping):
        value = next((value[name] for name in names if isinstance(value.get(name), list)), value)
    if not isinstance(value, list) or not all(map(is_record, value)):
        raise ValueError(f"expected a list of JSON objects, got {_shape(value)}")
    return value


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"an object with the keys {sorted(map(str, value))[:8]}"
    return f"a list ({type(value[0]).__name__})" if isinstance(value, list) and value else type(value).__name__


def checked_id(value: Any, *, argument: str, pattern: re.Pattern[str], example: str) -> str:
    """
    Return an id that is safe to stand in a path.

    :param value: the argument's value.
    :param argument: its name, for the message.
    :param pattern: what the service's ids look like.
    :param example: one, for the message.
    :raises InvalidArgument: it does not have the service's form; the message names ``argument``.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID:
        value = str(value)
    # The text "None" is what a template renders when it finds nothing.
    if isinstance(value, str) and pattern.fullmatch(value.strip()) and value.strip() != "None":
        return value.strip()
    raise InvalidArgument(f"{argument} must look like {example}, got {_shown(value)}")


def checked_limit(value: Any, *, argument: str = "limit", most: int) -> int:
    """
    Return a number of records from 1 to ``most``; digits as text will do (a rendered template).

    :param value: the argument's value.
    :param argument: its name, for the message.
    :param most: upper bound.
    :raises InvalidArgument: it is no such number.
    """
    if isinstance(value, str) and _SMALL_NUMBER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise InvalidArgument(f"{argument} must be a whole number from 1 to {most}, got {_shown(value)}")


def checked_time(value: Any, *, argument: str) -> datetime | None:
    """
    Return a datetime or ISO-8601 text as aware UTC; None and empty text mean "not given".

    A value without a time zone is taken as UTC.

    :param value: the argument's value.
    :param argument: its name, for the message.
    :raises InvalidArgument: it is no point in time.
    """
    if value is None or value == "":
        return None
    moment = _moment(value)
    if moment is None:
        raise InvalidArgument(
            f"{argument} must be a datetime or ISO-8601 text such as 2026-01-31T00:00:00+00:00, got {_shown(value)}"
            f"{_time_hint(value)}"
        )
    return moment


def _time_hint(value: Any) -> str:
    if value == "None":
        return ": the template found no value; a DAG run without a data interval has dag_run.run_after"
    return ": a Unix time is not taken" if _UNIX_TIME.fullmatch(str(value).strip()) else ""


def checked_guard(value: Any, *, argument: str, now: datetime | None = None) -> datetime:
    """
    Return a freshness guard that was given, as aware UTC; one without a time zone is taken as UTC.

    :param value: a datetime or ISO-8601 text.
    :param argument: its name, for the message.
    :param now: the time when a task runs; None at DAG parse, which may be long before the DAG's first run.
    :raises InvalidArgument: it is empty, no point in time, before the year 2000, or more than a day after ``now``.
    """
    if isinstance(value, str) and not value.strip():
        value = None
    moment = checked_time(value, argument=argument)
    if moment is None:
        raise InvalidArgument(
            f"{argument} was given but rendered to nothing; without a guard a run of any age would count. "
            f"Mend the template or the upstream task, or leave {argument} out"
        )
    if moment < _OLDEST_GUARD:
        raise InvalidArgument(f"{argument} must not lie before the year 2000, got {_shown(value)}; check its unit")
    if now is not None and moment > now + _GUARD_AHEAD:
        raise InvalidArgument(
            f"{argument} must not lie more than a day ahead, got {_shown(value)}; no run could be as new as that"
        )
    return moment


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        is_date = isinstance(value, str) and not _UNIX_TIME.fullmatch(value.strip())
        return time_of(value) if is_date else None
    try:
        return as_utc(value)
    except OverflowError:  # the first or last hours of the calendar, in another time zone
        return None


def checked_range(
    start: Any, end: Any, *, start_argument: str, end_argument: str
) -> tuple[datetime | None, datetime | None]:
    """
    Return both ends of a time range, each None when not given.

    :param start: begin of the range.
    :param end: end of the range.
    :param start_argument: name of the argument with the begin.
    :param end_argument: name of the argument with the end.
    :raises InvalidArgument: one is no point in time, or the range is empty.
    """
    first = checked_time(start, argument=start_argument)
    last = checked_time(end, argument=end_argument)
    if first and last and last <= first:
        raise InvalidArgument(
            f"{end_argument} ({last.isoformat()}) must be later than {start_argument} ({first.isoformat()})"
        )
    return first, last


def rfc3339(moment: datetime) -> str:
    """Return the moment as the services take it: UTC, ``Z``, microseconds only where there are any."""
    return as_utc(moment).isoformat().replace("+00:00", "Z")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return f"a huge {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
