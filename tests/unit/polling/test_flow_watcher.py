"""Following a flow: single situations; ``test_follow_properties`` has all histories."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.model.errors import AuthenticationError, FlowRunsError, NotFoundError, ServerError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget
from airflow_provider_flowruns.polling.flow_watcher import (
    LOST_A_ROUND,
    MAX_REMEMBERED,
    PAGE_SIZES,
    PERMANENT_ERROR_INTERVAL_SECONDS,
    RECOVERY_GRACE,
    CompletedRuns,
    FlowWatcher,
    FlowWatcherStep,
)
from airflow_provider_flowruns.polling.messages import HEARTBEAT_INTERVAL_SECONDS

NOW = 1_800_000_000.0
AIRFLOWS_LIMIT = 64 * 1024


def run(number: int, disposition: str = "SUCCEEDED", **given: Any) -> FlowRun:
    """Return a run that was created so many seconds from now, and has ended a moment later."""
    going = disposition == "NONE"
    fields: dict[str, Any] = {
        "service": "activepieces",
        "kind": Kind.RUN,
        "run_id": str(number),
        "flow_id": "f",
        "lifecycle": Lifecycle.RUNNING if going else Lifecycle.NOT_RUNNING,
        "disposition": Disposition(disposition),
        "vendor_status": disposition,
        "created_at": datetime.fromtimestamp(NOW + number, UTC),
        "completed_at": None if going else datetime.fromtimestamp(NOW + number + 0.5, UTC),
    }
    return FlowRun(**{**fields, **given})


def following(*seen: FlowRun, outcomes: tuple[str, ...] = ("SUCCEEDED",)) -> FlowWatcher:
    """Return a follower that has had its first look."""
    watcher = FlowWatcher("activepieces", "f", 60.0, map(Disposition, outcomes))
    assert watcher.step(seen, NOW).result == CompletedRuns(())
    return watcher


def told(step: FlowWatcherStep) -> list[str]:
    return [str(one["run_id"]) for one in step.result.runs] if step.result else []


def deliver(watcher: FlowWatcher, step: FlowWatcherStep) -> list[str]:
    """Return the ids of the runs that a step tells of, and let them arrive."""
    if step.result:
        watcher.mark_delivered(step.result.runs)
    return told(step)


def poll(watcher: FlowWatcher, *listed: FlowRun) -> list[str]:
    """Have the flow's runs looked at, as far back as is asked for, and let what is told of arrive."""
    while True:
        step = watcher.step(listed[: watcher.target.max_runs or 20], NOW)
        if step.result or watcher.sleep or isinstance(watcher.target, RunTarget):
            return deliver(watcher, step)


def error(kind: type[Any], status: int = 503) -> FlowRunsError:
    made: FlowRunsError = kind("Activepieces", "GET", "/x", status, "no", None)
    return made


def test_nothing_new_is_no_verdict_and_leaves_the_cursor_alone() -> None:
    watcher = following(run(2, "NONE"), run(1))
    before = watcher.to_json()
    assert watcher.step((run(2, "NONE"), run(1)), NOW) == FlowWatcherStep(60.0)
    assert watcher.to_json() == before


def test_an_end_is_told_with_the_runs_summary() -> None:
    watcher = following(run(1, "NONE"))
    assert watcher.step((run(1),), NOW).result == CompletedRuns((run(1).summary(),))


def test_runs_that_begin_and_end_between_two_looks_are_told_in_the_order_of_their_ends() -> None:
    watcher = following(run(1))
    slow = run(2, completed_at=datetime.fromtimestamp(NOW + 30, UTC))
    assert told(watcher.step((run(4), run(3), slow, run(1)), NOW)) == ["3", "4", "2"]


@pytest.mark.parametrize("outcome", ["SUCCEEDED", "FAILED", "CANCELED"])
def test_other_ends_than_those_asked_for_are_passed_over_and_stay_passed_over(outcome: str) -> None:
    watcher = following(outcomes=(outcome,))
    ends = (run(3, "SUCCEEDED"), run(2, "FAILED"), run(1, "CANCELED"))
    assert poll(watcher, *ends) == [one.run_id for one in ends if one.disposition == outcome]
    assert poll(watcher, *ends) == []


