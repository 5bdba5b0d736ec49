"""Times, durations and long texts, as log lines and error texts have them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime

#: Maximum length of a line: beside the grid, Airflow shows that many characters in a window of 1400 pixels.
MAX_LINE_CHARS = 100
#: Units of a duration, largest first, with their seconds.
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
#: Units of a range, largest first, with their seconds and decimals; a range has at least two of its unit.
_RANGE_UNITS = ((3_600, "h", 1), (60, "min", 0), (1, "s", 0))
#: Shorter durations have a decimal.
_SHORT_SECONDS = 10.0


def format_moment(unix_time: float) -> str:
    """Return a Unix time as text in UTC.

    :param unix_time: the time in seconds.
    """
    return f"{datetime.fromtimestamp(unix_time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_seconds(seconds: float) -> str:
    """Return a duration with its two largest units, such as ``4 min 10 s``.

    :param seconds: the duration.
    """
    if seconds < _SHORT_SECONDS:
        return f"{max(0.0, round(seconds, 1)):g} s"
    left = round(seconds)
    for number, (unit, size) in enumerate(_UNITS):
        if left >= size:
            count, rest = divmod(left, size)
            if number + 1 == len(_UNITS):
                return f"{count} {unit}"
            next_unit, next_size = _UNITS[number + 1]
            rest //= next_size
            return f"{count} {unit} {rest} {next_unit}" if rest else f"{count} {unit}"
    return f"{left} s"


def format_range(shortest: float, longest: float) -> str:
    """Return a range of durations in one unit, such as ``6 to 9 min``.

    :param shortest: its lower end in seconds.
    :param longest: its upper end in seconds.
    """
    size, unit, digits = next(one for one in _RANGE_UNITS if longest >= 2 * one[0] or one[0] == 1)
    first, last = (f"{round(seconds / size, digits):g}" for seconds in (shortest, longest))
    return f"about {last} {unit}" if first == last else f"{first} to {last} {unit}"


def split_lines(text: str, *, indent: str = "  ") -> Iterable[str]:
    """Yield a text in lines that can be read without scrolling; those after the first are indented.

    :param text: the text, which may have line breaks of its own.
    :param indent: what the further lines begin with.
    """
    first = ""
    for part in text.splitlines():
        wrapped = textwrap.wrap(part, MAX_LINE_CHARS, initial_indent=first, subsequent_indent=indent)
        yield from wrapped
        first = indent if wrapped else first
