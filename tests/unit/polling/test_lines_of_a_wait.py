"""The lines with which a wait begins, changes and ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.model.errors import AuthenticationError, NotFoundError, ServerError
from airflow_provider_flowruns.model.runs import ResourceCounts
from airflow_provider_flowruns.model.targets import (
    FlowStatusTarget,
    NewestRunsTarget,
    RunTarget,
    StartedRunTarget,
    StartMarker,
    Target,
    WorkflowStatusTarget,
)
from airflow_provider_flowruns.polling.durations import DurationRange, RunDurations
from airflow_provider_flowruns.polling.end_lines import MAX_ERRORS, explain_end, explain_error
from airflow_provider_flowruns.polling.messages import compare
from airflow_provider_flowruns.polling.opening_lines import describe_takeover, describe_wait
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.polling.wording import MAX_LINE_CHARS
from tests.unit.polling.test_run_waiter import NEWEST_RUNS, START, config, error, run, step

GUARD = START - 3_600


def opening(target: Target, **changes: Any) -> tuple[str, ...]:
    return describe_wait(config(target=target, **changes), "Portable", "mode='poke'")


WHATEVER_AGE = "The last run counts whatever its age (no completed_after)"
COMPLETED_AFTER = "Only a run that ended 2027-01-15 07:00:00 UTC or later counts (completed_after)"
STARTED_AFTER = "Only a run that started 2027-01-15 07:00:00 UTC or later counts (started_after)"


@pytest.mark.parametrize(
    ("target", "changes", "lines"),
    [
        (RunTarget("portable", "7", "5"), {}, ["Waiting for Portable run 7 of flow 5"]),
        (RunTarget("tableflow", "7"), {}, ["Waiting for Portable run 7"]),
        (
            RunTarget("activepieces", "7", "5"),
            {"ignore_ends_until_at": START},
            [
                "Waiting for Portable run 7 of flow 5",
                "Only an end after 2027-01-15 08:00:00 UTC counts: an earlier attempt ended then",
            ],
        ),
        (FlowStatusTarget("portable", "5"), {}, ["Waiting for the last run of Portable flow 5", WHATEVER_AGE]),
        (
            WorkflowStatusTarget("portable", "5"),
            {"completed_after_at": GUARD},
            ["Waiting for a run of Portable workflow 5", COMPLETED_AFTER],
        ),
        (
            NewestRunsTarget("portable", "5"),
            {"completed_after_at": GUARD, "started_after_at": GUARD},
            ["Waiting for a run of Portable flow 5", COMPLETED_AFTER, STARTED_AFTER],
        ),
        (
            StartedRunTarget("portable", "5", StartMarker("a", "")),
            {},
            ["Waiting for the run that this task started on Portable flow 5"],
        ),
    ],
)
def test_a_wait_begins_with_what_it_is_about(target: Target, changes: dict[str, Any], lines: list[str]) -> None:
    assert list(opening(target, **changes)) == [
        *lines,
        "Waits until 2027-01-15 08:16:40 UTC (timeout), with mode='poke'",
        "Polls every 10 s or sooner; fails after 1 min 40 s without a response (error_budget)",
    ]


def test_the_last_lines_say_how_long_and_how_it_polls() -> None:
    target = RunTarget("portable", "7", "5")
    backing_off = {"is_backing_off": True, "max_interval_seconds": 60.0}
    assert opening(target, **backing_off)[-1].startswith("Polls every 10 s, doubling each time up to 1 min; ")
    assert "(execution_timeout)" in opening(target, limited_by="execution_timeout")[-2]
    assert describe_wait(config(), "Portable", "mode='reschedule'")[-1].startswith("Polls every 10 s or later; ")
    assert describe_takeover(config(), "Portable", 7.04) == (
        "The triggerer waits for Portable run r1; next poll in 7 s"
    )


def told(waiter: RunWaiter, seen: Any, seconds: float = 0.0) -> list[str]:
    return [message.text for message in step(waiter, seen, seconds).messages]


def known_durations(*seconds: float) -> RunDurations:
    durations = RunDurations()
    durations.learn(run("SUCCEEDED", f"old{number}", created=0, ended=took) for number, took in enumerate(seconds))
    return durations


def test_a_change_is_compared_with_the_usual_duration() -> None:
    waiter = RunWaiter(config(deadline_at=START + 10_000), START)
    waiter.durations = known_durations(360, 420, 540)
    assert told(waiter, run("PENDING"), 10) == ["run r1 is PENDING (queued for 10 s)"]
    assert told(waiter, run("RUNNING"), 60) == ["run r1 is RUNNING (in progress for 1 min, usually 6 to 9 min)"]
    assert told(waiter, run("RUNNING"), 500) == []
    late = "run r1 is RUNNING (in progress for 9 min 20 s, longer than the usual 6 to 9 min)"
    assert told(waiter, run("RUNNING"), 560) == [late]
    assert told(waiter, run("RUNNING"), 570) == []
    assert told(waiter, run("SUCCEEDED", ended=600), 610) == [
        "run r1 is SUCCEEDED (took 10 min, longer than the usual 6 to 9 min, ended 2027-01-15 08:10:00 UTC)"
    ]


@pytest.mark.parametrize(
    ("took", "text"),
    [(70, "longer than the usual 60 s"), (20, "shorter than the usual 60 s"), (60, "usually about 60 s")],
)
def test_a_duration_that_is_nearly_always_the_same_is_one_number(took: float, text: str) -> None:
    assert compare(took, DurationRange(60, 60.2), is_over=True) == text


def test_a_runs_own_duration_is_not_what_it_is_compared_with() -> None:
    durations = known_durations(360, 420, 540)
    ended = run("SUCCEEDED", ended=30)
    durations.learn([ended])
    waiter = RunWaiter(config(), START)
    waiter.durations = durations
    assert "took 30 s, shorter than the usual 6 to 9 min" in told(waiter, ended, 40)[0]


@pytest.mark.parametrize(
    ("seen", "changes", "text"),
    [
        (run("SUCCEEDED", ended=-9), {}, "run r1 counts, whatever its age"),
        (run("RUNNING"), {}, "run r1 counts when it ends"),
        (run("SUCCEEDED", ended=-9), {"completed_after_at": START - 10}, "run r1 counts, it is fresh enough"),
        (run("RUNNING"), {"completed_after_at": START - 10}, "run r1 counts when it ends"),
    ],
)
def test_the_run_that_decides_is_told_with_the_reason(seen: Any, changes: dict[str, Any], text: str) -> None:
    waiter = RunWaiter(config(target=NEWEST_RUNS, **changes), START)
    assert told(waiter, seen, 1)[1:] == [text]
    assert len(told(waiter, seen, 700)) <= 1


@pytest.mark.parametrize(
    ("seen", "changes", "reason"),
    [
        (
            run("SUCCEEDED", created=-200, ended=-100),
            {"completed_after_at": START},
            "ended 2027-01-15 07:58:20 UTC, before completed_after",
        ),
        (
            run("RUNNING", created=-100),
            {"started_after_at": START},
            "started 2027-01-15 07:58:20 UTC, before started_after",
        ),
        (
            run("SUCCEEDED", created=None, ended=None),
            {"completed_after_at": START},
            "ended at an unknown time, before completed_after",
        ),
    ],
)
def test_a_run_that_does_not_count_is_told_with_the_reason(seen: Any, changes: dict[str, Any], reason: str) -> None:
    waiter = RunWaiter(config(target=NEWEST_RUNS, **changes), START)
    assert told(waiter, seen, 1) == [f"no fresh run yet: the newest, run r1, {reason}"]
    assert told(waiter, seen, 20) == []


def test_the_reason_is_on_airflows_clock_as_the_guard_is() -> None:
    waiter = RunWaiter(config(target=NEWEST_RUNS, completed_after_at=START), START)
    waiter.vendor_offset = 50.0
    assert "ended 2027-01-15 07:59:50 UTC, before" in told(waiter, run("SUCCEEDED", ended=40), 60)[0]


def end_lines(waiter: RunWaiter, seen: Any, seconds: float, code: str) -> tuple[str, ...]:
    result = step(waiter, seen, seconds).result
    assert result
    return explain_end(WaitResult.from_dict(result.to_dict()), code)


def test_every_vendor_error_has_a_line_of_its_own_and_long_ones_several() -> None:
    errors = ("no route", "x " * 300, "two\nlines")
    seen = run("FAILED", errors=errors, resources=(ResourceCounts("orders", errors=("bad key",)),), url="https://v/r1")
    lines = end_lines(RunWaiter(config(), START), seen, 0, "FR101")
    assert lines[:2] == ("FR101: run r1 of flow f1 failed", "- no route")
    assert lines[-6:] == (
        "- two",
        "  lines",
        "- orders: bad key",
        "Run: https://v/r1",
        "Do: open the run in the service, mend what it reports, then clear this task",
        "More on FR101: https://github.com/airflow-provider-flowruns/airflow-provider-flowruns/blob/main/docs/errors.md#fr101",
    )
    assert max(map(len, lines[:-1])) <= MAX_LINE_CHARS


def test_the_lines_are_bounded() -> None:
    seen = run("FAILED", errors=tuple(f"error {number}" for number in range(100)))
    lines = end_lines(RunWaiter(config(), START), seen, 0, "FR101")
    assert sum(line.startswith("- ") for line in lines) == MAX_ERRORS + 1
    assert "- and more, see the run" in lines


def advice(waiter: RunWaiter, seen: Any, seconds: float) -> str:
    result = step(waiter, seen, seconds).result
    assert result
    return str(result.advice)


def test_what_to_do_fits_the_end_and_the_wait() -> None:
    guarded = config(target=NEWEST_RUNS, started_after_at=START)
    plain = config(target=NEWEST_RUNS, limited_by="execution_timeout")
    own = config(not_found_grace_seconds=0.0)
    assert "why no run started 2027-01-15 08:00:00 UTC or later (started_after); if it" in advice(
        RunWaiter(guarded, START), [], 1_000
    )
    assert advice(RunWaiter(plain, START), [], 1_000).endswith("if it is only late, raise execution_timeout")
    assert "whether the run is stuck" in advice(RunWaiter(own, START), run("RUNNING"), 1_000)
    assert "on_canceled='skip'" in advice(RunWaiter(own, START), run("CANCELED"), 1)
    paused = RunWaiter(config(on_paused="fail"), START)
    assert "on_paused='wait'" in advice(paused, run("PAUSED"), 1)
    assert advice(RunWaiter(own, START), error(AuthenticationError, status=401), 1) == ""
    assert advice(RunWaiter(own, START), run("SUCCEEDED"), 1) == ""


def test_an_unreachable_service_and_a_run_that_is_gone_are_told_apart() -> None:
    unreachable, gone = (RunWaiter(config(), START) for _ in range(2))
    step(unreachable, run("RUNNING"), 0)
    step(unreachable, error(ServerError), 1)
    assert "raise error_budget (1 min 40 s)" in advice(unreachable, error(ServerError), 200)
    step(gone, run("RUNNING"), 0)
    step(gone, error(NotFoundError, status=404), 1)
    assert "whether it was deleted" in advice(gone, error(NotFoundError, status=404), 200)


def test_a_hint_is_a_line_of_its_own() -> None:
    refused = AuthenticationError("Portable", "GET", "/x", 401, "no", "put a token there")
    for lines in (
        explain_error(refused),
        explain_end(WaitResult(Outcome.REFUSED, str(refused), None, refused.to_record()), refused.code),
    ):
        assert lines[:2] == ("FR201: Portable responded with 401 to GET /x: no", "Do: put a token there")


def test_an_event_of_an_earlier_release_has_no_advice_and_is_explained_all_the_same() -> None:
    old = {"schema": 1, "outcome": "timed_out", "reason": "timed out", "run": None}
    assert explain_end(WaitResult.from_dict(old), "FR103")[0] == "FR103: timed out"


def test_the_year_9999_can_be_told() -> None:
    far = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    waiter = RunWaiter(config(target=NEWEST_RUNS, completed_after_at=START), START)
    assert told(waiter, run("SUCCEEDED", completed_at=far), 1)
    assert told(RunWaiter(config(), START), run("SUCCEEDED", completed_at=far), 1)
