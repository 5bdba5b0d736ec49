"""The offset of a vendor's clock, measured on the ``Date`` of its responses."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from airflow_provider_flowruns.client.vendor_clock import VendorClock

NOW = 1_800_000_000.25


def _measured(offset: float, *, round_trip: float = 0.2, **headers: str) -> VendorClock:
    clock = VendorClock()
    clock.measure({"date": formatdate(NOW + offset, usegmt=True), **headers}, NOW - round_trip, NOW)
    return clock


@pytest.mark.parametrize("offset", [-6 * 86_400.0, -600.0, -61.0, 61.0, 3_600.0, 6 * 86_400.0])
def test_an_offset_is_measured_to_the_second(offset: float) -> None:
    assert abs(_measured(offset).offset_seconds - offset) <= 1.0


@pytest.mark.parametrize("offset", [-1.5, 0.0, 0.7, 1.5])
def test_noise_counts_as_no_offset(offset: float) -> None:
    assert _measured(offset).offset_seconds == pytest.approx(0.0)


def test_a_slow_response_proves_no_offset() -> None:
    assert _measured(-8.0, round_trip=10.0).offset_seconds == pytest.approx(0.0)


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}, {"date": ""}])
def test_a_response_without_a_date_changes_nothing(headers: dict[str, str]) -> None:
    clock = _measured(3_600.0)
    clock.measure(headers, NOW, NOW)
    assert abs(clock.offset_seconds - 3_600.0) <= 1.0


def test_a_response_from_a_cache_changes_nothing() -> None:
    assert _measured(-300.0, age="300").offset_seconds == pytest.approx(0.0)


def test_the_newest_measurement_counts() -> None:
    clock = _measured(3_600.0)
    clock.measure({"date": formatdate(NOW, usegmt=True)}, NOW, NOW)
    assert clock.offset_seconds == pytest.approx(0.0)


def test_an_offset_above_a_minute_is_warned_about_once() -> None:
    clock = _measured(-600.0)
    assert "behind" in (clock.warning() or "")
    assert clock.warning() is None
    assert _measured(30.0).warning() is None


def test_nothing_is_known_of_a_clock_that_was_not_measured() -> None:
    assert VendorClock().range_at(NOW) is None


@pytest.mark.parametrize("offset", [-6 * 86_400.0, -1.0, 0.0, 3_600.0])
@pytest.mark.parametrize("round_trip", [0.0, 0.2, 20.0])
def test_the_vendor_s_time_lies_in_the_range(offset: float, round_trip: float) -> None:
    earliest, latest = _measured(offset, round_trip=round_trip).range_at(NOW + 100) or (0.0, 0.0)
    assert earliest <= NOW + 100 + offset <= latest
    assert latest - earliest == pytest.approx(1.0 + round_trip, abs=1e-3)
