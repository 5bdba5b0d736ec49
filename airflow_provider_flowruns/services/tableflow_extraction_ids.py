"""The ids of extractions in the output of a TableFlow step. Where they stand is not documented."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from airflow_provider_flowruns.services.parsing import is_object, parse_id

#: Maximum number of ids of one step.
MAX_EXTRACTION_IDS = 100


def find_extraction_ids(output: Any, max_values: int) -> tuple[list[str], int, bool]:
    """Return the ids of extractions in an output, how many values were looked at, and whether there may be more ids.

    An id is an ``extraction_id``, one of ``extraction_ids``, or the ``id`` of an object with a ``template_id``.

    :param output: a step's output.
    :param max_values: maximum number of values to look at, those on the upper levels first.
    """
    found: dict[str, None] = {}
    queue: deque[Any] = deque([output] if is_object(output) or isinstance(output, list) else ())
    seen, has_more = 0, False
    while queue and seen < max_values and len(found) <= MAX_EXTRACTION_IDS:
        value = queue.popleft()
        if is_object(value):
            found |= dict.fromkeys(_iter_ids(value))
        items = value.values() if is_object(value) else value
        has_more |= len(items) > max_values - seen
        inner = list(islice(items, max_values - seen))
        seen += len(inner) + 1
        queue.extend(item for item in inner if is_object(item) or isinstance(item, list))
    ids = list(found)
    return ids[:MAX_EXTRACTION_IDS], seen, has_more or bool(queue) or len(ids) > MAX_EXTRACTION_IDS


def _iter_ids(record: Mapping[str, Any]) -> Iterator[str]:
    candidates = [record.get("extraction_id")]
    several = record.get("extraction_ids")
    candidates += several[: MAX_EXTRACTION_IDS + 1] if isinstance(several, list) else [several]
    if record.get("template_id"):
        candidates.append(record.get("id"))
    return (found for candidate in candidates if (found := parse_id(candidate)))