def test_a_paused_run_has_not_ended() -> None:
    watcher = following(run(1, "NONE"))
    assert watcher.step((run(1, "NONE", lifecycle=Lifecycle.PAUSED),), NOW).result is None
    assert told(watcher.step((run(1),), NOW)) == ["1"]


def test_a_failure_that_may_mend_itself_is_told_after_its_grace() -> None:
    watcher = following(run(1, "NONE"), outcomes=("FAILED",))
    ended_at = datetime.fromtimestamp(NOW, UTC)
    broken = run(1, "FAILED", may_recover=True, completed_at=ended_at)
    assert told(watcher.step((broken,), NOW + RECOVERY_GRACE - 1)) == []
    assert told(watcher.step((broken,), NOW + RECOVERY_GRACE)) == ["1"]


def test_a_failure_that_may_mend_itself_but_has_no_time_is_told_at_once() -> None:
    watcher = following(run(1, "NONE"), outcomes=("FAILED",))
    assert told(watcher.step((run(1, "FAILED", may_recover=True, completed_at=None),), NOW)) == ["1"]


def test_when_all_of_the_newest_are_new_more_are_read_step_by_step() -> None:
    watcher = following(run(0))
    for depth in PAGE_SIZES:
        assert watcher.target.max_runs == depth
        newest = tuple(run(number) for number in range(2_000, 2_000 - (depth or 20), -1))
        step = watcher.step(newest, NOW)
    assert told(step) == [str(number) for number in range(1_001, 2_001)]
    assert watcher.target.max_runs is None
    assert watcher.sleep


def test_a_list_that_ends_early_has_nothing_further_back() -> None:
    watcher = following()
    assert watcher.step((run(2), run(1)), NOW) == FlowWatcherStep(0.0)
    assert watcher.target.max_runs == PAGE_SIZES[1]
    assert told(watcher.step((run(2), run(1)), NOW)) == ["1", "2"]


def test_an_old_run_that_comes_back_into_sight_is_no_news() -> None:
    """Whoever archives the newest runs brings older ones into the list, which the first look did not reach."""
    watcher = following(*[run(number) for number in range(300, 200, -1)])
    page = tuple(run(number) for number in range(150, 50, -1))
    assert told(watcher.step(page, NOW)) == []
    assert told(watcher.step(page, NOW)) == []
    assert told(watcher.step((run(301), *page), NOW)) == ["301"]


def test_what_was_forgotten_is_no_news_either() -> None:
    watcher = following(run(0))
    for number in range(1, MAX_REMEMBERED + 50):
        assert poll(watcher, run(number), run(number - 1)) == [str(number)]
    ended = json.loads(watcher.to_json() or "")["ended"]
    assert len(ended) == MAX_REMEMBERED
    assert told(watcher.step((run(MAX_REMEMBERED), run(3), run(2), run(1)), NOW)) == []


def test_runs_that_have_left_the_list_are_looked_at_in_turn() -> None:
    lost = [run(number, "NONE") for number in range(LOST_A_ROUND + 2)]
    watcher = following(*reversed(lost))
    asked: list[str | None] = []
    for _ in range(2):
        poll(watcher, run(100, "NONE"))
        while isinstance(watcher.target, RunTarget):
            asked.append(watcher.target.run_id)
            watcher.step((run(int(str(watcher.target.run_id)), "NONE"),), NOW)
    assert len(asked) == 2 * LOST_A_ROUND
    assert set(asked) == {one.run_id for one in lost}
    assert watcher.sleep


def test_a_lost_run_that_cannot_be_read_does_not_stand_in_the_way() -> None:
    watcher = following(run(2, "NONE"), run(1, "NONE"))
    newest = (run(9), run(2, "NONE"))
    assert poll(watcher, *newest) == ["9"]
    assert watcher.target == RunTarget("activepieces", "1", "f")
    assert watcher.step(error(ServerError), NOW).wait
    assert isinstance(watcher.target, NewestRunsTarget)
    assert poll(watcher, run(10), *newest) == ["10"]
    assert watcher.target == RunTarget("activepieces", "1", "f")
    assert told(watcher.step((run(1),), NOW)) == ["1"]


