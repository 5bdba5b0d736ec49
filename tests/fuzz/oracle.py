"""What the services' documents call a success, written down a second time and on its own.

It reads a body with nothing but the standard library, and knows no more of this package than the names of the services.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

DASHES = re.compile(r"[\u2010-\u2015\u2212]")
UNFIT = re.compile(r"[\0\ud800-\udfff]")
MISSING = (None, "", {})


def successes(service: str, body: bytes) -> set[str]:
    """Return the ids of all records in a body, wherever in it they stand, that are about a run that succeeded.

    :param service: registry name of the service.
    :param body: the body; one that is no JSON has none.
    """
    return {as_id(record["id"]) for record in _records(parse(body)) if "id" in record and SUCCEEDED[service](record)}


def parse(body: bytes) -> Any:
    """Return a body as a JSON value, None for one that is none."""
    try:
        text = body.decode(json.detect_encoding(body), "replace")
        return json.loads(text, strict=False, parse_int=lambda digits: int(digits) if len(digits) < 400 else None)
    except (ValueError, RecursionError):
        return None


def as_id(value: Any) -> str:
    """Return an id as text that can be encoded."""
    return UNFIT.sub("\ufffd", str(value))


def is_behind_a_newer_run(run_id: str, created: str, rows: list[Any]) -> bool:
    """Tell whether a list that should come newest first has a run that is newer than one of its runs, or may be.

    :param run_id: the run's id.
    :param created: name of the field with the time of creation.
    :param rows: the list.
    """
    if not _names_a_run(rows[0]):
        return True
    times = {as_id(row["id"]): _moment(row.get(created)) for row in rows if _names_a_run(row)}
    own = times.get(run_id)
    return own is not None and any(other is not None and other > own for other in times.values())


def _names_a_run(row: Any) -> bool:
    found = row.get("id") if isinstance(row, dict) else None
    return isinstance(found, str | int) and not isinstance(found, bool) and 0 < len(str(found).strip()) <= 128


def _moment(value: Any) -> str | None:
    """Return a time as text that can be compared with its like; None for other forms than the documented ones."""
    if isinstance(value, int) and not isinstance(value, bool) and 10**9 <= value < 10**10:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(value))
    dashed = DASHES.sub("-", value) if isinstance(value, str) else ""
    documented = re.fullmatch(r"(20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9])(\.[0-9]+)?Z", dashed)
    return documented[1] if documented else None


def _records(value: Any) -> Iterator[dict[str, Any]]:
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            yield one
            todo += one.values()
        elif isinstance(one, list):
            todo += one


def _is_missing(value: Any) -> bool:
    return any(value is none or value == none for none in MISSING) or (isinstance(value, str) and not value.strip())


def _says(value: Any, *words: str) -> bool:
    return isinstance(value, str) and DASHES.sub("-", value.strip()).lower() in words


def _is_a_time(value: Any) -> bool:
    if isinstance(value, str):
        return any(one.isdigit() for one in value)
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _portable(record: dict[str, Any]) -> bool:
    """An attempt, in either vocabulary; one without a lifecycle has ended when it has an outcome."""
    outcome = record.get("status") if _is_missing(record.get("disposition")) else record.get("disposition")
    lifecycle = record.get("lifecycle")
    return _says(outcome, "succeeded") and (_says(lifecycle, "not_running") or _is_missing(lifecycle))


def _portable_status(record: dict[str, Any]) -> bool:
    """A flow's or workflow's status: without a lifecycle it has ended only if it says when."""
    ended = _says(record.get("lifecycle"), "not_running") or (
        _is_missing(record.get("lifecycle")) and _is_a_time(record.get("completedAt"))
    )
    return ended and _says(record.get("disposition"), "succeeded")


def _activepieces(record: dict[str, Any]) -> bool:
    return _says(record.get("status"), "succeeded", "stopped")


def _tableflow(record: dict[str, Any]) -> bool:
    return _says(record.get("status"), "completed")


SUCCEEDED = {
    "portable": _portable,
    "portable status": _portable_status,
    "activepieces": _activepieces,
    "tableflow": _tableflow,
}
