"""The run waiter decides a wait: one behaviour a test."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_flowruns.model.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle, ResourceCounts
from airflow_provider_flowruns.model.targets import FlowStatusTarget, NewestRunsTarget, RunTarget
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.messages import HEARTBEAT_INTERVAL_SECONDS
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitConfig, WaitResult

START = 1_800_000_000.0
NEWEST_RUNS = NewestRunsTarget("activepieces", "f1")
FLOW_STATUS = FlowStatusTarget("activepieces", "f1")


def config(**changes: Any) -> WaitConfig:
    arguments: dict[str, Any] = {
        "target": RunTarget("activepieces", "r1"),
        "interval_seconds": 10.0,
        "deadline_at": START + 1_000,
        "error_budget_seconds": 100.0,
    }
    return WaitConfig(**{**arguments, **changes})


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(START + seconds, UTC)


def run(
    state: str, run_id: str | None = "r1", *, created: float | None = 0, ended: float | None = None, **changes: Any
) -> FlowRun:
    lifecycles = {"PENDING", "RUNNING", "PAUSED", "UNKNOWN", "NOT_RUNNING"}
    lifecycle, disposition = (state, "NONE") if state in lifecycles else ("NOT_RUNNING", state)
    arguments: dict[str, Any] = {
        "service": "activepieces",
        "kind": Kind.RUN,
        "run_id": run_id,
        "flow_id": "f1",
        "lifecycle": Lifecycle(lifecycle),
        "disposition": Disposition(disposition),
        "vendor_status": state,
        "created_at": at(created),
        "completed_at": at(ended),
    }
    return FlowRun(**{**arguments, **changes})


def error(kind: type[Any] = ServerError, *, retry_after: float | None = None, status: int = 500) -> Any:
    return kind("Activepieces", "GET", "/x", status, "no", None, retry_after)


def step(waiter: RunWaiter, seen: Any, seconds: float = 0.0) -> Any:
    seen = [seen] if isinstance(seen, FlowRun) else seen
    return waiter.step(seen, START + seconds)


def outcome(waiter: RunWaiter, seen: Any, seconds: float = 0.0) -> Outcome | None:
    result = step(waiter, seen, seconds).result
    return result.outcome if result else None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("PENDING", None),
        ("RUNNING", None),
        ("PAUSED", None),
        ("UNKNOWN", None),
        ("NOT_RUNNING", None),
        ("SUCCEEDED", Outcome.SUCCEEDED),
        ("FAILED", Outcome.FAILED),
        ("CANCELED", Outcome.CANCELED),
    ],
)
def test_state_decides(state: str, expected: Outcome | None) -> None:
    assert outcome(RunWaiter(config(), START), run(state)) is expected


def test_nothing_has_run_yet_waits() -> None:
    assert outcome(RunWaiter(config(target=NEWEST_RUNS), START), []) is None


def test_no_outcome_after_activity_is_a_cancel() -> None:
    waiter = RunWaiter(config(target=FLOW_STATUS), START)
    assert outcome(waiter, run("RUNNING", None)) is None
    assert outcome(waiter, run("NOT_RUNNING", None), 10) is Outcome.CANCELED


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("wait", None), ("succeed", Outcome.SUCCEEDED), ("fail", Outcome.FAILED), ("skip", Outcome.SKIPPED)],
)
def test_paused_follows_the_policy(policy: str, expected: Outcome | None) -> None:
    assert outcome(RunWaiter(config(on_paused=policy), START), run("PAUSED")) is expected


def test_canceled_can_skip() -> None:
    assert outcome(RunWaiter(config(on_canceled="skip"), START), run("CANCELED")) is Outcome.SKIPPED


def test_an_unknown_status_is_logged_once_and_bounded_by_the_deadline() -> None:
    waiter = RunWaiter(config(), START)
    first, second = (step(waiter, run("UNKNOWN", vendor_status="NEW"), t) for t in (0, 10))
    assert [messages.is_warning for messages in first.messages if "'NEW'" in messages.text] == [True]
    assert not second.messages
    assert outcome(waiter, run("UNKNOWN"), 1_000) is Outcome.TIMED_OUT


# -- a failure that the service may mend


def test_internal_error_is_given_time_to_recover() -> None:
    waiter = RunWaiter(config(recovery_grace_seconds=60.0), START)
    assert outcome(waiter, run("FAILED", may_recover=True)) is None
    assert outcome(waiter, run("RUNNING"), 30) is None
    assert outcome(waiter, run("SUCCEEDED"), 40) is Outcome.SUCCEEDED


def test_internal_error_that_stays_is_a_failure_after_the_grace() -> None:
    waiter = RunWaiter(config(recovery_grace_seconds=60.0, interval_seconds=45.0), START)
    assert step(waiter, run("FAILED", may_recover=True), 100).wait == 45
    assert step(waiter, run("FAILED", may_recover=True), 145).wait == pytest.approx(15)
    assert outcome(waiter, run("FAILED", may_recover=True), 160) is Outcome.FAILED


def test_each_internal_error_has_a_grace_of_its_own() -> None:
    waiter = RunWaiter(config(recovery_grace_seconds=60.0), START)
    assert outcome(waiter, run("FAILED", may_recover=True), 0) is None
    assert outcome(waiter, run("RUNNING"), 50) is None
    assert outcome(waiter, run("FAILED", may_recover=True), 100) is None


# -- guards


def guarded(**guards: float) -> RunWaiter:
    absolute = {name: START + seconds for name, seconds in guards.items()}
    return RunWaiter(config(target=NEWEST_RUNS, **absolute), START)


@pytest.mark.parametrize(("ended", "expected"), [(99.9, None), (100.0, Outcome.SUCCEEDED), (100.1, Outcome.SUCCEEDED)])
def test_completed_after_accepts_nothing_older(ended: float, expected: Outcome | None) -> None:
    assert outcome(guarded(completed_after_at=100), run("SUCCEEDED", ended=ended), 200) is expected


@pytest.mark.parametrize(("created", "expected"), [(99.9, None), (100.0, Outcome.SUCCEEDED)])
def test_started_after_accepts_nothing_older(created: float, expected: Outcome | None) -> None:
    assert outcome(guarded(started_after_at=100), run("SUCCEEDED", created=created, ended=500), 600) is expected


def test_started_after_prefers_the_start_to_the_creation() -> None:
    seen = run("SUCCEEDED", created=90, started_at=at(110), ended=120)
    assert outcome(guarded(started_after_at=100), seen, 200) is Outcome.SUCCEEDED


def test_both_guards_must_hold() -> None:
    waiter = guarded(started_after_at=100, completed_after_at=300)
    assert outcome(waiter, run("SUCCEEDED", created=150, ended=200), 400) is None
    assert outcome(waiter, run("SUCCEEDED", created=50, ended=350), 400) is None
    assert outcome(waiter, run("SUCCEEDED", created=150, ended=350), 400) is Outcome.SUCCEEDED


def test_stale_success_then_fresh_one() -> None:
    waiter = guarded(completed_after_at=0)
    old = run("SUCCEEDED", "old", created=-60, ended=-1)
    assert outcome(waiter, [old], 1) is None
    assert outcome(waiter, [run("RUNNING", "new", created=2), old], 3) is None
    assert outcome(waiter, [run("SUCCEEDED", "new", created=2, ended=9), old], 10) is Outcome.SUCCEEDED


def test_fresh_success_counts_while_a_newer_run_is_going() -> None:
    runs = [run("RUNNING", "b", created=20), run("SUCCEEDED", "a", created=1, ended=10)]
    result = step(guarded(completed_after_at=0), runs, 30).result
    assert result
    assert result.run
    assert result.run["run_id"] == "a"


def test_fresh_failure_waits_for_a_newer_run_that_is_going() -> None:
    waiter = guarded(completed_after_at=0)
    failed = run("FAILED", "a", created=1, ended=10)
    assert outcome(waiter, [run("RUNNING", "b", created=20), failed], 30) is None
    assert outcome(waiter, [run("SUCCEEDED", "b", created=20, ended=39), failed], 40) is Outcome.SUCCEEDED


def test_fresh_failure_alone_fails() -> None:
    assert outcome(guarded(completed_after_at=0), run("FAILED", created=1, ended=10), 30) is Outcome.FAILED


def test_failed_run_without_an_end_time_counts_once_it_was_seen_active_after_the_guard() -> None:
    waiter = guarded(completed_after_at=10)
    assert outcome(waiter, run("FAILED", created=0, ended=None), 20) is None
    assert outcome(waiter, run("RUNNING", created=0), 30) is None
    assert outcome(waiter, run("FAILED", created=0, ended=None), 40) is Outcome.FAILED


def test_end_cut_to_seconds_counts_once_the_run_was_seen_active_after_the_guard() -> None:
    waiter = guarded(completed_after_at=10.6)
    assert outcome(waiter, run("RUNNING", created=10.0), 10.7) is None
    assert outcome(waiter, run("SUCCEEDED", created=10.0, ended=10.0), 11.5) is Outcome.SUCCEEDED


DAY = 24 * 60 * 60.0
OFFSETS = [-6 * DAY, -600.0, 3600.0, 6 * DAY]


@pytest.mark.parametrize("guard", ["completed_after_at", "started_after_at"])
@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize(("seconds", "expected"), [(-0.1, None), (0.0, Outcome.SUCCEEDED)])
def test_guards_on_airflow_s_clock_are_compared_with_times_on_the_service_s(
    guard: str, offset: float, seconds: float, expected: Outcome | None
) -> None:
    waiter = guarded(**{guard: 100})
    waiter.vendor_offset = offset
    moment = 100 + offset + seconds
    created = moment - 5 if guard == "completed_after_at" else moment
    times: dict[str, Any] = {"created": created, "ended": moment}
    assert outcome(waiter, run("SUCCEEDED", **times), 200) is expected


@pytest.mark.parametrize("offset", OFFSETS)
def test_what_a_wait_has_seen_itself_is_compared_on_airflow_s_clock(offset: float) -> None:
    waiter = guarded(completed_after_at=10)
    waiter.vendor_offset = offset
    seen: dict[str, Any] = {"created": offset, "ended": None}
    assert outcome(waiter, run("RUNNING", **seen), 9) is None
    assert outcome(waiter, run("FAILED", **seen), 20) is None
    assert outcome(waiter, run("RUNNING", **seen), 30) is None
    assert outcome(waiter, run("FAILED", **seen), 40) is Outcome.FAILED


def test_a_guard_is_compared_by_the_newest_offset() -> None:
    """A clock that is set right during the wait."""
    waiter = guarded(completed_after_at=100)
    waiter.vendor_offset = -600.0
    assert outcome(waiter, run("SUCCEEDED", created=-560, ended=-550), 150) is None
    waiter.vendor_offset = 0.0
    assert outcome(waiter, run("SUCCEEDED", created=-460, ended=-450), 250) is None
    assert outcome(waiter, run("SUCCEEDED", "r2", created=251, ended=260), 270) is Outcome.SUCCEEDED


@pytest.mark.parametrize("offset", [0.0, *OFFSETS])
@pytest.mark.parametrize("guard", ["completed_after_at", "started_after_at"])
def test_a_time_beyond_tomorrow_does_not_pass_a_guard(guard: str, offset: float) -> None:
    waiter = guarded(**{guard: 100})
    waiter.vendor_offset = offset
    never = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    old = at(offset - 50)
    assert outcome(waiter, run("SUCCEEDED", created_at=old, started_at=never, completed_at=never), 200) is None
    assert outcome(waiter, run("SUCCEEDED", created_at=never, completed_at=never), 200) is None
    near = at(offset + 200 + DAY)
    assert outcome(waiter, run("SUCCEEDED", created_at=near, completed_at=near), 200) is Outcome.SUCCEEDED


def test_a_run_whose_end_lies_beyond_tomorrow_counts_by_what_else_is_known() -> None:
    never = datetime(9999, 1, 1, tzinfo=UTC)
    assert outcome(guarded(completed_after_at=100), run("SUCCEEDED", created=101, completed_at=never), 200) is (
        Outcome.SUCCEEDED
    )
    waiter = guarded(completed_after_at=100)
    assert outcome(waiter, run("RUNNING", created=0), 150) is None
    assert outcome(waiter, run("SUCCEEDED", created=0, completed_at=never), 200) is Outcome.SUCCEEDED


@pytest.mark.parametrize("offset", [0.0, *OFFSETS])
def test_the_end_of_an_earlier_attempt_is_recognized_on_the_service_s_clock_alone(offset: float) -> None:
    waiter = RunWaiter(config(ignore_ends_until_at=START + offset + 50), START)
    waiter.vendor_offset = offset
    assert outcome(waiter, run("FAILED", ended=offset + 50), 100) is None
    assert outcome(waiter, run("SUCCEEDED", ended=offset + 50.001), 100) is Outcome.SUCCEEDED


def test_an_end_without_a_time_counts_when_the_new_attempt_was_seen() -> None:
    waiter = RunWaiter(config(ignore_ends_until_at=START + 50), START)
    assert outcome(waiter, run("FAILED", ended=None), 100) is None
    assert outcome(waiter, run("RUNNING"), 110) is None
    assert outcome(waiter, run("FAILED", ended=None), 120) is Outcome.FAILED


def test_paused_success_waits_until_the_guard_has_passed() -> None:
    waiter = RunWaiter(config(target=NEWEST_RUNS, on_paused="succeed", completed_after_at=START + 50), START)
    assert outcome(waiter, run("PAUSED"), 40) is None
    assert outcome(waiter, run("PAUSED"), 50) is Outcome.SUCCEEDED


# -- a flow's last run without a guard


def test_newest_run_decides_without_a_guard() -> None:
    waiter = RunWaiter(config(target=NEWEST_RUNS), START)
    assert outcome(waiter, [run("SUCCEEDED", "b"), run("FAILED", "a")]) is Outcome.SUCCEEDED


def test_active_newest_run_is_followed_by_its_id() -> None:
    waiter = RunWaiter(config(target=NEWEST_RUNS), START)
    step(waiter, [run("RUNNING", "b"), run("SUCCEEDED", "a")])
    assert waiter.run_id == "b"


# -- trouble


def test_transient_errors_are_retried_within_the_budget() -> None:
    waiter = RunWaiter(config(), START)
    assert outcome(waiter, run("RUNNING")) is None
    for seconds in range(10, 110, 10):
        assert outcome(waiter, error(), seconds) is None
    assert outcome(waiter, run("SUCCEEDED"), 109) is Outcome.SUCCEEDED


def test_beyond_the_budget_the_run_is_unobservable_not_failed() -> None:
    waiter = RunWaiter(config(), START)
    assert outcome(waiter, error(), 0) is None
    result = step(waiter, error(), 100).result
    assert result
    assert result.outcome is Outcome.UNOBSERVABLE
    assert "may still be in progress" in result.reason


def test_one_usable_response_resets_the_budget() -> None:
    waiter = RunWaiter(config(), START)
    for seconds in (0, 90):
        assert outcome(waiter, error(), seconds) is None
    step(waiter, run("RUNNING"), 95)
    assert outcome(waiter, error(), 150) is None
    assert outcome(waiter, error(), 249) is None


def test_the_budget_starts_with_the_first_failure_after_a_time_without_polls() -> None:
    waiter = RunWaiter.from_json(RunWaiter(config(), START).to_json())
    assert outcome(waiter, error(), 500) is None


def test_wait_ends_where_the_budget_does() -> None:
    waiter = RunWaiter(config(interval_seconds=500.0), START)
    step(waiter, error(), 0)
    assert step(waiter, error(), 90).wait == pytest.approx(10)


def test_retry_after_is_waited_for() -> None:
    assert step(RunWaiter(config(), START), error(RateLimitError, retry_after=42)).wait == pytest.approx(42)


@pytest.mark.parametrize("asked", [86_400.0, 2.5e11, float("inf")])
def test_a_long_retry_after_is_waited_for_five_minutes_at_a_time(asked: float) -> None:
    waiter = RunWaiter(config(deadline_at=START + 100_000, error_budget_seconds=10_000.0), START)
    assert step(waiter, error(RateLimitError, retry_after=asked)).wait == 300
    assert step(waiter, error(ServerError, retry_after=asked, status=503), 300).wait == 300


def test_a_long_retry_after_ends_where_the_error_budget_does() -> None:
    waiter = RunWaiter(config(), START)
    assert step(waiter, error(RateLimitError, retry_after=86_400)).wait == 100
    assert outcome(waiter, error(RateLimitError, retry_after=86_400), 100) is Outcome.UNOBSERVABLE


@pytest.mark.parametrize(("kind", "status"), [(NotFoundError, 404), (ServerError, 500), (ServerError, 502)])
def test_retry_after_counts_on_429_and_503_alone(kind: type[Any], status: int) -> None:
    waiter = RunWaiter(config(not_found_grace_seconds=100.0), START)
    assert step(waiter, error(kind, retry_after=60, status=status)).wait == 5


@pytest.mark.parametrize("kind", [AuthenticationError, PermissionDeniedError])
def test_refusal_before_any_answer_ends_at_once(kind: type[Any]) -> None:
    result = step(RunWaiter(config(), START), error(kind)).result
    assert result
    assert result.outcome is Outcome.REFUSED
    assert result.error
    assert result.error["class"] == kind.__name__


def test_a_token_that_is_refused_after_an_answer_is_ridden_out() -> None:
    waiter = RunWaiter(config(), START)
    step(waiter, run("RUNNING"))
    for seconds in (10, 60, 109):
        assert outcome(waiter, error(AuthenticationError), seconds) is None
    assert outcome(waiter, run("SUCCEEDED"), 109.5) is Outcome.SUCCEEDED


def test_a_token_that_stays_refused_is_the_end_when_the_budget_is_spent() -> None:
    waiter = RunWaiter.from_json(_after(run("RUNNING")).to_json())
    assert outcome(waiter, error(AuthenticationError), 10) is None
    result = step(waiter, error(AuthenticationError), 110).result
    assert result
    assert result.outcome is Outcome.REFUSED
    assert result.error
    assert result.error["class"] == "AuthenticationError"


def test_a_permission_that_is_taken_away_ends_at_once() -> None:
    assert outcome(_after(run("RUNNING")), error(PermissionDeniedError), 10) is Outcome.REFUSED


def _after(seen: Any, **changes: Any) -> RunWaiter:
    waiter = RunWaiter(config(**changes), START)
    step(waiter, seen)
    return waiter


def test_not_found_is_given_a_grace_then_refused() -> None:
    waiter = RunWaiter(config(not_found_grace_seconds=30.0), START)
    assert outcome(waiter, error(NotFoundError), 0) is None
    assert outcome(waiter, error(NotFoundError), 20) is None
    assert outcome(waiter, error(NotFoundError), 30) is Outcome.REFUSED


@pytest.mark.parametrize(
    ("seen", "changes"),
    [
        (run("RUNNING"), {}),
        (run("RUNNING", "b"), {"target": NEWEST_RUNS}),
        ([], {"target": NEWEST_RUNS}),
        (run("RUNNING", None), {"target": FLOW_STATUS}),
    ],
    ids=["a run", "a flow with a run", "a flow without runs", "a flow's status"],
)
def test_what_was_found_before_is_not_gone_after_one_404(seen: Any, changes: dict[str, Any]) -> None:
    waiter = _after(seen, **changes)
    assert outcome(waiter, error(NotFoundError), 10) is None
    assert outcome(waiter, run("SUCCEEDED", "b" if changes else "r1"), 20) is Outcome.SUCCEEDED


@pytest.mark.parametrize("missing", [error(NotFoundError, status=404), []], ids=["404", "nothing in the response"])
def test_a_run_that_was_found_and_is_not_found_any_longer_is_unobservable(missing: Any) -> None:
    waiter = RunWaiter.from_json(_after(run("RUNNING"), interval_seconds=500.0).to_json())
    assert outcome(waiter, missing, 10) is None
    assert step(waiter, missing, 100).wait == pytest.approx(30)
    result = step(waiter, missing, 130).result
    assert result
    assert result.outcome is Outcome.UNOBSERVABLE
    assert "run r1 was found before and has not been found for 2 min" in result.reason


def test_each_gap_has_a_grace_of_its_own() -> None:
    waiter = _after(run("RUNNING"))
    for seconds in (10, 120):
        assert outcome(waiter, error(NotFoundError), seconds) is None
    assert outcome(waiter, run("RUNNING"), 125) is None
    for seconds in (130, 240):
        assert outcome(waiter, error(NotFoundError), seconds) is None


def test_a_longer_grace_of_the_service_counts() -> None:
    waiter = _after(run("RUNNING"), not_found_grace_seconds=300.0)
    assert outcome(waiter, error(NotFoundError), 10) is None
    assert outcome(waiter, error(NotFoundError), 300) is None
    assert outcome(waiter, error(NotFoundError), 310) is Outcome.UNOBSERVABLE


def test_keep_waiting_ends_only_by_success_or_deadline() -> None:
    waiter = RunWaiter(config(can_fail=False), START)
    for seconds, seen in enumerate([run("FAILED"), error(AuthenticationError), run("CANCELED")]):
        assert outcome(waiter, seen, seconds) is None
    assert outcome(waiter, run("SUCCEEDED"), 10) is Outcome.SUCCEEDED


@pytest.mark.parametrize("seen", [error(), error(NotFoundError, status=404)], ids=["no answer", "gone"])
def test_a_failure_that_silent_fail_ignores_is_logged_once(seen: Any) -> None:
    waiter = RunWaiter(config(can_fail=False, deadline_at=START + 5_000), START)
    step(waiter, run("RUNNING"))
    logged = [message.text for seconds in range(10, 500, 10) for message in step(waiter, seen, seconds).messages]
    assert len([text for text in logged if "still waiting (silent_fail)" in text]) == 1


# -- time


def test_success_at_the_deadline_is_a_success() -> None:
    assert outcome(RunWaiter(config(), START), run("SUCCEEDED"), 5_000) is Outcome.SUCCEEDED


def test_deadline_times_out_with_the_last_state() -> None:
    waiter = RunWaiter(config(), START)
    step(waiter, run("RUNNING"), 0)
    result = step(waiter, error(), 1_000).result
    assert result
    assert result.outcome is Outcome.TIMED_OUT
    assert "run r1 is RUNNING" in result.reason
    assert "the last poll failed" in result.reason


def test_wait_never_passes_the_deadline() -> None:
    assert step(RunWaiter(config(interval_seconds=60.0), START), run("RUNNING"), 990).wait == pytest.approx(10)


def test_first_polls_are_close_together_and_none_is_further_apart_than_the_interval() -> None:
    waiter = RunWaiter(config(interval_seconds=30.0), START)
    waits = [step(waiter, run("RUNNING"), age).wait for age in (0, 8, 20, 40, 60, 200)]
    assert waits == pytest.approx([5, 5, 10, 20, 30, 30])


def test_polls_are_closer_together_where_the_flow_s_runs_usually_end() -> None:
    waiter = RunWaiter(config(interval_seconds=30.0), START)
    waiter.durations = RunDurations()
    begun = datetime.fromtimestamp(START, UTC)
    for number, seconds in enumerate((190, 200, 210)):
        ended = begun + timedelta(seconds=seconds)
        waiter.durations.learn([run("SUCCEEDED", f"old{number}", started_at=begun, completed_at=ended)])
    early, before, around, after, late = (
        step(waiter, run("RUNNING", started_at=begun), age).wait for age in (60, 170, 200, 240, 400)
    )
    assert (early, late) == (30, 30)
    assert around < before < early
    assert around < after < late
    assert around < 4


def test_the_run_that_is_kept_between_polls_holds_no_raw_data() -> None:
    waiter = RunWaiter(config(), START)
    step(waiter, run("RUNNING", record={"steps": "x" * 1_000_000}))
    assert waiter.last_seen == run("RUNNING")
    assert waiter.last_seen.raw == {}


@pytest.mark.parametrize("offset", OFFSETS)
def test_the_pace_goes_by_a_run_s_age_on_its_own_clock(offset: float) -> None:
    waiter = RunWaiter(config(interval_seconds=30.0), START)
    waiter.durations, waiter.vendor_offset = RunDurations(), offset
    begun = datetime.fromtimestamp(START + offset, UTC)
    for number, seconds in enumerate((190, 200, 210)):
        ended = begun + timedelta(seconds=seconds)
        waiter.durations.learn([run("SUCCEEDED", f"old{number}", started_at=begun, completed_at=ended)])
    assert step(waiter, run("RUNNING", started_at=begun), 200).wait < 4


def test_a_deadline_names_the_argument_that_set_it() -> None:
    waiter = RunWaiter(config(limited_by="execution_timeout"), START)
    result = step(waiter, run("RUNNING"), 1_000).result
    assert result
    assert result.limited_by == "execution_timeout"
    assert result.reason == (
        "timed out after 16 min 40 s (execution_timeout): run r1 is RUNNING (in progress for 16 min 40 s)"
    )


def test_backoff_doubles_up_to_the_longest() -> None:
    waiter = RunWaiter(config(is_backing_off=True, max_interval_seconds=50.0), START)
    waits = [step(waiter, run("RUNNING"), seconds).wait for seconds in (0, 10, 30, 70)]
    assert waits == pytest.approx([10, 20, 40, 50])


# -- talk


def test_only_changes_and_heartbeats_are_logged() -> None:
    waiter = RunWaiter(config(deadline_at=START + 5_000), START)
    rows = [ResourceCounts("orders", extracted=n) for n in (1, 2, 3)]
    logged = [
        [messages.text for messages in step(waiter, run("RUNNING", resources=(row,)), seconds).messages]
        for row, seconds in zip(rows, (0, 10, HEARTBEAT_INTERVAL_SECONDS), strict=True)
    ]
    assert logged[0] == ["run r1 is RUNNING (in progress for 0 s, 1 row extracted, 0 loaded)"]
    assert logged[1] == []
    assert logged[2] == ["run r1 is RUNNING (in progress for 10 min, 3 rows extracted, 0 loaded)"]


def test_a_warning_about_one_thing_is_given_once_in_a_wait() -> None:
    waiter = RunWaiter(config(), START)
    waiter.warn_once("clock", "it is 600 s behind")
    assert "it is 600 s behind" in [messages.text for messages in step(waiter, run("RUNNING")).messages]
    again = RunWaiter.from_json(waiter.to_json())
    again.warn_once("clock", "it is 601 s behind")
    assert not step(again, run("RUNNING"), 10).messages


def test_failure_reason_holds_the_service_s_own_words() -> None:
    seen = run("FAILED", errors=("no route",), resources=(ResourceCounts("orders", errors=("bad key",)),))
    result = step(RunWaiter(config(), START), seen).result
    assert result
    assert result.reason == "run r1 failed: no route; orders: bad key"


# -- storage


def test_json_round_trip_keeps_every_field() -> None:
    waiter = RunWaiter(config(target=NEWEST_RUNS, not_found_grace_seconds=5.0), START)
    step(waiter, [run("RUNNING", "b")], 1)
    step(waiter, error(RateLimitError, retry_after=9), 2)
    again = RunWaiter.from_json(waiter.to_json())
    assert again.to_json() == waiter.to_json()
    assert again.target == waiter.target


def _learn_three_runs(waiter: RunWaiter) -> RunDurations:
    begun = datetime.fromtimestamp(START, UTC)
    durations = RunDurations()
    for number, seconds in enumerate((190, 200, 210)):
        ended = begun + timedelta(seconds=seconds)
        durations.learn([run("SUCCEEDED", f"old{number}", started_at=begun, completed_at=ended)])
    waiter.share_durations(durations)
    return durations


def test_a_saved_wait_knows_how_long_its_flow_s_runs_take() -> None:
    waiter = RunWaiter(config(), START)
    durations = _learn_three_runs(waiter)
    step(waiter, run("RUNNING"), 1)
    again = RunWaiter.from_json(waiter.to_json())
    shared = RunDurations()
    again.share_durations(shared)
    (flow_id,) = json.loads(waiter.to_json())["durations"]
    assert shared.to_record(flow_id) == durations.to_record(flow_id) != []
    assert again.durations is shared


@pytest.mark.parametrize("durations", [7, "text", [], {"f": 7}, {"f": [None, ["a", "b"]]}])
def test_durations_that_cannot_be_read_do_not_end_a_wait(durations: Any) -> None:
    saved_wait = {**json.loads(RunWaiter(config(), START).to_json()), "durations": durations}
    waiter = RunWaiter.from_json(json.dumps(saved_wait))
    waiter.share_durations(RunDurations())
    assert step(waiter, run("RUNNING"), 1).wait == 5


@pytest.mark.parametrize(
    ("age", "is_known", "expected"), [(0, False, True), (4.9, False, True), (5, False, False), (0, True, False)]
)
def test_a_young_run_may_end_soon_unless_its_flow_s_runs_take_longer(
    age: float, is_known: bool, expected: bool
) -> None:
    waiter = RunWaiter(config(), START)
    if is_known:
        _learn_three_runs(waiter)
    assert not waiter.may_end_within(5, START)  # no run was seen yet
    step(waiter, run("RUNNING", started_at=datetime.fromtimestamp(START, UTC)), age)
    assert waiter.may_end_within(5, START + age) is expected


def test_fields_of_a_later_release_are_skipped() -> None:
    text = RunWaiter(config(), START).to_json().replace('"poll_count":0', '"poll_count":0,"later":1')
    assert '"later":1' in text
    assert RunWaiter.from_json(text).config == config()


@pytest.mark.parametrize("text", ["{}", '{"schema": 99}', "[]"])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="saved SavedWait has schema"):
        RunWaiter.from_json(text)


@pytest.mark.parametrize(
    "event", [None, {}, {"status": "success"}, {"schema": 99, "outcome": "succeeded"}, {"schema": 1, "outcome": "fine"}]
)
def test_only_a_known_result_is_read(event: Any) -> None:
    with pytest.raises(ValueError, match=r"saved WaitResult (has schema|cannot be read)"):
        WaitResult.from_dict(event)


def test_result_round_trip() -> None:
    result = WaitResult(
        Outcome.REFUSED, "no", run("RUNNING").summary(), error().to_record(), "execution_timeout", -600.0
    )
    assert WaitResult.from_dict(result.to_dict()) == result


@pytest.mark.parametrize("offset", [0.0, -40.0, 3_600.0])
def test_the_delay_is_that_from_the_run_s_end_to_the_poll_on_the_service_s_clock(offset: float) -> None:
    waiter = RunWaiter(config(), START)
    waiter.vendor_offset = offset
    assert outcome(waiter, run("SUCCEEDED", ended=20.0 + offset), 25.0) is Outcome.SUCCEEDED
    assert waiter.measure_delays(START + 25.0) == (5.0,)


@pytest.mark.parametrize(
    "seen", [run("RUNNING"), run("SUCCEEDED", ended=-1.0), run("SUCCEEDED"), run("SUCCEEDED", ended=10 * 86_400.0)]
)
def test_there_is_no_delay_for_a_run_that_goes_on_or_ended_at_another_time(seen: FlowRun) -> None:
    waiter = RunWaiter(config(), START)
    assert waiter.measure_delays(START) == ()
    step(waiter, [seen], 25.0)
    assert waiter.measure_delays(START + 25.0) == ()
