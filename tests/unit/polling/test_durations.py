"""Tests of what is remembered of a flow's runs, in a process and from one process to the next."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.polling.durations import MAX_FLOWS, MAX_RUNS_PER_FLOW, DurationRange, RunDurations

STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def build_run(run_id: str, duration: float, flow_id: str = "f", day: int = 0) -> FlowRun:
    """Return a successful run with a duration in seconds."""
    started_at = STARTED_AT + timedelta(days=day)
    return FlowRun(
        service="portable",
        kind=Kind.RUN,
        run_id=run_id,
        flow_id=flow_id,
        lifecycle=Lifecycle.NOT_RUNNING,
        disposition=Disposition.SUCCEEDED,
        vendor_status="SUCCEEDED",
        created_at=started_at,
        completed_at=started_at + timedelta(seconds=duration),
    )


def test_too_few_runs_make_no_duration_range() -> None:
    durations = RunDurations()
    durations.learn([build_run("a", 10), build_run("b", 20)])
    assert (durations.get_range("f"), durations.get_poll_rate("f", 60)) == (None, None)
    durations.learn([build_run("b", 20)])
    assert durations.get_range("f") is None
    durations.learn([build_run("c", 30)])
    assert durations.get_range("f") == DurationRange(10, 30)
    assert durations.get_poll_rate("f", 60) is not None
    assert durations.get_range("another") is None
    assert (durations.get_range(None), durations.get_poll_rate(None, 60)) == (None, None)


def test_a_run_is_not_compared_with_itself() -> None:
    durations, run = RunDurations(), build_run("d", 400)
    durations.learn([build_run("a", 10), build_run("b", 20), build_run("c", 30), run])
    assert durations.get_range("f", without=run) == DurationRange(10, 30)


@pytest.mark.parametrize(
    "changes",
    [
        {"disposition": Disposition.FAILED},
        {"lifecycle": Lifecycle.RUNNING, "disposition": Disposition.NONE, "completed_at": None},
        {"run_id": None},
        {"flow_id": None},
        {"created_at": None},
        {"completed_at": None},
        {"completed_at": STARTED_AT - timedelta(seconds=1)},
    ],
)
def test_only_successful_runs_with_start_and_end_count(changes: dict[str, Any]) -> None:
    durations = RunDurations()
    durations.learn([replace(build_run(name, number), **changes) for number, name in enumerate("abc")])
    assert durations.get_range("f") is None


@pytest.mark.parametrize("is_newest_first", [False, True])
def test_the_newest_runs_are_remembered_in_whatever_order_they_are_read(is_newest_first: bool) -> None:
    durations = RunDurations()
    runs = [build_run(str(day), 10_000 if day == 0 else day, day=day) for day in range(MAX_RUNS_PER_FLOW + 1)]
    for _ in range(2):  # every poll of a flow's history shows the same runs
        durations.learn(reversed(runs) if is_newest_first else runs)
    # The oldest is forgotten, outliers do not count.
    assert durations.get_range("f") == DurationRange(3, MAX_RUNS_PER_FLOW - 2)
    assert len(durations.to_record("f")) == MAX_RUNS_PER_FLOW


def test_the_number_of_remembered_flows_is_bounded() -> None:
    durations = RunDurations()
    durations.learn(build_run(str(day), 10, day=day) for day in range(3))
    for flow in range(MAX_FLOWS):
        durations.learn([build_run("a", 1, flow_id=f"flow {flow}")])
    assert durations.get_range("f") is None


def test_a_new_run_changes_the_poll_rate() -> None:
    durations = RunDurations()
    durations.learn(build_run(str(day), 600, day=day) for day in range(3))
    before = durations.get_poll_rate("f", 60)
    assert durations.get_poll_rate("f", 60) is before
    durations.learn([build_run("2", 600, day=2)])
    assert durations.get_poll_rate("f", 60) is before  # nothing new
    durations.learn([build_run("3", 900, day=3)])
    after = durations.get_poll_rate("f", 60)
    assert before
    assert after
    assert after is not before
    assert after.get_interval(895) < before.get_interval(895)


@settings(deadline=None)
@given(took=st.lists(st.floats(0, 1e6), max_size=MAX_RUNS_PER_FLOW + 5))
def test_what_is_stored_is_known_again_in_the_next_process(took: list[float]) -> None:
    durations, later = RunDurations(), RunDurations()
    durations.learn(build_run(str(day), seconds, day=day) for day, seconds in enumerate(took))
    later.restore("f", json.loads(json.dumps(durations.to_record("f"))))
    assert later.to_record("f") == durations.to_record("f")
    assert later.get_range("f") == durations.get_range("f")
    later.learn(build_run(str(day), seconds, day=day) for day, seconds in enumerate(took))
    assert later.to_record("f") == durations.to_record("f")  # a run that is polled again is known already


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(record=json_values | st.lists(st.lists(st.floats() | st.integers(), max_size=3)))
def test_whatever_is_stored_can_be_restored(record: Any) -> None:
    durations = RunDurations()
    durations.restore("f", record)
    durations.restore("f", [[1_700_000_000 + number, 60.0] for number in range(3)])
    rate = durations.get_poll_rate("f", 60)
    assert rate
    assert all(0 < rate.get_interval(age) <= 60 for age in (0.0, 50.0, 1e9))
