"""What a flow's history is judged by: the checks that are made, and their limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.limits import MAX_COUNT

DEFAULT_LAST = 20
MAX_LAST = 1_000
#: A larger ratio is a mistake, such as a percentage or a number of rows.
MAX_RATIO = 1_000_000
MAX_AGE_SECONDS = 10 * 365 * 24 * 60 * 60


@dataclass(kw_only=True)
class QualityLimits:
    """The limits of the checks; None leaves a check out. Numbers may be text, as a rendered template is.

    :param last: number of runs that a run is compared with, 1 to 1000.
    :param require_newest_success: fail unless the newest run that has ended succeeded.
    :param allow_zero_rows: accept a newest success that loaded no rows.
    :param min_success_rate: minimum share of successes among the ``last`` runs, 0 to 1.
    :param min_rows: minimum number of rows that the newest success loaded.
    :param min_rows_ratio: minimum of the newest success's rows, as a multiple of the median of earlier ones.
    :param max_rows_ratio: maximum of the same ratio.
    :param max_duration_ratio: maximum duration of the newest run, as a multiple of the median of earlier successes.
    :param max_age: maximum time since the end of the newest success, in seconds or as timedelta.
    :raises InvalidArgumentError: one of them is invalid; the message names it.
    """

    last: Any = DEFAULT_LAST
    require_newest_success: bool = True
    allow_zero_rows: bool = False
    min_success_rate: Any = None
    min_rows: Any = None
    min_rows_ratio: Any = None
    max_rows_ratio: Any = None
    max_duration_ratio: Any = None
    max_age: Any = None

    def __post_init__(self) -> None:
        for name in ("require_newest_success", "allow_zero_rows"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidArgumentError(f"{name} must be True or False, got {_describe(getattr(self, name))}")
        self._convert("last", _parse_whole, "a whole number of runs from 1 to 1000", minimum=1, maximum=MAX_LAST)
        self._convert("min_success_rate", _parse_number, "a share from 0 to 1, such as 0.9", maximum=1)
        self._convert("min_rows", _parse_whole, "a whole number of rows, 0 or more", maximum=MAX_COUNT)
        self._convert("min_rows_ratio", _parse_number, "a ratio from 0 to 1000000, such as 0.5", maximum=MAX_RATIO)
        for name in ("max_rows_ratio", "max_duration_ratio"):
            expected = "a ratio above 0 and at most 1000000, such as 3"
            self._convert(name, _parse_number, expected, minimum=math.ulp(0.0), maximum=MAX_RATIO)
        expected = "a number of seconds above 0 and at most ten years, or a timedelta in this range"
        self._convert("max_age", _parse_number, expected, minimum=math.ulp(0.0), maximum=MAX_AGE_SECONDS)
        low, high = self.min_rows_ratio, self.max_rows_ratio
        if low is not None and high is not None and low > high:
            raise InvalidArgumentError(f"min_rows_ratio ({low:g}) must not be above max_rows_ratio ({high:g})")

    def _convert(self, name: str, parse: Any, expected: str, *, minimum: float = 0, maximum: float) -> None:
        value = getattr(self, name)
        if value is None and name != "last":
            return
        number = parse(value.total_seconds() if name == "max_age" and isinstance(value, timedelta) else value)
        if number is None or not minimum <= number <= maximum:
            raise InvalidArgumentError(f"{name} must be {expected}, got {_describe(value)}")
        setattr(self, name, number)


def _parse_whole(value: Any) -> int | None:
    number = _parse_number(value)
    return int(number) if number is not None and number.is_integer() and number <= MAX_COUNT else None


def _parse_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _describe(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        return f"a huge {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
