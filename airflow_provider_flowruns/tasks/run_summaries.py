"""Read the run summaries that another task returned, or wrote to a file."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.parsing import describe_value

_HINT = (
    "pass a run summary, a list of them, or the manifest of a history operator's output_path, for example "
    "runs=attempts.output; in a template, write JSON: {{ ti.xcom_pull('attempts') | tojson }}"
)


def parse_runs(value: Any) -> Sequence[Any] | str:
    """Return the run summaries that the argument ``runs`` holds, or the path of the file with them.

    :param value: the value as the DAG author passed it, or as it was rendered.
    :raises InvalidArgumentError: it is none of the forms of ``runs``.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidArgumentError(f"runs is text that is not JSON, got {describe_value(value)}: {_HINT}") from None
    if _is_run_summary(value):
        return [value]
    if isinstance(value, Mapping) and isinstance(value.get("path"), str) and value["path"].strip():
        return str(value["path"])
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise InvalidArgumentError(f"runs has no run summaries, got {describe_value(value)}: {_HINT}")
    return value


def check_runs(value: Any) -> None:
    """Check the argument ``runs`` without reading a file.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is none of its forms, or contains something else than run summaries.
    """
    runs = parse_runs(value)
    if not isinstance(runs, str):
        deque(_read_list(runs), maxlen=0)


@contextmanager
def open_runs(value: Any) -> Generator[Iterable[Any]]:
    """Provide the run summaries of the argument ``runs``; those of a file are read one by one.

    :param value: the rendered value.
    :raises InvalidArgumentError: it is none of its forms, the file does not exist, or something in it is no run
        summary.
    """
    runs = parse_runs(value)
    if not isinstance(runs, str):
        yield _read_list(runs)
        return
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    file = ObjectStoragePath(runs)
    if not file.is_file():
        raise InvalidArgumentError(f"runs names the file {runs!r}, which does not exist: check the task that writes it")
    with file.open("rb") as lines:  # type: ignore[no-untyped-call]
        yield _check_summaries(
            (f"line {number} of {runs!r}", _decode_line(line)) for number, line in enumerate(lines, 1)
        )


def _read_list(runs: Sequence[Any]) -> Iterator[Any]:
    return _check_summaries((f"runs[{number}]", item) for number, item in enumerate(runs))


def _check_summaries(items: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    for place, item in items:
        if not _is_run_summary(item):
            raise InvalidArgumentError(f"{place} is no run summary, got {describe_value(item)}: {_HINT}")
        yield item


def _decode_line(line: bytes) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return line


def _is_run_summary(value: Any) -> bool:
    return isinstance(value, Mapping) and "disposition" in value
