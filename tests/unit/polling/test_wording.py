"""Durations, times and lines as people read them."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.polling.wording import (
    MAX_LINE_CHARS,
    format_moment,
    format_range,
    format_seconds,
    split_lines,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0 s"),
        (0.0, "0 s"),
        (0.44, "0.4 s"),
        (9.0, "9 s"),
        (59.6, "1 min"),
        (60.0, "1 min"),
        (250.0, "4 min 10 s"),
        (3_600.0, "1 h"),
        (3_659.0, "1 h"),
        (7_500.0, "2 h 5 min"),
        (7 * 86_400.0, "7 d"),
        (90_000.0, "1 d 1 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_a_range_of_one_length_is_one_duration() -> None:
    assert format_range(60, 60.2) == "about 60 s"
    assert format_range(355, 545) == "6 to 9 min"
    assert format_range(45, 7_300) == "0 to 2 h"
    assert format_range(5_400, 12_600) == "1.5 to 3.5 h"


def test_times_are_in_utc() -> None:
    assert format_moment(1_800_000_000.0) == "2027-01-15 08:00:00 UTC"


def test_long_texts_are_split_and_indented_and_lose_nothing() -> None:
    text = "first line\n" + "word " * 100 + "\n\n" + "x" * 500
    lines = list(split_lines(text))
    assert lines[0] == "first line"
    assert all(line.startswith("  ") for line in lines[1:])
    assert max(map(len, lines)) <= MAX_LINE_CHARS
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert list(split_lines("")) == []
