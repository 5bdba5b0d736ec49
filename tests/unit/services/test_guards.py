"""A freshness guard is a point in time that a run can have passed; anything else is refused by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_flowruns.exceptions import InvalidArgumentError
from airflow_provider_flowruns.services.validation import validate_guard, validate_time

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-27", datetime(2026, 11, 27, tzinfo=UTC)),
        ("20261127", datetime(2026, 11, 27, tzinfo=UTC)),
        (" 2026-11-27T10:00:00+02:00 ", datetime(2026, 11, 27, 8, tzinfo=UTC)),
        (datetime(2026, 11, 27), datetime(2026, 11, 27, tzinfo=UTC)),
        (datetime(2026, 11, 27, 10, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 11, 27, 8, tzinfo=UTC)),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2026-11-29T12:00:00Z", NOW + timedelta(days=1)),
    ],
)
def test_a_guard_is_read_as_utc(value: Any, expected: datetime) -> None:
    assert validate_guard(value, argument="completed_after", now=NOW) == expected


@pytest.mark.parametrize("value", [None, "", "  ", "\n"])
def test_a_guard_that_rendered_to_nothing_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: completed_after rendered to nothing"):
        validate_guard(value, argument="completed_after", now=NOW)


MILLISECONDS = ["1764331200000", " 1764331200000", "2000000000000", 1764331200000, 1764331200, "1764331200"]


@pytest.mark.parametrize("value", MILLISECONDS)
def test_a_unix_time_is_refused_and_not_read_as_the_year_1768(value: Any) -> None:
    for check in (validate_guard, validate_time):
        with pytest.raises(
            InvalidArgumentError, match=r"^FR301: started_after must be ('auto', )?a datetime or ISO-8601 .*Unix time"
        ):
            check(value, argument="started_after")


@pytest.mark.parametrize("value", ["1999-12-31T23:59:59Z", "1970-01-01", "0001-01-01", datetime(1768, 1, 1)])
def test_a_guard_before_the_year_2000_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: completed_after must not be before the year 2000"):
        validate_guard(value, argument="completed_after", now=NOW)
    assert validate_time(value, argument="start_time")  # a range of history may begin there


@pytest.mark.parametrize("value", ["2026-11-29T12:00:01Z", "2027-01-01", "9999-12-31", NOW + timedelta(days=2)])
def test_a_guard_beyond_tomorrow_is_refused_once_the_task_runs(value: Any) -> None:
    """A DAG file may be written, and parsed, long before its first run."""
    with pytest.raises(InvalidArgumentError, match=r"^FR301: completed_after must not be more than a day ahead"):
        validate_guard(value, argument="completed_after", now=NOW)
    assert validate_guard(value, argument="completed_after")
