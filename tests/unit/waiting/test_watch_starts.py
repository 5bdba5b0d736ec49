"""The watch on a start: which run is its one, what of several, and when none shows."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.services.errors import NotFound, ServerError
from airflow_provider_flowruns.services.model import Disposition, FlowRun, Kind, Lifecycle, StartMark
from airflow_provider_flowruns.waiting.watch import Decision, Outcome, Watch, WatchPlan

START = 1_800_000_000.0
WITH_VALUE = StartMark("dag/run/task/-1/0123456789ab", "airflow_run", START, START + 1)
WITHOUT_VALUE = StartMark("dag/run/task/-1/0123456789ab", "", START, START + 1, "99")


def watch(mark: StartMark = WITHOUT_VALUE, candidates: tuple[str, ...] = (), **changes: Any) -> Watch:
    arguments: dict[str, Any] = {
        "service": "portable",
        "kind": "started",
        "flow_id": "7",
        "mark": asdict(mark),
        "appear_within": 180.0,
        "interval": 10.0,
        "deadline": START + 10_000,
        "error_budget": 100.0,
    }
    return Watch(WatchPlan(**{**arguments, **changes}), START, candidates)


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


def step(waiting: Watch, *runs: FlowRun, at: float = 0.0) -> Decision:
    return waiting.step(runs, START + at)


def not_found() -> NotFound:
    return NotFound("Portable", "GET", "/x", 404, "no")


def outcome(decision: Decision) -> Outcome | None:
    return decision.verdict.outcome if decision.verdict else None


def warnings(decision: Decision) -> list[str]:
    return [news.text for news in decision.news if news.is_warning]


# -- one run


def test_the_run_with_the_start_s_value_is_followed_from_then_on() -> None:
    waiting = watch(WITH_VALUE)
    step(waiting, run("RUNNING", "5"))
    assert (waiting.target.kind, waiting.target.run_id) == (Kind.RUN, "5")


def test_without_a_value_every_look_is_for_all_that_may_be_the_one() -> None:
    waiting = watch()
    decision = step(waiting, run("RUNNING", "5"))
    assert (waiting.target.kind, waiting.target.run_id) == (Kind.STARTED, None)
    assert [one.run_id for one in waiting.last_runs] == ["5"]
    assert not warnings(decision)


def test_a_lone_run_decides_only_when_others_would_have_shown() -> None:
    waiting = watch(decide_at=START + 5)
    decision = step(waiting, run("SUCCEEDED"))
    assert (outcome(decision), decision.wait) == (None, pytest.approx(5.0))
    assert outcome(step(waiting, run("SUCCEEDED"), at=5.0)) is Outcome.SUCCEEDED


def test_the_deadline_is_the_last_chance_to_decide() -> None:
    waiting = watch(decide_at=START + 5, deadline=START + 2)
    assert outcome(step(waiting, run("SUCCEEDED"), at=2.0)) is Outcome.SUCCEEDED


def test_a_run_that_is_known_already_is_looked_at_by_its_id() -> None:
    waiting = watch(run_id="5")
    assert (waiting.target.kind, waiting.target.run_id) == (Kind.RUN, "5")
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
    waiting = watch()
    decision = step(waiting, *(run(state, str(number)) for number, state in enumerate(states, 1)))
    assert outcome(decision) is expected
    assert any("runs 1, 2 of flow 7" in text for text in warnings(decision))
    if decision.verdict and expected is not Outcome.SUCCEEDED:
        assert "runs 1, 2" in decision.verdict.reason
        assert decision.verdict.run is not None
        assert decision.verdict.run["disposition"] == str(expected).upper()


def test_one_that_may_recover_is_given_its_time_whatever_the_others_do() -> None:
    waiting = watch(recovery_grace=60.0)
    pair = run("FAILED", "1", may_recover=True), run("SUCCEEDED", "2")
    assert outcome(step(waiting, *pair)) is None
    assert outcome(step(waiting, *pair, at=30.0)) is None
    assert outcome(step(waiting, *pair, at=61.0)) is Outcome.FAILED


def test_those_created_while_the_start_was_under_way_come_before_others() -> None:
    waiting = watch()
    step(waiting, run("RUNNING", "2", created=4.0))
    decision = step(waiting, run("FAILED", "2", created=4.0), run("SUCCEEDED", "1", created=0.5), at=10.0)
    assert outcome(decision) is Outcome.SUCCEEDED
    assert decision.verdict is not None
    assert decision.verdict.run is not None
    assert decision.verdict.run["run_id"] == "1"


def test_one_that_is_not_shown_any_more_keeps_the_others_from_deciding() -> None:
    waiting = watch()
    step(waiting, run("RUNNING", "2"), run("RUNNING", "1"))
    assert outcome(step(waiting, run("SUCCEEDED", "1"), at=10.0)) is None
    assert outcome(step(waiting, run("SUCCEEDED", "1"), at=189.0)) is None
    assert outcome(step(waiting, run("SUCCEEDED", "1"), at=190.0)) is Outcome.UNOBSERVABLE


def test_what_an_earlier_try_has_seen_counts() -> None:
    waiting = watch(candidates=("2",))
    assert outcome(step(waiting, run("SUCCEEDED", "1"))) is None


# -- none


def test_a_start_that_does_not_show_is_unobservable_after_its_time() -> None:
    waiting = watch(absent_hint="look there")
    assert outcome(step(waiting)) is None
    assert outcome(step(waiting, at=179.0)) is None
    decision = step(waiting, at=180.0)
    assert outcome(decision) is Outcome.UNOBSERVABLE
    assert decision.verdict is not None
    assert decision.verdict.reason.endswith("look there")
    assert waiting.is_run_absent


def test_with_a_value_those_that_show_none_are_looked_for_last() -> None:
    waiting = watch(WITH_VALUE)
    assert waiting.target.mark is not None
    assert not waiting.target.mark.by_interval
    assert outcome(step(waiting, at=180.0)) is None
    assert waiting.target.mark is not None
    assert waiting.target.mark.by_interval
    assert outcome(step(waiting, at=190.0)) is Outcome.UNOBSERVABLE


def test_a_run_taken_by_its_time_is_warned_about_and_not_followed_alone() -> None:
    waiting = watch(WITH_VALUE)
    step(waiting, at=180.0)
    decision = step(waiting, run("RUNNING", "5", kind=Kind.STARTED), at=190.0)
    assert any("does not show what it was called with" in text for text in warnings(decision))
    assert waiting.target.kind is Kind.STARTED
    end = step(waiting, run("SUCCEEDED", "5", kind=Kind.STARTED), at=200.0)
    assert outcome(end) is Outcome.SUCCEEDED
    assert end.verdict is not None
    assert end.verdict.run is not None
    assert end.verdict.run["kind"] == "run"


def test_a_run_that_shows_the_value_after_all_is_the_one() -> None:
    waiting = watch(WITH_VALUE)
    step(waiting, at=180.0)
    step(waiting, run("SUCCEEDED", "4", kind=Kind.STARTED), run("RUNNING", "3", kind=Kind.STARTED), at=190.0)
    step(waiting, run("RUNNING", "5"), at=200.0)
    assert waiting.target.run_id == "5"


def test_a_gap_after_a_sign_of_the_run_is_not_the_end() -> None:
    """Its time counts from the last sign: a queue may hold a run for longer than a start may stay unseen."""
    waiting = watch(WITH_VALUE)
    for seconds in range(0, 600, 100):
        assert outcome(step(waiting, possible(), at=float(seconds))) is None
    assert outcome(step(waiting, at=600.0)) is None
    assert outcome(step(waiting, at=650.0)) is None
    assert outcome(step(waiting, run("SUCCEEDED", "5"), at=670.0)) is Outcome.SUCCEEDED


@pytest.mark.parametrize(("state", "is_one_of_many"), [("PENDING", False), ("UNKNOWN", True)])
def test_runs_that_may_be_the_one_are_never_judged(state: str, is_one_of_many: bool) -> None:
    waiting = watch(WITH_VALUE)
    assert outcome(step(waiting, possible(state))) is None
    assert (waiting.may_be_shown, waiting.is_one_of_many) == (True, is_one_of_many)
    assert waiting.last_runs == ()
    step(waiting, run("RUNNING", "5"), at=10.0)
    assert (waiting.may_be_shown, waiting.is_one_of_many) == (False, False)


@pytest.mark.parametrize("run_id", [None, "5"])
def test_a_404_is_no_end_before_its_time(run_id: str | None) -> None:
    waiting = watch(run_id=run_id)
    if run_id:
        step(waiting, run("RUNNING", run_id))
    assert outcome(waiting.step(not_found(), START + 10)) is None
    assert waiting.is_run_absent
    assert outcome(waiting.step(not_found(), START + 191)) is Outcome.UNOBSERVABLE


def test_a_404_after_a_long_sleep_is_no_end_either() -> None:
    waiting = watch(run_id="5", interval=600.0)
    step(waiting, run("RUNNING", "5"))
    decision = waiting.step(not_found(), START + 600)
    assert (outcome(decision), decision.wait) == (None, pytest.approx(180.0))
    assert outcome(step(waiting, run("SUCCEEDED", "5"), at=780.0)) is Outcome.SUCCEEDED


def test_a_404_between_two_good_looks_is_forgotten() -> None:
    waiting = watch(run_id="5")
    for seconds in range(0, 1_000, 100):
        step(waiting, run("RUNNING", "5"), at=float(seconds))
        assert outcome(waiting.step(not_found(), START + seconds + 50)) is None


def test_an_error_says_nothing_about_whether_there_is_a_run() -> None:
    waiting = watch()
    step(waiting)
    error = ServerError("Portable", "GET", "/x", 503, "down")
    for seconds in (90.0, 200.0):
        decision = waiting.step(error, START + seconds)
    assert outcome(decision) is Outcome.UNOBSERVABLE
    assert not waiting.is_run_absent


def test_a_run_that_still_shows_its_earlier_end_is_not_there_yet() -> None:
    waiting = watch(run_id="5", completed_after=START)
    earlier = run("FAILED", "5", created=-60.0, completed_at=datetime.fromtimestamp(START - 1, UTC))
    assert outcome(step(waiting, earlier)) is None
    assert outcome(step(waiting, earlier, at=181.0)) is Outcome.UNOBSERVABLE


# -- through the database


@pytest.mark.parametrize("mark", [WITH_VALUE, WITHOUT_VALUE])
def test_a_saved_wait_goes_on_where_it_was(mark: StartMark) -> None:
    waiting = watch(mark)
    step(waiting, at=180.0)
    step(waiting, possible(), at=185.0)
    step(waiting, run("RUNNING", "2", kind=Kind.STARTED), run("RUNNING", "1", kind=Kind.STARTED), at=190.0)
    saved = json.loads(json.dumps(waiting.to_json()))
    again = Watch.from_json(saved)
    assert again.target == waiting.target
    assert again.to_json() == waiting.to_json()
    assert outcome(step(again, run("FAILED", "2"), run("SUCCEEDED", "1"), at=200.0)) is Outcome.FAILED
