"""Limits are strict: what is no number of its kind never switches a check off silently."""

from datetime import timedelta

import pytest

from airflow_provider_flowruns.exceptions import InvalidArgumentError
from airflow_provider_flowruns.model.quality_limits import QualityLimits

NUMBERS = ("min_success_rate", "min_rows", "min_rows_ratio", "max_rows_ratio", "max_duration_ratio", "max_age", "last")
NO_NUMBERS = [
    True,
    "",
    "many",
    "None",
    "nan",
    "inf",
    float("nan"),
    float("inf"),
    -1,
    -0.5,
    "-1",
    [1],
    {},
    b"1",
    10**5000,
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: type(value).__name__)
def test_what_is_no_number_from_zero_is_refused_by_name(name, value) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} must be "):
        QualityLimits(**{name: value})


WRONG = [
    ("last", 0),
    ("last", 1_001),
    ("last", 2.5),
    ("last", None),
    ("min_success_rate", 95),
    ("min_success_rate", "1.01"),
    ("min_rows", 0.5),
    ("min_rows", 2**53 + 2),
    ("min_rows_ratio", 10**7),
    ("max_rows_ratio", 0),
    ("max_duration_ratio", 0),
    ("max_duration_ratio", timedelta(hours=1)),
    ("max_age", 0),
    ("max_age", timedelta(0)),
    ("max_age", timedelta(days=-1)),
    ("max_age", timedelta(days=4_000)),
    ("require_newest_success", None),
    ("require_newest_success", "yes"),
    ("allow_zero_rows", 1),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_number_out_of_range_is_refused_by_name(name, value) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} must be "):
        QualityLimits(**{name: value})


def test_a_minimum_above_its_maximum_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"min_rows_ratio \(2\) .* max_rows_ratio \(1\.5\)"):
        QualityLimits(min_rows_ratio=2, max_rows_ratio="1.5")
    assert QualityLimits(min_rows_ratio=2, max_rows_ratio=2)


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("last", "20", 20),
        ("min_success_rate", "0.9", 0.9),
        ("min_success_rate", 1, 1),
        ("min_rows", "1000", 1_000),
        ("min_rows", 0, 0),
        ("max_rows_ratio", " 3 ", 3),
        ("max_age", "3600", 3_600),
        ("max_age", timedelta(hours=1), 3_600),
    ],
)
def test_text_of_a_rendered_template_is_a_number(name, value, number) -> None:
    assert getattr(QualityLimits(**{name: value}), name) == number
