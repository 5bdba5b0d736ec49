"""Tests of intervals without known durations, and of alignment."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowruns.polling.intervals import (
    ALIGNMENT_FRACTION,
    INITIAL_INTERVAL_SECONDS,
    MAX_INDIVIDUAL_ALIGNMENT_SECONDS,
    MAX_SHARED_ALIGNMENT_SECONDS,
    align,
    get_next_interval,
)

seconds = st.floats(0.001, 1e6)


@given(ages=st.lists(seconds, min_size=2))
def test_without_known_durations_intervals_only_grow(ages: list[float]) -> None:
    waits = [get_next_interval(60, age) for age in sorted(ages)]
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert all(wait <= 60 for wait in waits)
    assert get_next_interval(60, 0) == INITIAL_INTERVAL_SECONDS


moments = st.floats(1.7e9, 2e9)


@given(time=moments, interval=st.just(0.0) | st.floats(0.0, 1e6), is_shared=st.booleans())
def test_alignment_delays_a_poll_by_less_than_a_tenth_of_its_interval(
    time: float, interval: float, is_shared: bool
) -> None:
    aligned = align(time, interval, is_shared=is_shared)
    maximum = MAX_SHARED_ALIGNMENT_SECONDS if is_shared else MAX_INDIVIDUAL_ALIGNMENT_SECONDS
    assert 0.0 <= aligned - time <= min(maximum, ALIGNMENT_FRACTION * interval)


@given(time=moments, short=st.floats(0.1, 600), long=st.floats(0.1, 600))
def test_polls_with_a_long_interval_are_aligned_to_times_of_those_with_a_short_one(
    time: float, short: float, long: float
) -> None:
    short, long = sorted((short, long))
    aligned = align(time, long, is_shared=True)
    assert align(aligned, short, is_shared=True) == aligned
