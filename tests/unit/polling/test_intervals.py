"""Tests of intervals, alignment, and what is learned about durations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.polling.durations import MAX_FLOWS, MAX_RUNS_PER_FLOW, DurationRange, RunDurations
from airflow_provider_flowruns.polling.intervals import (
    ALIGNMENT_FRACTION,
    INITIAL_INTERVAL_SECONDS,
    MAX_INDIVIDUAL_ALIGNMENT_SECONDS,
    MAX_SHARED_ALIGNMENT_SECONDS,
    MIN_INTERVAL_SECONDS,
    align,
    get_next_interval,
)

STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)

seconds = st.floats(0.001, 1e6)


def build_run(run_id: str, duration: float, flow_id: str = "f") -> FlowRun:
    """Return a successful run with a duration in seconds."""
    return FlowRun(
        service="portable",
        kind=Kind.RUN,
        run_id=run_id,
        flow_id=flow_id,
        lifecycle=Lifecycle.NOT_RUNNING,
        disposition=Disposition.SUCCEEDED,
        vendor_status="SUCCEEDED",
        created_at=STARTED_AT,
        completed_at=STARTED_AT + timedelta(seconds=duration),
    )


@given(interval=seconds, age=seconds, run_age=seconds | st.none(), range_ends=st.tuples(seconds, seconds) | st.none())
def test_an_interval_is_at_most_the_configured_one_and_never_zero(
    interval: float, age: float, run_age: float | None, range_ends: tuple[float, float] | None
) -> None:
    wait = get_next_interval(
        interval, age, run_age, DurationRange(min(range_ends), max(range_ends)) if range_ends else None
    )
    assert min(interval, MIN_INTERVAL_SECONDS) <= wait <= interval


@given(ages=st.lists(seconds, min_size=2))
def test_without_known_durations_intervals_only_grow(ages: list[float]) -> None:
    waits = [get_next_interval(60, age) for age in sorted(ages)]
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert get_next_interval(60, 0) == INITIAL_INTERVAL_SECONDS


def test_no_interval_skips_the_shortest_expected_duration() -> None:
    durations = DurationRange(1_000, 1_000)
    assert get_next_interval(300, 880, 880, durations) == pytest.approx(100)  # runs are expected to end from 980 on
    assert get_next_interval(300, 980, 980, durations) == MIN_INTERVAL_SECONDS


def test_too_few_runs_make_no_duration_range() -> None:
    durations = RunDurations()
    durations.learn([build_run("a", 10), build_run("b", 20)])
    assert durations.get_range("f") is None
    durations.learn([build_run("b", 20)])
    assert durations.get_range("f") is None
    durations.learn([build_run("c", 30)])
    assert durations.get_range("f") == DurationRange(10, 30)
    assert durations.get_range("another") is None
    assert durations.get_range(None) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"disposition": Disposition.FAILED},
        {"lifecycle": Lifecycle.RUNNING, "disposition": Disposition.NONE, "completed_at": None},
        {"run_id": None},
        {"flow_id": None},
        {"created_at": None},
        {"completed_at": None},
    ],
)
def test_only_successful_runs_with_start_and_end_count(changes: dict[str, Any]) -> None:
    durations = RunDurations()
    durations.learn([replace(build_run(name, 10), **changes) for name in "abc"])
    assert durations.get_range("f") is None


def test_the_number_of_remembered_runs_and_flows_is_bounded() -> None:
    durations = RunDurations()
    durations.learn(
        build_run(str(number), 10_000 if number == 0 else number) for number in range(MAX_RUNS_PER_FLOW + 1)
    )
    assert durations.get_range("f") == DurationRange(
        3, MAX_RUNS_PER_FLOW - 2
    )  # the oldest is forgotten, outliers do not count
    for flow in range(MAX_FLOWS):
        durations.learn([build_run("a", 1, flow_id=f"flow {flow}")])
    assert durations.get_range("f") is None


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
