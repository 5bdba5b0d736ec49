"""What holds for every history a service can show: states, errors, clock and restarts in any order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model.errors import (
    AuthenticationError,
    FlowRunsError,
    NotFoundError,
    RateLimitError,
    ServerError,
    ServiceConnectionError,
)
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import FlowStatusTarget, NewestRunsTarget, RunTarget, WorkflowStatusTarget
from airflow_provider_flowruns.polling.intervals import INITIAL_INTERVAL_SECONDS
from airflow_provider_flowruns.polling.run_waiter import MIN_WAIT_SECONDS, NextAction, RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitConfig, WaitResult

START = 1_800_000_000.0

DAY = 24 * 60 * 60.0
#: A time that no clock can have shown yet.
NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()

seconds = st.floats(-500, 500).map(lambda offset: START + offset)
states = st.sampled_from(
    [
        (Lifecycle.PENDING, Disposition.NONE),
        (Lifecycle.RUNNING, Disposition.NONE),
        (Lifecycle.PAUSED, Disposition.NONE),
        (Lifecycle.UNKNOWN, Disposition.NONE),
        (Lifecycle.NOT_RUNNING, Disposition.NONE),
        (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED),
        (Lifecycle.NOT_RUNNING, Disposition.FAILED),
        (Lifecycle.NOT_RUNNING, Disposition.CANCELED),
    ]
)


def moment(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


@st.composite
def runs(draw: st.DrawFn) -> FlowRun:
    lifecycle, disposition = draw(states)
    return FlowRun(
        service="activepieces",
        kind=Kind.RUN,
        run_id=draw(st.sampled_from(["a", "b", "c", None])),
        flow_id="f",
        lifecycle=lifecycle,
        disposition=disposition,
        vendor_status=str(lifecycle),
        created_at=moment(draw(st.none() | seconds | st.just(NEVER))),
        started_at=moment(draw(st.none() | seconds | st.just(NEVER))),
        completed_at=moment(draw(st.none() | seconds | st.just(NEVER))),
        may_recover=draw(st.booleans()),
    )


errors = st.builds(
    lambda kind, asked: kind("Activepieces", "GET", "/x", None, "no", None, asked),
    st.sampled_from([ServerError, RateLimitError, ServiceConnectionError, NotFoundError, AuthenticationError]),
    st.none() | st.floats(0, 10_000),
)
polls = st.lists(runs(), max_size=3) | errors

plans = st.builds(
    WaitConfig,
    target=st.sampled_from(
        [
            RunTarget("activepieces", "a", "f"),
            FlowStatusTarget("activepieces", "f"),
            NewestRunsTarget("activepieces", "f"),
            WorkflowStatusTarget("activepieces", "f"),
        ]
    ),
    interval_seconds=st.floats(1, 60),
    deadline_at=st.floats(0, 400).map(lambda span: START + span),
    error_budget_seconds=st.floats(1, 300),
    completed_after_at=st.none() | seconds,
    started_after_at=st.none() | seconds,
    on_paused=st.sampled_from(["wait", "succeed", "fail", "skip"]),
    on_canceled=st.sampled_from(["fail", "skip"]),
    can_fail=st.booleans(),
    recovery_grace_seconds=st.floats(0, 100),
    not_found_grace_seconds=st.floats(0, 100),
    gone_grace_seconds=st.floats(0, 100),
    is_backing_off=st.booleans(),
    max_interval_seconds=st.none() | st.floats(1, 100),
)


@dataclass
class Story:
    """One wait, driven to its end: each poll, its time and result; and the offset of the service's clock."""

    decisions: list[tuple[float, Any, NextAction]]
    offset: float

    @property
    def result(self) -> WaitResult:
        result = self.decisions[-1][2].result
        assert result is not None
        return result


@st.composite
def stories(draw: st.DrawFn) -> tuple[WaitConfig, Story]:
    config = draw(plans)
    waiter, now = RunWaiter(config, START), START
    offset = draw(st.sampled_from([0.0, 0.0, -600.0, 3600.0, -6 * DAY]))
    decisions: list[tuple[float, Any, NextAction]] = []
    while not decisions or decisions[-1][2].result is None:
        assert len(decisions) < 2_000, "the wait does not end"
        if draw(st.integers(0, 9)) == 0:
            waiter = RunWaiter.from_json(waiter.to_json())  # a restart
        # After a while the history repeats itself, so that drawing it ends before the wait has to.
        seen = draw(polls) if len(decisions) < 25 else decisions[-1][1]
        waiter.vendor_offset = offset
        action = waiter.step(seen, now)
        decisions.append((now, seen, action))
        now += action.wait + draw(st.sampled_from([0.0, 0.0, 0.0, 0.5, 30.0]))
    return config, Story(decisions, offset)


