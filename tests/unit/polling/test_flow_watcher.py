"""Tests of the flow watcher in single situations; ``test_flow_watcher_properties`` covers all histories."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.model.errors import AuthenticationError, FlowRunsError, NotFoundError, ServerError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget
from airflow_provider_flowruns.polling.flow_watcher import (
    MAX_COMPLETED_RUNS,
    MAX_OFF_PAGE_POLLS,
    PAGE_SIZES,
    PERMANENT_ERROR_INTERVAL_SECONDS,
    RECOVERY_GRACE_SECONDS,
    CompletedRuns,
    FlowWatcher,
    FlowWatcherStep,
)
from airflow_provider_flowruns.polling.messages import HEARTBEAT_INTERVAL_SECONDS

NOW = 1_800_000_000.0
AIRFLOW_WARNING_CHARS = 64 * 1024


def run(number: int, disposition: str = "SUCCEEDED", **given: Any) -> FlowRun:
    """Return a run that was created this number of seconds after now, and completed half a second later."""
    is_active = disposition == "NONE"
    fields: dict[str, Any] = {
        "service": "activepieces",
        "kind": Kind.RUN,
        "run_id": str(number),
        "flow_id": "f",
        "lifecycle": Lifecycle.RUNNING if is_active else Lifecycle.NOT_RUNNING,
        "disposition": Disposition(disposition),
        "vendor_status": disposition,
        "created_at": datetime.fromtimestamp(NOW + number, UTC),
        "completed_at": None if is_active else datetime.fromtimestamp(NOW + number + 0.5, UTC),
    }
    return FlowRun(**{**fields, **given})


def create_watcher(*seen: FlowRun, outcomes: tuple[str, ...] = ("SUCCEEDED",)) -> FlowWatcher:
    """Return a watcher after its first poll."""
    watcher = FlowWatcher("activepieces", "f", 60.0, map(Disposition, outcomes))
    assert watcher.step(seen, NOW).result == CompletedRuns(())
    return watcher


def list_reported(step: FlowWatcherStep) -> list[str]:
    return [str(one["run_id"]) for one in step.result.runs] if step.result else []


def deliver(watcher: FlowWatcher, step: FlowWatcherStep) -> list[str]:
    """Return the ids of the runs that a step reports, and mark them as delivered."""
    if step.result:
        watcher.mark_delivered(step.result.runs)
    return list_reported(step)


def poll(watcher: FlowWatcher, *listed: FlowRun) -> list[str]:
    """Poll the flow's newest runs, as many as the watcher asks for, and deliver what it reports."""
    while True:
        step = watcher.step(listed[: watcher.target.max_runs or 20], NOW)
        if step.result or watcher.sleep or isinstance(watcher.target, RunTarget):
            return deliver(watcher, step)


def error(kind: type[Any], status: int = 503) -> FlowRunsError:
    made: FlowRunsError = kind("Activepieces", "GET", "/x", status, "no", None)
    return made


def test_without_changes_there_is_no_result_and_the_cursor_stays_the_same() -> None:
    watcher = create_watcher(run(2, "NONE"), run(1))
    before = watcher.to_json()
    assert watcher.step((run(2, "NONE"), run(1)), NOW) == FlowWatcherStep(60.0)
    assert watcher.to_json() == before


def test_a_completed_run_is_reported_with_its_summary() -> None:
    watcher = create_watcher(run(1, "NONE"))
    assert watcher.step((run(1),), NOW).result == CompletedRuns((run(1).summary(),))


def test_runs_between_two_polls_are_reported_in_order_of_completion() -> None:
    watcher = create_watcher(run(1))
    slow = run(2, completed_at=datetime.fromtimestamp(NOW + 30, UTC))
    assert list_reported(watcher.step((run(4), run(3), slow, run(1)), NOW)) == ["3", "4", "2"]


@pytest.mark.parametrize("outcome", ["SUCCEEDED", "FAILED", "CANCELED"])
def test_other_outcomes_are_never_reported(outcome: str) -> None:
    watcher = create_watcher(outcomes=(outcome,))
    completed = (run(3, "SUCCEEDED"), run(2, "FAILED"), run(1, "CANCELED"))
    assert poll(watcher, *completed) == [one.run_id for one in completed if one.disposition == outcome]
    assert poll(watcher, *completed) == []


def test_a_paused_run_is_not_completed() -> None:
    watcher = create_watcher(run(1, "NONE"))
    assert watcher.step((run(1, "NONE", lifecycle=Lifecycle.PAUSED),), NOW).result is None
    assert list_reported(watcher.step((run(1),), NOW)) == ["1"]