def test_a_run_that_was_deleted_is_not_looked_for_again() -> None:
    watcher = following(run(2, "NONE"), run(1, "NONE"))
    watcher.step((run(2, "NONE"),), NOW)
    step = watcher.step(error(NotFoundError, 404), NOW)
    assert step.result == CompletedRuns(()), "the cursor has moved"
    assert step.messages == ()
    assert json.loads(watcher.to_json() or "")["going"] == ["2"]


@pytest.mark.parametrize(
    ("kind", "wait"),
    [
        (ServerError, 60.0),
        (AuthenticationError, PERMANENT_ERROR_INTERVAL_SECONDS),
        (NotFoundError, PERMANENT_ERROR_INTERVAL_SECONDS),
    ],
)
def test_trouble_is_told_once_in_a_while_and_again_after_it_was_over(kind: type[Any], wait: float) -> None:
    watcher = following()

    def tells(now: float) -> bool:
        step = watcher.step(error(kind), now)
        assert step.result is None
        assert step.wait == pytest.approx(wait)
        assert all(line.is_warning and "flow f cannot be looked at" in line.text for line in step.messages)
        return bool(step.messages)

    assert [
        tells(NOW),
        tells(NOW + 1),
        tells(NOW + HEARTBEAT_INTERVAL_SECONDS - 1),
        tells(NOW + HEARTBEAT_INTERVAL_SECONDS),
    ] == [1, 0, 0, 1]
    watcher.step((), NOW + HEARTBEAT_INTERVAL_SECONDS)
    assert tells(NOW + HEARTBEAT_INTERVAL_SECONDS + 1)


def test_trouble_before_the_first_look_leaves_it_the_first() -> None:
    watcher = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED])
    watcher.step(error(ServerError), NOW)
    assert watcher.to_json() is None
    assert told(watcher.step((run(1),), NOW)) == []


def test_the_cursor_stays_small_with_more_runs_going_than_it_can_hold() -> None:
    watcher = following()
    for start in range(0, 6_000, 1_000):
        ids = [f"{number:0>128}" for number in range(start, start + 1_000)]
        newest = [
            run(number, "NONE" if number % 3 else "SUCCEEDED", run_id=run_id)
            for number, run_id in enumerate(ids, start)
        ]
        poll(watcher, *newest[::-1])
        while isinstance(watcher.target, RunTarget):
            watcher.step(error(ServerError), NOW)
        assert len(watcher.to_json() or "") < AIRFLOWS_LIMIT
    assert watcher.step(newest[::-1][:20], NOW).result is None, "the newest ones are still known"


# -- times that cannot be true

YEAR_9999 = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
DAY = 86_400.0


@pytest.mark.parametrize(
    "impossible",
    [{"completed_at": YEAR_9999}, {"completed_at": YEAR_9999, "created_at": YEAR_9999}, {"created_at": YEAR_9999}],
)
def test_a_run_of_the_year_9999_hides_no_other(impossible: dict[str, Any]) -> None:
    watcher = following(run(0, **impossible))
    assert poll(watcher, run(1, **impossible), run(0, **impossible)) == ["1"]
    for number in range(2, MAX_REMEMBERED + 50):  # until it is forgotten
        assert poll(watcher, run(number), run(number - 1)) == [str(number)]
    assert poll(watcher, *[run(number) for number in range(MAX_REMEMBERED + 99, MAX_REMEMBERED + 50, -1)]) != []


def test_a_run_of_the_year_9999_is_told_once_also_when_it_was_forgotten() -> None:
    strange = run(1, completed_at=YEAR_9999)
    watcher = following(run(0))
    assert poll(watcher, strange, run(0)) == ["1"]
    for number in range(2, MAX_REMEMBERED + 50):
        poll(watcher, run(number), run(number - 1))
    assert poll(watcher, run(MAX_REMEMBERED + 49), strange) == []


@pytest.mark.parametrize(("ahead", "old"), [(DAY - 2, NOW + DAY - 2), (DAY + 2, NOW)])
def test_a_time_is_believed_up_to_a_day_ahead(ahead: float, old: float) -> None:
    watcher = following(run(0, created_at=datetime.fromtimestamp(NOW, UTC), completed_at=at(ahead)))
    assert json.loads(watcher.to_json() or "")["old"] == pytest.approx(old)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