@settings(max_examples=400, deadline=None)
@given(stories())
def test_success_only_on_a_terminal_success_that_the_guards_accept(case: tuple[WaitConfig, Story]) -> None:
    config, story = case
    if story.result.outcome is not Outcome.SUCCEEDED:
        return
    now, seen, _ = story.decisions[-1]
    assert not isinstance(seen, FlowRunsError)
    accepted = [run for run in seen if run.summary() == story.result.run]
    assert accepted, "the last poll showed the run that decided"
    assert any(is_success(run, config) and is_fresh(run, config, now, story) for run in accepted)


def is_success(run: FlowRun, config: WaitConfig) -> bool:
    if run.lifecycle is Lifecycle.PAUSED:
        return config.on_paused == "succeed"
    return (run.lifecycle, run.disposition) == (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED)


def is_fresh(run: FlowRun, config: WaitConfig, now: float, story: Story) -> bool:
    started = [ours(time, now, story) for time in (run.started_at, run.created_at)]
    begun = next((time for time in started if time is not None), None)
    if config.started_after_at is not None and (begun is None or begun < config.started_after_at):
        return False
    if config.completed_after_at is None:
        return True
    if run.lifecycle is Lifecycle.PAUSED:
        return now >= config.completed_after_at
    known = [ours(time, now, story) for time in (run.completed_at, run.created_at)]
    return any(when is not None and when >= config.completed_after_at for when in [*known, *seen_active(run, story)])


def ours(time: datetime | None, now: float, story: Story) -> float | None:
    """Return a service's time on our clock, None when it lies beyond tomorrow."""
    when = time.timestamp() - story.offset if time else None
    return when if when is not None and when <= now + DAY else None


def seen_active(run: FlowRun, story: Story) -> list[float]:
    return [
        when
        for when, seen, _ in story.decisions
        if not isinstance(seen, FlowRunsError)
        for other in seen
        if other.run_id == run.run_id and other.is_active
    ]


@settings(max_examples=200, deadline=None)
@given(stories())
def test_every_wait_ends_with_the_first_poll_at_or_after_its_deadline(case: tuple[WaitConfig, Story]) -> None:
    config, story = case
    assert all(when < config.deadline_at for when, _, _ in story.decisions[:-1])


@settings(max_examples=200, deadline=None)
@given(stories())
def test_no_wait_is_a_spin_and_none_passes_the_deadline(case: tuple[WaitConfig, Story]) -> None:
    config, story = case
    for when, _, action in story.decisions[:-1]:
        assert action.wait >= MIN_WAIT_SECONDS
        assert when + action.wait <= max(config.deadline_at, when + MIN_WAIT_SECONDS) + 1e-6
    # Besides the interval only four ends cut a wait short, each once: the deadline, the error budget of a row of
    # errors, the grace of what is not found, and the grace of a row of failures that may recover.
    blind = [isinstance(seen, FlowRunsError) for _, seen, _ in story.decisions]
    missing = [is_missing(seen) for _, seen, _ in story.decisions]
    failing = [may_recover(seen) for _, seen, _ in story.decisions]
    shortest = min(
        config.interval_seconds,
        config.max_interval_seconds or config.interval_seconds if config.is_backing_off else INITIAL_INTERVAL_SECONDS,
    )
    cut = sum(action.wait < shortest for _, _, action in story.decisions[:-1])
    assert cut <= 1 + changes(blind) + changes(missing) + changes(failing)


def is_missing(seen: Any) -> bool:
    return isinstance(seen, NotFoundError) or seen == []


def may_recover(seen: Any) -> bool:
    return not isinstance(seen, FlowRunsError) and any(run.may_recover for run in seen)


def changes(flags: list[bool]) -> int:
    """How often a list of flags changes, counting the first one."""
    return 1 + sum(one != other for one, other in pairwise(flags))


@settings(max_examples=200, deadline=None)
@given(stories())
def test_unobservable_only_after_a_time_without_a_usable_response(case: tuple[WaitConfig, Story]) -> None:
    config, story = case
    if story.result.outcome is not Outcome.UNOBSERVABLE:
        return
    end = story.decisions[-1][0]
    bad = [(when, isinstance(seen, FlowRunsError) or is_missing(seen)) for when, seen, _ in story.decisions]
    good = [when for when, is_bad in bad if not is_bad]
    patience = min(config.error_budget_seconds, max(config.not_found_grace_seconds, config.gone_grace_seconds))
    assert end - min(when for when, _ in bad if not good or when > good[-1]) >= patience


@settings(max_examples=200, deadline=None)
@given(stories())
def test_a_result_survives_the_database(case: tuple[WaitConfig, Story]) -> None:
    _, story = case
    assert WaitResult.from_dict(story.result.to_dict()) == story.result
