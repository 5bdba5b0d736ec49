"""A flow is judged by what its runs came to: each check on both sides of its limit, and what it leaves out."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_flowruns.model.quality import check_quality
from airflow_provider_flowruns.model.quality_limits import QualityLimits
from tests.unit.model.histories import NOW, make_history, make_run

#: Checks that are on unless they are switched off.
LENIENT: dict[str, Any] = {"require_newest_success": False, "allow_zero_rows": True}


def judge(runs: Any, **limits: Any) -> Any:
    report = check_quality(runs, limits=QualityLimits(**limits), now=NOW)
    assert json.loads(json.dumps(report)) == report
    assert report["passed"] == all(check["status"] != "failed" for check in report["checks"])
    return report


def result_of(name: str, runs: Any, limit: Any, **more: Any) -> Any:
    """Return the result of one check."""
    report = judge(runs, **{**LENIENT, name: limit, **more})
    (result,) = [check for check in report["checks"] if check["name"] == name]
    return result


def outcome(name: str, runs: Any, limit: Any, **more: Any) -> tuple[str, Any]:
    result = result_of(name, runs, limit, **more)
    return result["status"], result["value"]


def test_an_ordinary_load_passes_all_checks() -> None:
    report = judge(
        make_history(100),
        min_success_rate=1,
        min_rows=100,
        min_rows_ratio=1,
        max_rows_ratio=1,
        max_duration_ratio=1,
        max_age=60,
    )
    assert {check["status"] for check in report.pop("checks")} == {"passed"}
    assert report == {"passed": True, "service": "portable", "flow_id": "5", "run_id": "100"}


def test_only_the_checks_that_are_switched_on_are_made() -> None:
    assert [check["name"] for check in judge(make_history(100))["checks"]] == [
        "runs",
        "require_newest_success",
        "allow_zero_rows",
    ]
    assert [check["name"] for check in judge(make_history(100), **LENIENT)["checks"]] == ["runs"]


# -- what there is to judge


def test_no_runs_at_all_fail_and_the_other_checks_say_why_they_are_skipped() -> None:
    report = judge([], min_success_rate=0.5, max_age=60)
    assert not report["passed"]
    runs, *others = report["checks"]
    assert (runs["name"], runs["status"], runs["value"], runs["limit"]) == ("runs", "failed", 0, 1)
    assert "there are no runs" in runs["message"]
    assert {(check["status"], check["value"]) for check in others} == {("skipped", None)}
    assert report["run_id"] is None


def test_runs_that_are_all_active_fail() -> None:
    report = judge([make_run(100, "NONE"), make_run(99, "NONE")])
    assert report["checks"][0]["status"] == "failed"
    assert "2 summaries, none of a run that has ended" in report["checks"][0]["message"]


@pytest.mark.parametrize("other", [{"flow_id": "6"}, {"service": "tableflow"}])
def test_runs_of_several_flows_are_not_compared(other) -> None:
    report = judge([*make_history(100), {**make_run(50), **other}])
    assert [check["status"] for check in report["checks"]] == ["failed", "skipped", "skipped"]
    assert "several flows" in report["checks"][0]["message"]


def test_of_many_flows_a_few_are_named_the_same_in_any_order() -> None:
    runs = [make_run(number, flow_id=str(number)) for number in range(10, 60)]
    message = judge(runs)["checks"][0]["message"]
    assert "(10, 11, 12, 13, 14)" in message
    assert judge(runs[::-1])["checks"][0]["message"] == message


def test_an_active_run_is_left_out_everywhere() -> None:
    history = make_history(100)
    limits = {"min_success_rate": 1, "min_rows": 100, "max_duration_ratio": 2, "max_age": 3600, "min_rows_ratio": 1}
    with_active = judge([make_run(101, "NONE", rows=0, seconds=9_999), *history], **limits)
    without = judge(history, **limits)
    assert with_active["checks"][1:] == without["checks"][1:]


def test_a_run_that_is_in_the_list_twice_counts_once() -> None:
    runs = [make_run(98, "FAILED"), make_run(99), make_run(100)]
    assert outcome("min_success_rate", [*runs, make_run(100), make_run(99)], 0.5) == ("passed", 2 / 3)


def test_of_two_summaries_of_a_run_the_later_end_counts() -> None:
    runs = [make_run(98), make_run(99), make_run(100, "FAILED")]
    retried = make_run(100, hours_ago=-0.5)
    assert outcome("require_newest_success", [retried, *runs], True) == ("passed", "SUCCEEDED")


# -- the newest run


@pytest.mark.parametrize(
    ("disposition", "status"), [("SUCCEEDED", "passed"), ("FAILED", "failed"), ("CANCELED", "failed")]
)
def test_the_newest_run_has_to_have_succeeded(disposition, status) -> None:
    runs = [*make_history(100), make_run(101, disposition)]
    assert outcome("require_newest_success", runs, True) == (status, disposition)


def test_the_newest_run_is_the_one_that_ended_last() -> None:
    slow = make_run(50, "FAILED", hours_ago=0.1, seconds=90_000)
    assert outcome("require_newest_success", [slow, *make_history(100)][::-1], True)[0] == "passed"
    slow = make_run(50, "FAILED", hours_ago=-0.1, seconds=90_000)
    assert outcome("require_newest_success", [slow, *make_history(100)][::-1], True)[0] == "failed"


def test_the_checks_of_rows_are_about_the_newest_success_and_say_so_if_it_is_not_the_newest_run() -> None:
    result = result_of("min_rows", [*make_history(100), make_run(101, "FAILED", rows=0)], 100)
    assert (result["status"], result["value"]) == ("passed", 100)
    assert "run 100 (the newest success, not the newest run)" in result["message"]


# -- success rate


@pytest.mark.parametrize(("limit", "status"), [(0.9, "passed"), (0.91, "failed"), (0, "passed"), (1, "failed")])
def test_the_success_rate_counts_the_last_runs(limit, status) -> None:
    runs = [make_run(90 + number, "FAILED" if number == 4 else "SUCCEEDED") for number in range(1, 11)]
    older = [make_run(number, "FAILED") for number in range(50)]
    assert outcome("min_success_rate", runs + older, limit, last=10) == (status, 0.9)


def test_a_cancelled_run_is_neither_a_success_nor_a_failure() -> None:
    runs = [make_run(95), make_run(96), make_run(97, "FAILED"), make_run(98), make_run(99, "CANCELED")]
    assert outcome("min_success_rate", runs, 0.5, last=4) == ("passed", 0.75)


@pytest.mark.parametrize(
    ("count", "last", "status"), [(2, 20, "skipped"), (3, 20, "passed"), (1, 1, "passed"), (1, 2, "skipped")]
)
def test_a_rate_needs_three_runs_or_last_if_that_is_fewer(count, last, status) -> None:
    runs = [make_run(100 - number) for number in range(count)]
    assert outcome("min_success_rate", runs, 0.5, last=last)[0] == status


# -- rows


@pytest.mark.parametrize(("rows", "status"), [(0, "failed"), (1, "passed")])
def test_a_success_that_loaded_nothing_fails_unless_that_is_allowed(rows, status) -> None:
    report = judge(make_history(rows))
    assert report["checks"][-1] == {
        "name": "allow_zero_rows",
        "status": status,
        "value": rows,
        "limit": 1,
        "message": f"run 100 loaded {'0 rows' if rows == 0 else '1 row'}",
    }
    assert judge(make_history(rows), allow_zero_rows=True)["passed"]


def test_a_success_without_row_counts_loaded_nothing_if_others_have_some() -> None:
    assert not judge(make_history(None))["passed"]
    assert outcome("min_rows_ratio", make_history(None), 0.5) == ("failed", 0)


def test_a_service_without_row_counts_passes_but_not_an_absolute_minimum() -> None:
    runs = [make_run(number, rows=None) for number in range(90, 101)]
    report = judge(runs, min_rows_ratio=0.5, max_rows_ratio=2)
    assert report["passed"]
    assert [check["status"] for check in report["checks"][2:]] == ["skipped"] * 3
    result = result_of("min_rows", runs, 1)
    assert (result["status"], result["value"]) == ("failed", None)
    assert "leave min_rows out" in result["message"]


@pytest.mark.parametrize(("limit", "status"), [(100, "passed"), (101, "failed"), (0, "passed")])
def test_an_absolute_minimum_of_rows(limit, status) -> None:
    assert outcome("min_rows", make_history(100), limit) == (status, 100)


@pytest.mark.parametrize(
    ("name", "rows", "limit", "expected"),
    [
        ("min_rows_ratio", 50, 0.5, ("passed", 0.5)),
        ("min_rows_ratio", 49, 0.5, ("failed", 0.49)),
        ("min_rows_ratio", 0, 0.1, ("failed", 0)),
        ("max_rows_ratio", 300, 3, ("passed", 3)),
        ("max_rows_ratio", 301, 3, ("failed", 3.01)),
        # as floats, 0.1 * 30 is above 3
        ("min_rows_ratio", 10, 0.1, ("passed", 0.1)),
    ],
)
def test_rows_are_compared_with_the_median_of_the_successes_before(name, rows, limit, expected) -> None:
    noise = [make_run(40, "FAILED", rows=9_999), make_run(41, "CANCELED", rows=9_999)]
    assert outcome(name, make_history(rows) + noise, limit) == expected


def test_the_median_is_of_the_last_successes_before_the_newest_one() -> None:
    older = [make_run(number, rows=1_000_000) for number in range(1, 80)]
    runs = [make_run(96, rows=10), make_run(97, rows=30), make_run(98, rows=20), make_run(99, rows=40), make_run(100)]
    assert outcome("min_rows_ratio", older + runs, 1, last=4) == ("passed", 4)
    assert outcome("min_rows_ratio", older + runs, 1, last=3) == ("passed", 100 / 30)


@pytest.mark.parametrize("name", ["min_rows_ratio", "max_rows_ratio"])
@pytest.mark.parametrize(
    ("count", "last", "status"), [(0, 20, "skipped"), (2, 20, "skipped"), (3, 20, "passed"), (1, 1, "passed")]
)
def test_a_median_needs_three_earlier_successes_or_last_if_that_is_fewer(name, count, last, status) -> None:
    result = result_of(name, make_history(100, earlier=count), 1, last=last)
    assert result["status"] == status
    if status == "skipped":
        assert "earlier success" in result["message"]
        assert "3 are needed" in result["message"]


def test_a_median_of_no_rows_gives_no_ratio() -> None:
    runs = [make_run(number, rows=0) for number in range(90, 100)] + [make_run(100)]
    assert outcome("max_rows_ratio", runs, 3) == ("skipped", None)


# -- duration


@pytest.mark.parametrize(("seconds", "status"), [(120, "passed"), (121, "failed"), (1, "passed")])
@pytest.mark.parametrize("disposition", ["SUCCEEDED", "FAILED"])
def test_the_duration_of_the_newest_run_is_compared_whether_it_succeeded_or_not(seconds, status, disposition) -> None:
    runs = [*make_history(100), make_run(101, disposition, seconds=seconds), make_run(102, "CANCELED", seconds=9_999)]
    assert outcome("max_duration_ratio", runs, 2) == (status, seconds / 60)


def test_a_duration_that_the_summary_states_comes_before_its_times() -> None:
    newest = {**make_run(101, seconds=9_999), "details": {"duration_seconds": 90.0}}
    assert outcome("max_duration_ratio", [*make_history(100), newest], 2) == ("passed", 1.5)


@pytest.mark.parametrize("missing", [{"completed_at": None}, {"started_at": None, "created_at": None}])
def test_an_unknown_duration_is_skipped(missing) -> None:
    newest = {**make_run(101, hours_ago=-1), **missing}
    result = result_of("max_duration_ratio", [*make_history(100), newest], 2)
    assert (result["status"], result["message"]) == ("skipped", "the duration of run 101 is not known")


def test_a_run_without_a_start_takes_from_its_creation() -> None:
    newest = {**make_run(101, seconds=90), "started_at": None}
    assert outcome("max_duration_ratio", [*make_history(100), newest], 2) == ("passed", 1.5)


def test_durations_of_nothing_give_no_ratio() -> None:
    runs = [make_run(number, seconds=0) for number in range(90, 100)] + [make_run(100)]
    assert outcome("max_duration_ratio", runs, 2) == ("skipped", None)


# -- age


@pytest.mark.parametrize("limit", [7_200, timedelta(hours=2)])
@pytest.mark.parametrize(("hours", "status"), [(2, "passed"), (2.25, "failed")])
def test_the_newest_success_has_a_maximum_age(limit, hours, status) -> None:
    runs = [make_run(1, hours_ago=hours), make_run(2, "FAILED", hours_ago=0), make_run(3, "CANCELED", hours_ago=0)]
    assert outcome("max_age", runs, limit) == (status, hours * 3_600)


def test_a_history_without_a_success_is_too_old() -> None:
    assert outcome("max_age", [make_run(100, "FAILED")], 60) == ("failed", None)


def test_a_success_without_a_time_does_not_pass_as_fresh() -> None:
    timeless = {**make_run(100), "created_at": None, "started_at": None, "completed_at": None}
    result = result_of("max_age", [timeless], 60)
    assert (result["status"], result["value"]) == ("failed", None)
    assert "no time" in result["message"]


def test_an_unknown_end_counts_from_the_start_which_makes_it_older_and_never_fresher() -> None:
    run = {**make_run(1, seconds=600, hours_ago=0), "completed_at": None}
    assert outcome("max_age", [run], 599) == ("failed", 600)


def test_a_success_in_the_future_of_this_clock_is_fresh() -> None:
    assert outcome("max_age", [make_run(1, hours_ago=-1)], 1) == ("passed", 0)


def test_times_without_a_zone_are_utc() -> None:
    run = {**make_run(100), "completed_at": "2026-01-31T11:59:00"}
    report = check_quality([run], limits=QualityLimits(max_age=61), now=datetime(2026, 1, 31, 12))
    assert report["checks"][-1]["value"] == 60
