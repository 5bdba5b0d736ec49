"""What users pass to calls of TableFlow: limits, defaults and checks."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.parsing import describe_value, parse_word
from airflow_provider_flowruns.services.validation import validate_id

#: The vendor's own bounds for one page of flow runs.
DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
#: Form of all ids of the service.
ID_PATTERN = re.compile(r"[0-9a-zA-Z_-]{1,128}", re.ASCII)
#: Every status a filter may name.
STATUSES = frozenset({"PROCESSING", "REVIEW", "COMPLETED", "FAILED"})
#: Words that a filter of rows may combine with commas; some versions of the documentation lack some of them.
FILTERS = ("all", "valid", "invalid", "error", "warn", "info")
#: Largest number of rows that TableFlow puts into one CSV file.
MAX_CSV_ROWS = 500_000

_MAX_KEY_CHARS = 200
#: These end or split a segment of a path, or begin an escape, for some server or proxy on the way.
_UNSAFE_IN_PATHS = frozenset("/\\%?#;")


def validate_run_id(value: Any) -> str:
    """Return a TableFlow run id.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it contains anything but letters, digits, ``_`` and ``-``.
    """
    return validate_id(value, argument="run_id", pattern=ID_PATTERN, example="Wp7kRnT2mX4vQ9bL")


def validate_flow_id(value: Any) -> str:
    """Return a TableFlow flow id.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it contains anything but letters, digits, ``_`` and ``-``.
    """
    return validate_id(value, argument="flow_id", pattern=ID_PATTERN, example="dk4g1tUg1uHLs8YU")


def validate_status(status: str | None) -> str | None:
    """Return a status as the filter takes it; None stays None.

    :param status: the status to filter by, or None.
    :raises InvalidArgumentError: the service has no such status.
    """
    if status is None:
        return None
    if parse_word(status) not in STATUSES:
        raise InvalidArgumentError(f"status must be among {', '.join(sorted(STATUSES)).lower()}, got {status!r}")
    return parse_word(status).lower()


def validate_extraction_id(value: Any) -> str:
    """Return a TableFlow extraction id.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it contains anything but letters, digits, ``_`` and ``-``.
    """
    return validate_id(value, argument="extraction_id", pattern=ID_PATTERN, example="uT2bJNWN75YPU95r")


def validate_table(value: Any) -> str:
    """Return the key of a table, which fits into one segment of a path once it is encoded.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is not a text, or contains what could change the path.
    """
    key = value.strip() if isinstance(value, str) else ""
    # A template without a value renders to the text "None".
    is_key = 0 < len(key) <= _MAX_KEY_CHARS and key.isprintable() and key != "None" and key.strip(".")
    if not is_key or _UNSAFE_IN_PATHS.intersection(key) or not _is_encodable(key):
        raise InvalidArgumentError(
            f"table must look like line_items, the key of a table in the template, got {describe_value(value)}"
        )
    return key


def validate_filter(value: Any) -> str:
    """Return a filter of rows as the service takes it.

    :param value: one of the words in :data:`FILTERS`, or several with commas between them.
    :raises InvalidArgumentError: it is something else.
    """
    words = [word.strip().lower() for word in value.split(",")] if isinstance(value, str) else []
    if not words or not {*words} <= {*FILTERS}:
        raise InvalidArgumentError(
            f"filter must be {', '.join(FILTERS)}, or several of them with commas between, got {describe_value(value)}"
        )
    return ",".join(words)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
