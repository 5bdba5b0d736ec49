"""A poll that shows what the last one showed takes a short way: with the same outcome as the long one."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import FlowStatusTarget, NewestRunsTarget, RunTarget
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.messages import HEARTBEAT_INTERVAL_SECONDS
from airflow_provider_flowruns.polling.run_waiter import NextAction, RunWaiter
from tests.unit.polling.test_run_waiter import START, config, error, run, step

#: Runs as a service shows them one after the other; a poll names one by its place.
RUNS = (
    *(run(state) for state in ("RUNNING", "PENDING", "PAUSED", "UNKNOWN", "SUCCEEDED", "CANCELED", "NOT_RUNNING")),
    run("FAILED", may_recover=True),
    run("RUNNING", "r2"),
)
#: Most polls of a wait show the same run, in progress.
PLACES = st.sampled_from([0, 0, 0, 0, *range(len(RUNS))])
POLLS = st.lists(PLACES, min_size=1, max_size=1) | st.lists(PLACES, max_size=2) | st.just(error())
TARGETS = [
    RunTarget("activepieces", "r1"),
    FlowStatusTarget("activepieces", "f1"),
    NewestRunsTarget("activepieces", "f1"),
]


def copy(known: FlowRun) -> FlowRun:
    """Return an equal run that is another object, as if it had been read again."""
    fields = ("service", "kind", "run_id", "flow_id", "lifecycle", "disposition", "vendor_status", "created_at")
    return FlowRun(**{name: getattr(known, name) for name in fields}, may_recover=known.may_recover)


def learn_durations() -> RunDurations:
    durations = RunDurations()
    durations.learn(run("SUCCEEDED", f"old{number}", ended=200.0 + number) for number in range(5))
    return durations


@settings(max_examples=500, deadline=None)
@given(
    polls=st.lists(st.tuples(POLLS, st.sampled_from([1.0, 10.0, 100.0, 700.0])), min_size=1, max_size=20),
    plan=st.fixed_dictionaries(
        {
            "target": st.sampled_from(TARGETS),
            "is_own_run": st.booleans(),
            "completed_after_at": st.none() | st.just(START + 15.0),
            "on_paused": st.sampled_from(["wait", "succeed"]),
            "deadline_at": st.sampled_from([START + 900.0, START + 3_000.0]),
        }
    ),
    knows_durations=st.booleans(),
    offset=st.sampled_from([0.0, 120.0]),
)
def test_the_short_way_comes_to_the_same(
    polls: list[Any], plan: dict[str, Any], knows_durations: bool, offset: float
) -> None:
    waiters = [RunWaiter(config(**plan), START) for _ in range(2)]
    now = START
    for polled, seconds in polls:
        actions: list[NextAction] = []
        for waiter, show in zip(waiters, (lambda known: known, copy), strict=True):
            waiter.durations = learn_durations() if knows_durations else None
            waiter.vendor_offset = offset
            shown = polled if isinstance(polled, FlowRunsError) else [show(RUNS[place]) for place in polled]
            actions.append(waiter.step(shown, now))
        assert actions[0] == actions[1]
        assert waiters[0].to_json() == waiters[1].to_json()
        assert waiters[0].last_seen == waiters[1].last_seen
        if actions[0].result:
            break
        now += seconds


def test_polls_that_show_the_same_run_are_counted_and_say_nothing_before_the_heartbeat() -> None:
    waiter, same = RunWaiter(config(deadline_at=START + 10_000), START), run("RUNNING")
    assert step(waiter, same).messages
    for number in range(1, 4):
        assert step(waiter, same, number).messages == ()
    assert waiter.state.poll_count == 4
    assert waiter.state.last_active_at == {"r1": START + 3}
    assert step(waiter, same, HEARTBEAT_INTERVAL_SECONDS).messages


def test_a_run_that_becomes_late_between_two_polls_is_reported() -> None:
    waiter, same = RunWaiter(config(deadline_at=START + 10_000), START), run("RUNNING")
    waiter.durations = learn_durations()
    step(waiter, same)
    assert step(waiter, same, 100).messages == ()
    assert "longer than the usual" in step(waiter, same, 300).messages[0].text
    assert step(waiter, same, 301).messages == ()


def test_the_run_is_reported_again_after_two_errors_in_a_row() -> None:
    waiter, same = RunWaiter(config(), START), run("RUNNING")
    step(waiter, same)
    assert step(waiter, error(), 1).messages == ()
    assert step(waiter, error(), 2).messages[0].is_warning
    assert step(waiter, same, 3).messages
    assert waiter.state.unreachable_since is None


def test_a_single_error_between_two_responses_is_no_news() -> None:
    waiter, same = RunWaiter(config(), START), run("RUNNING")
    step(waiter, same)
    for number in range(1, 6, 2):
        assert step(waiter, error(), number).messages == ()
        assert waiter.state.unreachable_since == START + number
        assert step(waiter, same, number + 1).messages == ()


def test_the_first_error_is_reported_if_nothing_has_responded_yet() -> None:
    assert step(RunWaiter(config(), START), error(), 1).messages[0].is_warning