def test_a_failure_that_may_recover_is_reported_after_its_grace() -> None:
    watcher = create_watcher(run(1, "NONE"), outcomes=("FAILED",))
    ended_at = datetime.fromtimestamp(NOW, UTC)
    broken = run(1, "FAILED", may_recover=True, completed_at=ended_at)
    assert list_reported(watcher.step((broken,), NOW + RECOVERY_GRACE_SECONDS - 1)) == []
    assert list_reported(watcher.step((broken,), NOW + RECOVERY_GRACE_SECONDS)) == ["1"]


def test_a_failure_that_may_recover_but_has_no_time_is_reported_at_once() -> None:
    watcher = create_watcher(run(1, "NONE"), outcomes=("FAILED",))
    assert list_reported(watcher.step((run(1, "FAILED", may_recover=True, completed_at=None),), NOW)) == ["1"]


def test_if_all_runs_of_a_page_are_unknown_a_larger_page_is_polled() -> None:
    watcher = create_watcher(run(0))
    for depth in PAGE_SIZES:
        assert watcher.target.max_runs == depth
        newest = tuple(run(number) for number in range(2_000, 2_000 - (depth or 20), -1))
        step = watcher.step(newest, NOW)
    assert list_reported(step) == [str(number) for number in range(1_001, 2_001)]
    assert watcher.target.max_runs is None
    assert watcher.sleep


def test_a_short_page_is_the_last_one() -> None:
    watcher = create_watcher()
    assert watcher.step((run(2), run(1)), NOW) == FlowWatcherStep(0.0)
    assert watcher.target.max_runs == PAGE_SIZES[1]
    assert list_reported(watcher.step((run(2), run(1)), NOW)) == ["1", "2"]


def test_an_old_run_that_is_listed_again_is_not_reported() -> None:
    """When the newest runs are archived, the list shows older ones that the first poll did not reach."""
    watcher = create_watcher(*[run(number) for number in range(300, 200, -1)])
    page = tuple(run(number) for number in range(150, 50, -1))
    assert list_reported(watcher.step(page, NOW)) == []
    assert list_reported(watcher.step(page, NOW)) == []
    assert list_reported(watcher.step((run(301), *page), NOW)) == ["301"]


def test_a_forgotten_run_is_not_reported_again() -> None:
    watcher = create_watcher(run(0))
    for number in range(1, MAX_COMPLETED_RUNS + 50):
        assert poll(watcher, run(number), run(number - 1)) == [str(number)]
    ended = json.loads(watcher.to_json() or "")["completed"]
    assert len(ended) == MAX_COMPLETED_RUNS
    assert list_reported(watcher.step((run(MAX_COMPLETED_RUNS), run(3), run(2), run(1)), NOW)) == []


def test_active_runs_that_left_the_page_are_polled_in_turn() -> None:
    off_page = [run(number, "NONE") for number in range(MAX_OFF_PAGE_POLLS + 2)]
    watcher = create_watcher(*reversed(off_page))
    polled: list[str | None] = []
    for _ in range(2):
        poll(watcher, run(100, "NONE"))
        while isinstance(watcher.target, RunTarget):
            polled.append(watcher.target.run_id)
            watcher.step((run(int(str(watcher.target.run_id)), "NONE"),), NOW)
    assert len(polled) == 2 * MAX_OFF_PAGE_POLLS
    assert set(polled) == {one.run_id for one in off_page}
    assert watcher.sleep


def test_a_run_off_the_page_that_cannot_be_read_does_not_block_others() -> None:
    watcher = create_watcher(run(2, "NONE"), run(1, "NONE"))
    newest = (run(9), run(2, "NONE"))
    assert poll(watcher, *newest) == ["9"]
    assert watcher.target == RunTarget("activepieces", "1", "f")
    assert watcher.step(error(ServerError), NOW).wait
    assert isinstance(watcher.target, NewestRunsTarget)
    assert poll(watcher, run(10), *newest) == ["10"]
    assert watcher.target == RunTarget("activepieces", "1", "f")
    assert list_reported(watcher.step((run(1),), NOW)) == ["1"]


def test_a_deleted_run_is_not_polled_again() -> None:
    watcher = create_watcher(run(2, "NONE"), run(1, "NONE"))
    watcher.step((run(2, "NONE"),), NOW)
    step = watcher.step(error(NotFoundError, 404), NOW)
    assert step.result == CompletedRuns(()), "the cursor has changed"
    assert step.messages == ()
    assert json.loads(watcher.to_json() or "")["active"] == ["2"]


