"""Bound what goes to XCom."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_flowruns.get_provider_info import DEFAULT_MAX_XCOM_BYTES
from airflow_provider_flowruns.model.counts import choose_form, format_count

if TYPE_CHECKING:
    from airflow_provider_flowruns.exceptions import ResultTooLarge

T = TypeVar("T")


def collect_for_xcom(items: Iterable[T], noun: str, way_out: str | None = None) -> list[T]:
    """Return the items as a list, if their JSON fits into XCom.

    :param items: plain JSON values.
    :param noun: what each of them is, for the message.
    :param way_out: what to do about too many of them, if they cannot be written to a file instead.
    :raises ResultTooLarge: they are larger than ``[flowruns] max_xcom_bytes``; no further item is read.
    """
    max_bytes = _get_max_bytes()
    found: list[T] = []
    size = 2  # the brackets
    for item in items:
        found.append(item)
        size += len(json.dumps(item)) + 2
        if size - 2 > max_bytes:
            raise _build_error(
                f"the first {format_count(len(found), noun)} {choose_form(len(found), 'takes', 'take')}",
                size - 2,
                max_bytes,
                way_out or "set output_path to write them to a file, or read fewer of them",
            )
    return found


def check_xcom_size(value: Any, what: str, way_out: str = "set output_path to write it to a file") -> None:
    """Check that the JSON of a value fits into XCom.

    :param value: a plain JSON value.
    :param what: what it is, for the message.
    :param way_out: what to do about one that is too large.
    :raises ResultTooLarge: it is larger than ``[flowruns] max_xcom_bytes``.
    """
    size, max_bytes = len(json.dumps(value)), _get_max_bytes()
    if size > max_bytes:
        raise _build_error(f"{what} takes", size, max_bytes, way_out)


def _get_max_bytes() -> int:
    from airflow.providers.common.compat.sdk import conf

    max_bytes: int = conf.getint("flowruns", "max_xcom_bytes", fallback=DEFAULT_MAX_XCOM_BYTES)
    return max_bytes


def _build_error(what: str, size: int, max_bytes: int, way_out: str) -> ResultTooLarge:
    from airflow_provider_flowruns.exceptions import ResultTooLarge

    return ResultTooLarge(
        f"{what} {format_count(size, 'byte')} of JSON, and XCom takes at most {max_bytes} ([flowruns] max_xcom_bytes): "
        f"{way_out}"
    )