@pytest.mark.parametrize("offset", [-6 * DAY, -600.0, 3600.0, 6 * DAY])
def test_times_are_compared_on_the_services_own_clock(offset: float) -> None:
    """Neither what is believed, nor what was before, nor the grace depends on how far the two clocks are apart."""
    watcher = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED, Disposition.FAILED])
    watcher.vendor_offset = offset
    watcher.step((run(0, created_at=at(offset - 60), completed_at=at(offset - 50)),), NOW)
    assert json.loads(watcher.to_json() or "")["old"] == pytest.approx(NOW + offset - 50)
    broken = run(1, "FAILED", may_recover=True, completed_at=at(offset))
    assert told(watcher.step((broken,), NOW + RECOVERY_GRACE - 1)) == []
    assert told(watcher.step((broken,), NOW + RECOVERY_GRACE)) == ["1"]


def test_a_failure_that_may_mend_itself_and_ended_in_the_year_9999_is_told_at_once() -> None:
    watcher = following(run(1, "NONE"), outcomes=("FAILED",))
    assert told(watcher.step((run(1, "FAILED", may_recover=True, completed_at=YEAR_9999),), NOW)) == ["1"]


# -- ends that were not delivered


def test_what_was_not_delivered_is_part_of_the_next_verdict() -> None:
    watcher = following(run(0))
    first = watcher.step((run(2), run(1), run(0)), NOW)
    assert told(first) == ["1", "2"]
    watcher.mark_delivered([run(1).summary()])
    assert told(watcher.step((run(3), run(2), run(1), run(0)), NOW)) == ["2", "3"]
    watcher.mark_delivered([run(2).summary(), run(3).summary()])
    assert watcher.step((run(3), run(2), run(1), run(0)), NOW).result is None


def test_whoever_goes_on_from_the_stored_cursor_tells_what_was_not_delivered_and_nothing_else() -> None:
    watcher = following(run(0))
    listed = (run(4), run(3), run(2, "FAILED"), run(1), run(0))
    assert told(watcher.step(listed, NOW)) == ["1", "3", "4"]
    watcher.mark_delivered([run(1).summary()])
    other = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED], watcher.to_json())
    assert poll(other, *listed) == ["3", "4"]
    assert poll(other, *listed) == []


def test_the_end_of_a_run_that_went_once_more_is_not_lost_either() -> None:
    watcher = following(run(1, attempt=1))
    assert told(watcher.step((run(1, attempt=2),), NOW)) == ["1"]
    other = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED], watcher.to_json())
    assert poll(other, run(1, attempt=2)) == ["1"]


@pytest.mark.parametrize(("count", "newest"), [(0, None), (LOST_A_ROUND, None), (20, 100), (100, 100), (101, 1_000)])
def test_whoever_goes_on_reads_as_far_back_as_runs_are_missing(count: int, newest: int | None) -> None:
    watcher = following(*[run(number, "NONE") for number in range(count, 0, -1)])
    other = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED], watcher.to_json())
    assert other.target.max_runs == newest
    ended = [run(number) for number in range(count, 0, -1)]
    assert poll(other, *ended) == [str(number) for number in range(1, count + 1)]
    assert other.target.max_runs is None


def test_a_look_that_breaks_says_nothing_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = following(run(1, "NONE"))
    before = watcher.to_json()
    with monkeypatch.context() as broken:
        broken.delattr(FlowRun, "summary")
        with pytest.raises(AttributeError):
            watcher.step((run(1),), NOW)
    assert watcher.to_json() == before
    assert told(watcher.step((run(1),), NOW)) == ["1"]


STORED = {"schema": 1, "ended": {"1": ["SUCCEEDED/", 1.0]}, "going": ["2"], "old": 1.0}


@pytest.mark.parametrize(
    "saved",
    [
        '{"schema": 99}',
        "[]",
        "null",
        "",
        "{",
        "7",
        *[json.dumps({key: value for key, value in STORED.items() if key != missing}) for missing in STORED],
        *[
            json.dumps({**STORED, **wrong})
            for wrong in ({"ended": {"1": 5}}, {"ended": []}, {"going": 3}, {"old": "x"})
        ],
    ],
)
def test_a_cursor_of_another_kind_is_a_first_look(saved: str) -> None:
    watcher = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED], saved)
    assert watcher.step((run(1),), NOW).result == CompletedRuns(())