@pytest.mark.parametrize(
    ("kind", "wait"),
    [
        (ServerError, 60.0),
        (AuthenticationError, PERMANENT_ERROR_INTERVAL_SECONDS),
        (NotFoundError, PERMANENT_ERROR_INTERVAL_SECONDS),
    ],
)
def test_an_error_is_logged_once_per_heartbeat_and_again_after_a_success(kind: type[Any], wait: float) -> None:
    watcher = create_watcher()

    def logs(now: float) -> bool:
        step = watcher.step(error(kind), now)
        assert step.result is None
        assert step.wait == pytest.approx(wait)
        assert all(line.is_warning and "flow f cannot be polled" in line.text for line in step.messages)
        return bool(step.messages)

    assert [
        logs(NOW),
        logs(NOW + 1),
        logs(NOW + HEARTBEAT_INTERVAL_SECONDS - 1),
        logs(NOW + HEARTBEAT_INTERVAL_SECONDS),
    ] == [1, 0, 0, 1]
    watcher.step((), NOW + HEARTBEAT_INTERVAL_SECONDS)
    assert logs(NOW + HEARTBEAT_INTERVAL_SECONDS + 1)


def test_the_first_poll_after_an_error_is_still_the_baseline() -> None:
    watcher = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED])
    watcher.step(error(ServerError), NOW)
    assert watcher.to_json() is None
    assert list_reported(watcher.step((run(1),), NOW)) == []


def test_the_cursor_stays_small_with_more_active_runs_than_it_can_hold() -> None:
    watcher = create_watcher()
    for start in range(0, 6_000, 1_000):
        ids = [f"{number:0>128}" for number in range(start, start + 1_000)]
        newest = [
            run(number, "NONE" if number % 3 else "SUCCEEDED", run_id=run_id)
            for number, run_id in enumerate(ids, start)
        ]
        poll(watcher, *newest[::-1])
        while isinstance(watcher.target, RunTarget):
            watcher.step(error(ServerError), NOW)
        assert len(watcher.to_json() or "") < AIRFLOW_WARNING_CHARS
    assert watcher.step(newest[::-1][:20], NOW).result is None, "the newest runs are still known"


# -- implausible times

YEAR_9999 = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
DAY = 86_400.0


@pytest.mark.parametrize(
    "impossible",
    [{"completed_at": YEAR_9999}, {"completed_at": YEAR_9999, "created_at": YEAR_9999}, {"created_at": YEAR_9999}],
)
def test_a_run_of_the_year_9999_hides_no_other(impossible: dict[str, Any]) -> None:
    watcher = create_watcher(run(0, **impossible))
    assert poll(watcher, run(1, **impossible), run(0, **impossible)) == ["1"]
    for number in range(2, MAX_COMPLETED_RUNS + 50):  # until it is forgotten
        assert poll(watcher, run(number), run(number - 1)) == [str(number)]
    assert poll(watcher, *[run(number) for number in range(MAX_COMPLETED_RUNS + 99, MAX_COMPLETED_RUNS + 50, -1)]) != []


def test_a_run_of_the_year_9999_is_reported_once_even_if_it_was_forgotten() -> None:
    strange = run(1, completed_at=YEAR_9999)
    watcher = create_watcher(run(0))
    assert poll(watcher, strange, run(0)) == ["1"]
    for number in range(2, MAX_COMPLETED_RUNS + 50):
        poll(watcher, run(number), run(number - 1))
    assert poll(watcher, run(MAX_COMPLETED_RUNS + 49), strange) == []


@pytest.mark.parametrize(("ahead", "high_water_mark"), [(DAY - 2, NOW + DAY - 2), (DAY + 2, NOW)])
def test_a_time_is_plausible_up_to_a_day_ahead(ahead: float, high_water_mark: float) -> None:
    watcher = create_watcher(run(0, created_at=datetime.fromtimestamp(NOW, UTC), completed_at=at(ahead)))
    assert json.loads(watcher.to_json() or "")["high_water_mark"] == pytest.approx(high_water_mark)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


