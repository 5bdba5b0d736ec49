"""Parse what the services send: lenient about spelling, missing values and types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from airflow_provider_flowruns.model.limits import MAX_COUNT, MAX_NAME_CHARS
from airflow_provider_flowruns.model.rows import Rows

if TYPE_CHECKING:
    from airflow_provider_flowruns.model.runs import FlowRun

T = TypeVar("T")
#: Portable's examples write dates with U+2010 HYPHEN; editors produce the neighbours.
_DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212], "-")
#: A larger number of seconds would be 3,000 years ahead, so it is milliseconds.
_LARGEST_SECONDS = 1e11
#: Maximum length of a time.
_MAX_TIME_CHARS = 64
#: Beyond these, adding a day or changing the time zone leaves the calendar. Both ends also stand for "never".
_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 12, 30, tzinfo=UTC)
#: Python does not format numbers of thousands of digits; no id is as large as this.
_LARGEST_ID = 10**128
#: Maximum length of an id.
MAX_ID_CHARS = 128
#: Maximum length of a word that a service documents.
MAX_WORD_CHARS = 64
#: The other types of JSON values.
_NO_OBJECTS = (list, str, int, float, type(None))
#: Result of :func:`parse_word` for a value that is not a word; no service documents it.
UNREADABLE = "(unreadable)"


def parse_time(value: Any) -> datetime | None:
    """Return an ISO-8601 text or a Unix time (seconds, or milliseconds if that large) as aware UTC, else None.

    Unix times up to 0 and the first and last days of the calendar give None: services use them for "never", and a day
    can be added to any result.
    """
    moment: datetime | None = None
    if isinstance(value, str):
        moment = parse_iso_time(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        moment = _parse_unix_time(value)
    return moment if moment and _EARLIEST <= moment <= _LATEST else None


def parse_iso_time(value: str) -> datetime | None:
    """Return an ISO-8601 text as aware UTC, None for any other text."""
    if len(value) <= _MAX_TIME_CHARS:
        try:
            return convert_to_utc(datetime.fromisoformat(value))
        except (ValueError, OverflowError):
            pass
    text = value.strip()
    if not text or len(text) > _MAX_TIME_CHARS:
        return None
    try:
        return convert_to_utc(datetime.fromisoformat(text if text.isascii() else text.translate(_DASHES)))
    except (ValueError, OverflowError):
        return None


def _parse_unix_time(seconds: float) -> datetime | None:
    if seconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(seconds / 1_000 if seconds > _LARGEST_SECONDS else seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def convert_to_utc(moment: datetime) -> datetime:
    """Return the moment in UTC; one without a time zone is assumed to be UTC."""
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_word(value: Any) -> str:
    """Return the word of an enumeration in its normal form: trimmed, upper case, ASCII hyphens.

    Empty if missing (None, empty text, empty object); :data:`UNREADABLE` for anything else that is not a word.
    """
    if isinstance(value, str):
        return _normalize_word(value) if len(value) <= MAX_WORD_CHARS else UNREADABLE
    return "" if value is None or value == {} else UNREADABLE


@lru_cache(maxsize=256)  # a long history has the same few words hundreds of thousands of times
def _normalize_word(text: str) -> str:
    trimmed = text.strip().translate(_DASHES)
    # Some letters of other alphabets have an ASCII letter as their upper case.
    return trimmed.upper() if trimmed.isascii() else UNREADABLE


def parse_status(value: Any) -> str:
    """Return a status as it was sent, for display: at most 200 characters, empty if missing."""
    if isinstance(value, str):
        return shorten_text(value)
    if value is None or value == {}:
        return ""
    return f"({describe_shape(value)})" if isinstance(value, Mapping | list) else shorten_text(str(value))


def shorten_text(text: str, limit: int = MAX_NAME_CHARS) -> str:
    """Return a text, cut and with dots at its end if it is too long.

    :param text: the text.
    :param limit: maximum number of characters, dots included.
    """
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def parse_text(value: Any) -> str | None:
    """Return a name or a message as text; None for anything that stands for "no value"."""
    if type(value) is str:
        return value or None
    if type(value) is int:
        return str(value)
    if value is None or isinstance(value, bool | Mapping | list):
        return None
    return str(value)


def parse_name(value: Any) -> str | None:
    """Return a name as :func:`parse_text` does, cut at 200 characters."""
    if type(value) is str and len(value) <= MAX_NAME_CHARS:
        return value or None
    text = parse_text(value)
    return shorten_text(text) if text else None


def parse_id(value: Any) -> str | None:
    """Return an id, a text of at most 128 characters or a whole number, as text; None for anything else."""
    if type(value) is int:
        return str(value) if abs(value) < _LARGEST_ID else None
    return value if isinstance(value, str) and value.strip() and len(value) <= MAX_ID_CHARS else None


def require_id(record: Mapping[str, Any], pattern: re.Pattern[str] | None = None) -> str:
    """Return a record's ``id`` as :func:`parse_id` does.

    :param record: the record.
    :param pattern: form of the service's ids, if requests will contain this one; None for any.
    :raises ValueError: the record has no such id.
    """
    found = parse_id(record.get("id"))
    if found is None or (pattern and not pattern.fullmatch(found)):
        raise ValueError(f"expected an id, got {describe_value(record.get('id'))}")
    return found


def parse_texts(value: Any) -> tuple[str, ...]:
    """Return error texts: None, a text, a list of texts or of records with a message."""
    if value is None or value in ("", {}, []):
        return ()
    items: Iterable[Any] = value if isinstance(value, list) else [value]
    return tuple(_parse_error_text(item) for item in items if item not in (None, "", {}))


def _parse_error_text(item: Any) -> str:
    if isinstance(item, Mapping):
        return str(item.get("message") or item.get("error") or dict(item))
    return str(item)


def parse_count(value: Any) -> int:
    """Return a number of rows; 0 for anything else, and for numbers that JSON cannot represent exactly."""
    if type(value) is int:
        return value if 0 <= value <= MAX_COUNT else 0
    try:
        count = 0 if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return count if 0 <= count <= MAX_COUNT else 0


def parse_milliseconds(value: Any) -> float | None:
    """Return a duration in milliseconds as seconds; None for 0, which services send while a run is in progress."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > _MAX_TIME_CHARS:
        return None
    try:
        milliseconds = float(value)
    except (ValueError, OverflowError):
        return None
    return milliseconds / 1_000 if 0 < milliseconds <= MAX_COUNT else None


