"""Durations, times and texts as people read them."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from airflow_provider_flowruns.cli.output import clean_line, format_duration, format_time, print_line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0305, "0.0305 s"),
        (5.0, "5 s"),
        (59.4, "59.4 s"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        (3_600, "1 h"),
        (3_599.9, "1 h"),
        (7_260, "2 h 1 min"),
        (172_800, "2 d"),
        (176_400, "2 d 1 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds, text) -> None:
    assert format_duration(seconds) == text


def test_a_time_is_in_utc() -> None:
    assert format_time(datetime(2026, 1, 31, 6, 0, 1, 999_999, tzinfo=UTC)) == "2026-01-31 06:00:01 UTC"
    assert format_time(None) == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\n c", "a b c"),
        ("\x1b[31mred\x9b", " [31mred "),
        ("caf\u00e9 \u202eabc", "caf\u00e9  abc"),
        ("\0x", " x"),
    ],
)
def test_a_line_has_no_control_characters(text, line) -> None:
    assert clean_line(text) == line


def test_a_terminal_without_a_character_gets_a_question_mark(monkeypatch) -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", ascii_only)
    print_line("caf\u00e9")
    ascii_only.seek(0)
    assert ascii_only.read() == "caf?\n"
