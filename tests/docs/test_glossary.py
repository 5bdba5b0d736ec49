"""The glossary is in alphabetical order, and each word leads to where it is explained."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "glossary.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| (?!Word|---)(.+?) \| (.+) \|$", PAGE, flags=re.MULTILINE))


def test_the_words_are_sorted() -> None:
    assert [*ROWS] == sorted(ROWS)
    assert ROWS


def test_each_word_has_a_link() -> None:
    assert [word for word, meaning in ROWS.items() if "](" not in meaning] == []