@pytest.mark.parametrize("offset", [-6 * DAY, -600.0, 3600.0, 6 * DAY])
def test_times_are_compared_on_the_services_own_clock(offset: float) -> None:
    """Plausibility, high-water mark and grace do not depend on the offset between the two clocks."""
    watcher = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED, Disposition.FAILED])
    watcher.vendor_offset = offset
    watcher.step((run(0, created_at=at(offset - 60), completed_at=at(offset - 50)),), NOW)
    assert json.loads(watcher.to_json() or "")["high_water_mark"] == pytest.approx(NOW + offset - 50)
    broken = run(1, "FAILED", may_recover=True, completed_at=at(offset))
    assert list_reported(watcher.step((broken,), NOW + RECOVERY_GRACE_SECONDS - 1)) == []
    assert list_reported(watcher.step((broken,), NOW + RECOVERY_GRACE_SECONDS)) == ["1"]


def test_a_failure_that_may_recover_and_completed_in_the_year_9999_is_reported_at_once() -> None:
    watcher = create_watcher(run(1, "NONE"), outcomes=("FAILED",))
    assert list_reported(watcher.step((run(1, "FAILED", may_recover=True, completed_at=YEAR_9999),), NOW)) == ["1"]


# -- runs that were not delivered


def test_an_undelivered_run_is_part_of_the_next_result() -> None:
    watcher = create_watcher(run(0))
    first = watcher.step((run(2), run(1), run(0)), NOW)
    assert list_reported(first) == ["1", "2"]
    watcher.mark_delivered([run(1).summary()])
    assert list_reported(watcher.step((run(3), run(2), run(1), run(0)), NOW)) == ["2", "3"]
    watcher.mark_delivered([run(2).summary(), run(3).summary()])
    assert watcher.step((run(3), run(2), run(1), run(0)), NOW).result is None


def test_a_watcher_with_a_stored_cursor_reports_only_what_was_not_delivered() -> None:
    watcher = create_watcher(run(0))
    listed = (run(4), run(3), run(2, "FAILED"), run(1), run(0))
    assert list_reported(watcher.step(listed, NOW)) == ["1", "3", "4"]
    watcher.mark_delivered([run(1).summary()])
    other = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED], watcher.to_json())
    assert poll(other, *listed) == ["3", "4"]
    assert poll(other, *listed) == []


def test_an_undelivered_retry_is_reported_by_the_next_watcher() -> None:
    watcher = create_watcher(run(1, attempt=1))
    assert list_reported(watcher.step((run(1, attempt=2),), NOW)) == ["1"]
    other = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED], watcher.to_json())
    assert poll(other, run(1, attempt=2)) == ["1"]


@pytest.mark.parametrize(
    ("count", "newest"), [(0, None), (MAX_OFF_PAGE_POLLS, None), (20, 100), (100, 100), (101, 1_000)]
)
def test_a_watcher_with_a_stored_cursor_polls_a_page_that_holds_all_active_runs(count: int, newest: int | None) -> None:
    watcher = create_watcher(*[run(number, "NONE") for number in range(count, 0, -1)])
    other = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED], watcher.to_json())
    assert other.target.max_runs == newest
    ended = [run(number) for number in range(count, 0, -1)]
    assert poll(other, *ended) == [str(number) for number in range(1, count + 1)]
    assert other.target.max_runs is None


def test_a_step_that_raises_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = create_watcher(run(1, "NONE"))
    before = watcher.to_json()
    with monkeypatch.context() as broken:
        broken.delattr(FlowRun, "brief_summary")
        with pytest.raises(AttributeError):
            watcher.step((run(1),), NOW)
    assert watcher.to_json() == before
    assert list_reported(watcher.step((run(1),), NOW)) == ["1"]


STORED = {"schema": 1, "completed": {"1": ["SUCCEEDED/", 1.0]}, "active": ["2"], "high_water_mark": 1.0}


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
            for wrong in ({"completed": {"1": 5}}, {"completed": []}, {"active": 3}, {"high_water_mark": "x"})
        ],
    ],
)
def test_an_unreadable_cursor_is_ignored(saved: str) -> None:
    watcher = FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED], saved)
    assert watcher.step((run(1),), NOW).result == CompletedRuns(())


def test_delays_are_those_of_the_runs_that_the_last_step_reports() -> None:
    watcher = create_watcher(run(-100))
    assert watcher.measure_delays(NOW) == ()
    step = watcher.step([run(20), run(10), run(-100)], NOW + 30)
    assert watcher.measure_delays(NOW + 30) == (19.5, 9.5)
    deliver(watcher, step)
    assert watcher.measure_delays(NOW + 30) == ()


def test_there_are_no_delays_before_the_first_poll() -> None:
    assert FlowWatcher("activepieces", "f", 60.0, [Disposition.SUCCEEDED]).measure_delays(NOW) == ()
