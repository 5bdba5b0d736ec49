"""A number and what it counts agree."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.model.counts import choose_form, format_count


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 rows"),
        (1, "1 row"),
        (2, "2 rows"),
        (1_500, "1,500 rows"),
        (2**53 - 1, "9,007,199,254,740,991 rows"),
        (1.0, "1 row"),
        (1.5, "1.5 rows"),
        (1_500.0, "1,500 rows"),
    ],
)
def test_the_noun_agrees_with_its_number(number: float, text: str) -> None:
    assert format_count(number, "row") == text


def test_a_plural_of_its_own_is_taken() -> None:
    texts = [format_count(number, "success", "successes") for number in (1, 2)]
    assert texts == ["1 success", "2 successes"]
    assert [choose_form(number, "is", "are") for number in (0, 1, 2)] == ["are", "is", "are"]
