"""When to look next, and what is learnt of how long runs take."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.polling.durations import MOST_FLOWS, MOST_RUNS, DurationRange, RunDurations
from airflow_provider_flowruns.polling.intervals import (
    INITIAL_INTERVAL_SECONDS,
    MIN_INTERVAL_SECONDS,
    get_next_interval,
)

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)

seconds = st.floats(0.001, 1e6)


def ended(run_id: str, took: float, flow_id: str = "f") -> FlowRun:
    """Return a successful run that took so many seconds."""
    return FlowRun(
        service="portable",
        kind=Kind.RUN,
        run_id=run_id,
        flow_id=flow_id,
        lifecycle=Lifecycle.NOT_RUNNING,
        disposition=Disposition.SUCCEEDED,
        vendor_status="SUCCEEDED",
        created_at=BEGUN,
        completed_at=BEGUN + timedelta(seconds=took),
    )


@given(interval=seconds, age=seconds, run_age=seconds | st.none(), spans=st.tuples(seconds, seconds) | st.none())
def test_a_look_is_never_further_off_than_the_interval_and_never_at_once(
    interval: float, age: float, run_age: float | None, spans: tuple[float, float] | None
) -> None:
    wait = get_next_interval(interval, age, run_age, DurationRange(min(spans), max(spans)) if spans else None)
    assert min(interval, MIN_INTERVAL_SECONDS) <= wait <= interval


@given(ages=st.lists(seconds, min_size=2))
def test_without_other_knowledge_the_looks_only_grow_rarer(ages: list[float]) -> None:
    waits = [get_next_interval(60, age) for age in sorted(ages)]
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert get_next_interval(60, 0) == INITIAL_INTERVAL_SECONDS


def test_no_look_steps_over_the_beginning_of_the_usual_end() -> None:
    durations = DurationRange(1_000, 1_000)
    assert get_next_interval(300, 880, 880, durations) == pytest.approx(100)  # the usual end begins at 980
    assert get_next_interval(300, 980, 980, durations) == MIN_INTERVAL_SECONDS


def test_too_few_runs_make_no_usual_duration() -> None:
    durations = RunDurations()
    durations.learn([ended("a", 10), ended("b", 20)])
    assert durations.of("f") is None
    durations.learn([ended("b", 20)])
    assert durations.of("f") is None
    durations.learn([ended("c", 30)])
    assert durations.of("f") == DurationRange(10, 30)
    assert durations.of("another") is None
    assert durations.of(None) is None


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
def test_only_whole_successful_runs_count(changes: dict[str, Any]) -> None:
    durations = RunDurations()
    durations.learn([replace(ended(name, 10), **changes) for name in "abc"])
    assert durations.of("f") is None


def test_what_is_remembered_is_bounded() -> None:
    durations = RunDurations()
    durations.learn(ended(str(number), 10_000 if number == 0 else number) for number in range(MOST_RUNS + 1))
    assert durations.of("f") == DurationRange(
        3, MOST_RUNS - 2
    )  # the first of all is forgotten, the odd ones do not count
    for flow in range(MOST_FLOWS):
        durations.learn([ended("a", 1, flow_id=f"flow {flow}")])
    assert durations.of("f") is None