def measure_seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds between two times; None if one is missing or they are in the wrong order."""
    if start is None or end is None or end < start:
        return None
    return (end - start).total_seconds()


def is_object(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Tell whether a value is a JSON object; checking only for Mapping takes ten times as long."""
    return type(value) is dict or isinstance(value, Mapping)


def unwrap_object(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, taken out of ``{"data": {...}}``; raises ValueError for anything else."""
    if isinstance(value, Mapping) and isinstance(value.get("data"), Mapping):
        value = value["data"]
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a JSON object, got {describe_shape(value)}")
    return value


def unwrap_object_with_id(value: Any, record_id: str) -> Mapping[str, Any]:
    """Return a JSON object as :func:`unwrap_object` does; raises ValueError, too, if it has another id.

    :param value: the body, read as JSON.
    :param record_id: the id that was requested.
    """
    record = unwrap_object(value)
    if parse_id(record.get("id")) != record_id:
        raise ValueError(f"requested {record_id}, got a response about {describe_value(record.get('id'))}")
    return record


def unwrap_list(value: Any, *names: str) -> list[Any]:
    """Return a bare JSON list, or the one under the first of ``names``; raises ValueError for anything else."""
    if isinstance(value, Mapping):
        value = next((value[name] for name in names if isinstance(value.get(name), list)), value)
    if not isinstance(value, list):
        raise ValueError(f"expected a list of JSON objects, got {describe_shape(value)}")
    return value


def read_rows(value: Any, read: Callable[[Any], T | None], *names: str, created: str = "") -> Rows[T]:
    """Read the objects of a list as :func:`unwrap_list` finds it, or runs that were decoded from them, one by one.

    A row that cannot be read is omitted and counted, so that it does not hide the others. The list may be found under
    any of the names.

    :param value: the body, read as JSON.
    :param read: returns the item of a row; None to omit the row.
    :param created: key of a row's creation time, if the newest row matters.
    :raises ValueError: there is no list, or none of its rows can be read.
    """
    rows = unwrap_list(value, *names)
    items: list[T] = []
    unread, is_first_unread, unread_at, reason = 0, False, list[datetime](), ""
    for row in rows:
        try:
            item = _reject_row(row) if isinstance(row, _NO_OBJECTS) else read(row)
        except Exception as error:  # one malformed row must not hide the others
            unread += 1
            is_first_unread = is_first_unread or not items
            if is_object(row) and (moment := parse_time(row.get(created))):
                unread_at.append(moment)
            reason = str(error)
        else:
            if item is not None:
                items.append(item)
    if rows and unread == len(rows):
        raise ValueError(
            f"expected a list of JSON objects, got {describe_shape(rows)} of which none can be read: {reason}"
        )
    return Rows(
        items,
        total=len(rows),
        unread=unread,
        is_first_unread=is_first_unread,
        newest_unread_at=max(unread_at, default=None),
    )


def _reject_row(row: Any) -> Any:
    raise ValueError(f"expected a JSON object, got {describe_shape(row)}")


def is_run_of_flow(run: FlowRun, flow_id: str | None) -> bool:
    """Return whether a run belongs to a flow: a service may ignore the filter.

    :param run: the run.
    :param flow_id: the flow's id; None for any flow.
    :raises ValueError: the run has no flow id.
    """
    if flow_id is not None and run.flow_id is None:
        raise ValueError("expected the id of a flow")
    return flow_id is None or flow_id == run.flow_id


def sort_newest_first(runs: Rows[FlowRun]) -> Rows[FlowRun]:
    """Sort the runs of a list that is documented to be newest first.

    Runs with equal times, and runs without a time, keep their positions.

    :param runs: the runs in the order of the response.
    """
    times = [run.created_at for run in runs if run.created_at]
    if all(one >= following for one, following in pairwise(times)):
        return runs
    dated = iter(sorted((run for run in runs if run.created_at), key=_get_created_at, reverse=True))
    ordered = [next(dated) if run.created_at else run for run in runs]
    return Rows(
        ordered,
        total=runs.total,
        unread=runs.unread,
        is_first_unread=runs.is_first_unread,
        newest_unread_at=runs.newest_unread_at,
        is_oldest_first=times[0] < times[-1],
        is_out_of_order=True,
    )


def _get_created_at(run: FlowRun) -> datetime:
    return run.created_at or _EARLIEST


def estimate_size(value: Any) -> int:
    """Return the approximate size of a JSON value in bytes, 0 if it cannot be encoded."""
    import msgspec

    try:
        return len(msgspec.json.encode(value))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return 0


def describe_shape(value: Any) -> str:
    """Describe in a few words what kind of JSON value this is."""
    if isinstance(value, Mapping):
        return f"an object with the keys {sorted(shorten_text(str(key), 40) for key in islice(value, 8))}"
    return f"a list ({type(value[0]).__name__})" if isinstance(value, list) and value else type(value).__name__


def format_time(moment: datetime) -> str:
    """Return the moment in the services' format: UTC, ``Z``, microseconds only where there are any."""
    return convert_to_utc(moment).isoformat().replace("+00:00", "Z")


def describe_value(value: Any) -> str:
    """Return a value for an error message: at most 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a value of thousands of levels
        return f"a huge {type(value).__name__}"
    return shorten_text(text, 80)
