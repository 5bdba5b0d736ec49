"""When to look next, and what is learnt of how long runs take."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowruns.services.model import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.waiting.pace import CLOSEST, QUICK, next_look
from airflow_provider_flowruns.waiting.usual import MOST_FLOWS, MOST_RUNS, Span, UsualDurations

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
    wait = next_look(interval, age, run_age, Span(min(spans), max(spans)) if spans else None)
    assert min(interval, CLOSEST) <= wait <= interval


@given(ages=st.lists(seconds, min_size=2))
def test_without_other_knowledge_the_looks_only_grow_rarer(ages: list[float]) -> None:
    waits = [next_look(60, age) for age in sorted(ages)]
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert next_look(60, 0) == QUICK


def test_no_look_steps_over_the_beginning_of_the_usual_end() -> None:
    usual = Span(1_000, 1_000)
    assert next_look(300, 880, 880, usual) == pytest.approx(100)  # the usual end begins at 980
    assert next_look(300, 980, 980, usual) == CLOSEST


def test_too_few_runs_make_no_usual_duration() -> None:
    usual = UsualDurations()
    usual.learn([ended("a", 10), ended("b", 20)])
    assert usual.of("f") is None
    usual.learn([ended("b", 20)])
    assert usual.of("f") is None
    usual.learn([ended("c", 30)])
    assert usual.of("f") == Span(10, 30)
    assert usual.of("another") is None
    assert usual.of(None) is None


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
    usual = UsualDurations()
    usual.learn([replace(ended(name, 10), **changes) for name in "abc"])
    assert usual.of("f") is None


def test_what_is_remembered_is_bounded() -> None:
    usual = UsualDurations()
    usual.learn(ended(str(number), 10_000 if number == 0 else number) for number in range(MOST_RUNS + 1))
    assert usual.of("f") == Span(3, MOST_RUNS - 2)  # the first of all is forgotten, the odd ones do not count
    for flow in range(MOST_FLOWS):
        usual.learn([ended("a", 1, flow_id=f"flow {flow}")])
    assert usual.of("f") is None
