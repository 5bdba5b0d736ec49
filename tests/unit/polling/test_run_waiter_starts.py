"""The run waiter on a start: which run is its own, what if several may be, and what if none is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.model.errors import NotFoundError, ServerError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import RunTarget, StartedRunTarget, StartMarker
from airflow_provider_flowruns.polling.run_waiter import NextAction, RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitConfig

START = 1_800_000_000.0
WITH_VALUE = StartMarker("dag/run/task/-1/0123456789ab", "airflow_run", START, START + 1)
WITHOUT_VALUE = StartMarker("dag/run/task/-1/0123456789ab", "", START, START + 1, "99")


def waiter(
    marker: StartMarker = WITHOUT_VALUE,
    candidates: tuple[str, ...] = (),
    run_id: str | None = None,
    **changes: Any,
) -> RunWaiter:
    arguments: dict[str, Any] = {
        "target": RunTarget("portable", run_id, "7") if run_id else StartedRunTarget("portable", "7", marker),
        "is_own_run": True,
        "appear_within_seconds": 180.0,
        "interval_seconds": 10.0,
        "deadline_at": START + 10_000,
        "error_budget_seconds": 100.0,
    }
    return RunWaiter(WaitConfig(**{**arguments, **changes}), START, candidates)


def run(state: str, run_id: str | None = "1", created: float | None = 0.5, **changes: Any) -> FlowRun:
    is_end = state in {"SUCCEEDED", "FAILED", "CANCELED"}
    arguments: dict[str, Any] = {
        "service": "portable",
        "kind": Kind.RUN,
        "run_id": run_id,
        "flow_id": "7",
        "lifecycle": Lifecycle.NOT_RUNNING if is_end else Lifecycle(state),
        "disposition": Disposition(state) if is_end else Disposition.NONE,
        "vendor_status": state,
        "created_at": None if created is None else datetime.fromtimestamp(START + created, UTC),
    }
    return FlowRun(**{**arguments, **changes})


def possible(state: str = "PENDING") -> FlowRun:
    return run(state, None, kind=Kind.STARTED)


def step(waiting: RunWaiter, *runs: FlowRun, at: float = 0.0) -> NextAction:
    return waiting.step(runs, START + at)


def not_found() -> NotFoundError:
    return NotFoundError("Portable", "GET", "/x", 404, "no")


def outcome(action: NextAction) -> Outcome | None:
    return action.result.outcome if action.result else None


def warnings(action: NextAction) -> list[str]:
    return [messages.text for messages in action.messages if messages.is_warning]


# -- one run


def test_the_run_with_the_start_s_value_is_followed_from_then_on() -> None:
    waiting = waiter(WITH_VALUE)
    step(waiting, run("RUNNING", "5"))
    assert waiting.run_id == "5"


def test_without_a_value_every_poll_is_for_all_runs_that_may_be_the_one() -> None:
    waiting = waiter()
    action = step(waiting, run("RUNNING", "5"))
    assert isinstance(waiting.target, StartedRunTarget)
    assert [one.run_id for one in waiting.last_runs] == ["5"]
    assert not warnings(action)


def test_a_lone_run_decides_only_when_others_would_have_shown() -> None:
    waiting = waiter(decide_at=START + 5)
    action = step(waiting, run("SUCCEEDED"))
    assert (outcome(action), action.wait) == (None, pytest.approx(5.0))
    assert outcome(step(waiting, run("SUCCEEDED"), at=5.0)) is Outcome.SUCCEEDED


def test_the_deadline_is_the_last_chance_to_decide() -> None:
    waiting = waiter(decide_at=START + 5, deadline_at=START + 2)
    assert outcome(step(waiting, run("SUCCEEDED"), at=2.0)) is Outcome.SUCCEEDED


def test_a_run_whose_id_is_known_is_polled_by_it() -> None:
    waiting = waiter(run_id="5")
    assert waiting.run_id == "5"
    assert outcome(step(waiting, run("SUCCEEDED", "5"))) is Outcome.SUCCEEDED


# -- several


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("SUCCEEDED", "SUCCEEDED"), Outcome.SUCCEEDED),
        (("SUCCEEDED", "RUNNING"), None),
        (("FAILED", "RUNNING"), None),
        (("RUNNING", "FAILED"), None),
        (("FAILED", "SUCCEEDED"), Outcome.FAILED),
        (("SUCCEEDED", "FAILED"), Outcome.FAILED),
        (("CANCELED", "SUCCEEDED"), Outcome.CANCELED),
        (("CANCELED", "FAILED"), Outcome.FAILED),
        (("SUCCEEDED", "UNKNOWN"), None),
    ],
)
def test_all_that_may_be_the_one_decide_together(states: tuple[str, str], expected: Outcome | None) -> None:
    waiting = waiter()
    action = step(waiting, *(run(state, str(number)) for number, state in enumerate(states, 1)))
    assert outcome(action) is expected
    assert any("runs 1, 2 of flow 7" in text for text in warnings(action))
    if action.result and expected is not Outcome.SUCCEEDED:
        assert "runs 1, 2" in action.result.reason
        assert action.result.run is not None
        assert action.result.run["disposition"] == str(expected).upper()


def test_one_that_may_recover_is_given_its_time_whatever_the_others_do() -> None:
    waiting = waiter(recovery_grace_seconds=60.0)
    pair = run("FAILED", "1", may_recover=True), run("SUCCEEDED", "2")
    assert outcome(step(waiting, *pair)) is None
    assert outcome(step(waiting, *pair, at=30.0)) is None
    assert outcome(step(waiting, *pair, at=61.0)) is Outcome.FAILED


def test_those_created_while_the_start_was_under_way_come_before_others() -> None:
    waiting = waiter()
    step(waiting, run("RUNNING", "2", created=4.0))
    action = step(waiting, run("FAILED", "2", created=4.0), run("SUCCEEDED", "1", created=0.5), at=10.0)
    assert outcome(action) is Outcome.SUCCEEDED
    assert action.result is not None
    assert action.result.run is not None
    assert action.result.run["run_id"] == "1"


def test_one_that_is_not_shown_any_more_keeps_the_others_from_deciding() -> None:
    waiting = waiter()
    step(waiting, run("RUNNING", "2"), run("RUNNING", "1"))
    assert outcome(step(waiting, run("SUCCEEDED", "1"), at=10.0)) is None
    assert outcome(step(waiting, run("SUCCEEDED", "1"), at=189.0)) is None
    assert outcome(step(waiting, run("SUCCEEDED", "1"), at=190.0)) is Outcome.UNOBSERVABLE


def test_what_an_earlier_try_has_seen_counts() -> None:
    waiting = waiter(candidates=("2",))
    assert outcome(step(waiting, run("SUCCEEDED", "1"))) is None


# -- none


def test_a_start_that_does_not_show_is_unobservable_after_its_time() -> None:
    waiting = waiter(absent_hint="look there")
    assert outcome(step(waiting)) is None
    assert outcome(step(waiting, at=179.0)) is None
    action = step(waiting, at=180.0)
    assert outcome(action) is Outcome.UNOBSERVABLE
    assert action.result is not None
    assert action.result.reason.endswith("look there")
    assert waiting.is_run_absent


def test_with_a_value_the_runs_without_one_are_matched_by_time_last() -> None:
    waiting = waiter(WITH_VALUE)
    assert waiting.target.marker is not None
    assert not waiting.target.marker.can_match_by_time
    assert outcome(step(waiting, at=180.0)) is None
    assert waiting.target.marker is not None
    assert waiting.target.marker.can_match_by_time
    assert outcome(step(waiting, at=190.0)) is Outcome.UNOBSERVABLE


def test_a_run_taken_by_its_time_is_warned_about_and_not_followed_alone() -> None:
    waiting = waiter(WITH_VALUE)
    step(waiting, at=180.0)
    action = step(waiting, run("RUNNING", "5", kind=Kind.STARTED), at=190.0)
    assert any("does not show what it was called with" in text for text in warnings(action))
    assert isinstance(waiting.target, StartedRunTarget)
    end = step(waiting, run("SUCCEEDED", "5", kind=Kind.STARTED), at=200.0)
    assert outcome(end) is Outcome.SUCCEEDED
    assert end.result is not None
    assert end.result.run is not None
    assert end.result.run["kind"] == "run"


def test_a_run_that_shows_the_value_after_all_is_the_one() -> None:
    waiting = waiter(WITH_VALUE)
    step(waiting, at=180.0)
    step(waiting, run("SUCCEEDED", "4", kind=Kind.STARTED), run("RUNNING", "3", kind=Kind.STARTED), at=190.0)
    step(waiting, run("RUNNING", "5"), at=200.0)
    assert waiting.target.run_id == "5"


def test_a_gap_after_a_sign_of_the_run_is_not_the_end() -> None:
    """Its time counts from the last sign: a queue may hold a run for longer than a start may stay unseen."""
    waiting = waiter(WITH_VALUE)
    for seconds in range(0, 600, 100):
        assert outcome(step(waiting, possible(), at=float(seconds))) is None
    assert outcome(step(waiting, at=600.0)) is None
    assert outcome(step(waiting, at=650.0)) is None
    assert outcome(step(waiting, run("SUCCEEDED", "5"), at=670.0)) is Outcome.SUCCEEDED


@pytest.mark.parametrize(("state", "is_one_of_many"), [("PENDING", False), ("UNKNOWN", True)])
def test_runs_that_may_be_the_one_are_never_judged(state: str, is_one_of_many: bool) -> None:
    waiting = waiter(WITH_VALUE)
    assert outcome(step(waiting, possible(state))) is None
    assert (waiting.may_be_shown, waiting.is_one_of_many) == (True, is_one_of_many)
    assert waiting.last_runs == ()
    step(waiting, run("RUNNING", "5"), at=10.0)
    assert (waiting.may_be_shown, waiting.is_one_of_many) == (False, False)


@pytest.mark.parametrize("run_id", [None, "5"])
def test_a_404_is_no_end_before_its_time(run_id: str | None) -> None:
    waiting = waiter(run_id=run_id)
    if run_id:
        step(waiting, run("RUNNING", run_id))
    assert outcome(waiting.step(not_found(), START + 10)) is None
    assert waiting.is_run_absent
    assert outcome(waiting.step(not_found(), START + 191)) is Outcome.UNOBSERVABLE


def test_a_404_after_a_long_sleep_is_no_end_either() -> None:
    waiting = waiter(run_id="5", interval_seconds=600.0)
    step(waiting, run("RUNNING", "5"))
    action = waiting.step(not_found(), START + 600)
    assert (outcome(action), action.wait) == (None, pytest.approx(180.0))
    assert outcome(step(waiting, run("SUCCEEDED", "5"), at=780.0)) is Outcome.SUCCEEDED


def test_a_404_between_two_usable_responses_has_no_effect() -> None:
    waiting = waiter(run_id="5")
    for seconds in range(0, 1_000, 100):
        step(waiting, run("RUNNING", "5"), at=float(seconds))
        assert outcome(waiting.step(not_found(), START + seconds + 50)) is None


def test_an_error_says_nothing_about_whether_there_is_a_run() -> None:
    waiting = waiter()
    step(waiting)
    error = ServerError("Portable", "GET", "/x", 503, "down")
    for seconds in (90.0, 200.0):
        action = waiting.step(error, START + seconds)
    assert outcome(action) is Outcome.UNOBSERVABLE
    assert not waiting.is_run_absent


def test_a_run_that_still_shows_its_earlier_end_is_not_there_yet() -> None:
    waiting = waiter(run_id="5", completed_after_at=START)
    earlier = run("FAILED", "5", created=-60.0, completed_at=datetime.fromtimestamp(START - 1, UTC))
    assert outcome(step(waiting, earlier)) is None
    assert outcome(step(waiting, earlier, at=181.0)) is Outcome.UNOBSERVABLE


# -- through the database


@pytest.mark.parametrize("marker", [WITH_VALUE, WITHOUT_VALUE])
def test_a_saved_wait_goes_on_where_it_was(marker: StartMarker) -> None:
    waiting = waiter(marker)
    step(waiting, at=180.0)
    step(waiting, possible(), at=185.0)
    step(waiting, run("RUNNING", "2", kind=Kind.STARTED), run("RUNNING", "1", kind=Kind.STARTED), at=190.0)
    saved = json.loads(json.dumps(waiting.to_json()))
    again = RunWaiter.from_json(saved)
    assert again.target == waiting.target
    assert again.to_json() == waiting.to_json()
    assert outcome(step(again, run("FAILED", "2"), run("SUCCEEDED", "1"), at=200.0)) is Outcome.FAILED
