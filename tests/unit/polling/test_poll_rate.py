"""Tests of how polls are placed around the usual ends of a flow's runs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.polling.poll_rate import (
    MAX_EXTRA_POLLS,
    MIN_EXTRA_POLLS,
    MIN_INTERVAL_SECONDS,
    OVERTIME_FRACTION,
    PollRate,
    build_poll_rate,
)

#: Without a deadline: the machine may be busy.
examples = settings(deadline=None)

durations = st.lists(st.floats(0, 1e6), min_size=1, max_size=20)
intervals = st.floats(0.1, 1e5)


def list_polls(rate: PollRate, end: float) -> list[float]:
    """Return the ages of a run at which it is polled, from its beginning until a poll shows that it has ended."""
    ages = [0.0]
    while ages[-1] < end:
        ages.append(ages[-1] + rate.get_interval(ages[-1]))
    return ages


def draw(count: int, middle: float, spread: float) -> list[float]:
    rng = random.Random(1)
    return [middle + rng.uniform(-spread, spread) for _ in range(count)]


@examples
@given(known=durations, max_interval=intervals, age=st.floats(0, 1e7), is_batched=st.booleans())
def test_an_interval_is_at_most_the_maximum_and_never_below_the_minimum(
    known: list[float], max_interval: float, age: float, is_batched: bool
) -> None:
    interval = build_poll_rate(known, max_interval, is_batched=is_batched).get_interval(age)
    assert min(max_interval, MIN_INTERVAL_SECONDS) * (1 - 1e-9) <= interval <= max_interval


@examples
@given(known=durations, max_interval=intervals, ages=st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)))
def test_a_later_poll_is_never_followed_by_an_earlier_one(
    known: list[float], max_interval: float, ages: tuple[float, float]
) -> None:
    rate = build_poll_rate(known, max_interval)
    early, late = sorted(ages)
    assert early + rate.get_interval(early) <= late + rate.get_interval(late) + 1e-6


@examples
@given(known=st.lists(st.floats(1, 10_000), min_size=3, max_size=20), max_interval=st.floats(10, 600))
def test_the_number_of_polls_is_bounded(known: list[float], max_interval: float) -> None:
    rate = build_poll_rate(known, max_interval)
    polls = [len(list_polls(rate, duration)) for duration in known]
    fixed = [duration / max_interval for duration in known]
    extra = min(MAX_EXTRA_POLLS, max(MIN_EXTRA_POLLS, sorted(fixed)[len(fixed) // 2]))
    assert sum(polls) / len(polls) <= sum(fixed) / len(fixed) + 3 * extra + 2
    assert max(polls) <= max(fixed) + 20 * extra + 2


def test_most_polls_are_where_runs_end() -> None:
    polls = list_polls(build_poll_rate(draw(20, 600, 30), 60), 630)
    assert len([age for age in polls if age < 560]) <= 10
    around_end = [later - earlier for earlier, later in pairwise(polls) if 570 <= earlier <= 620]
    assert max(around_end) <= 10


def test_between_two_usual_durations_polls_are_rare() -> None:
    polls = list_polls(build_poll_rate([*draw(10, 180, 9), *draw(10, 900, 45)], 60), 945)
    between = [later - earlier for earlier, later in pairwise(polls) if earlier >= 230 and later <= 780]
    near = [later - earlier for earlier, later in pairwise(polls) if earlier >= 860 and later <= 930]
    assert min(between) > 2 * max(near)


def test_after_the_longest_known_duration_intervals_grow_to_the_maximum() -> None:
    rate = build_poll_rate(draw(20, 600, 30), 60)
    waits = [rate.get_interval(age) for age in range(700, 1_500, 10)]
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert (waits[0] < 60, waits[-1]) == (True, 60)


def test_a_flow_that_always_takes_the_same_time_is_polled_within_seconds() -> None:
    rate = build_poll_rate([600.0] * 20, 60)
    assert rate.get_interval(599.5) == MIN_INTERVAL_SECONDS
    assert len(list_polls(rate, 600)) <= 30


@pytest.mark.parametrize("known", [draw(20, 36_000, 9_000), draw(20, 600, 200)])
def test_runs_that_share_requests_cost_fewer_polls(known: Sequence[float]) -> None:
    end = max(known)
    alone, batched = (list_polls(build_poll_rate(known, 60, is_batched=one), end) for one in (False, True))
    assert len(batched) < len(alone)


def test_a_run_in_overtime_is_polled_by_the_time_since_its_usual_end() -> None:
    rate = PollRate((100.0, 200.0), (0.5,), 60.0)
    assert rate.get_interval(200) == 2
    assert rate.get_interval(300) == OVERTIME_FRACTION * 100 == 50
    assert rate.get_interval(1_000) == 60
