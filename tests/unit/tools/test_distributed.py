"""The record of the tests on an Airflow as in production."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import distributed as tool
from tools.distributed import BEGIN, END, Case

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" tests="4" failures="1" errors="1" skipped="1">
<testcase classname="tests.distributed.test_restarts" name="test_redis_is_away" time="12.6" />
<testcase classname="tests.distributed.test_killed_workers" name="test_a_dag_goes_on[during the wait]" time="90.2">
<failure message="no">trace</failure></testcase>
<testcase classname="tests.distributed.test_killed_workers" name="test_a_task_goes_on" time="1.0">
<error message="no">trace</error></testcase>
<testcase classname="tests.distributed.test_lineage" name="test_it" time="0.1"><skipped message="no" /></testcase>
</testsuite></testsuites>
"""


def build_case(subject: str, case: str, result: str = "passed") -> Case:
    return {"subject": subject, "case": case, "result": result, "seconds": 7, "airflow": "3.3.2", "date": "2026-11-29"}


def test_a_report_names_each_case_with_its_result_and_duration(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert [(case["subject"], case["case"], case["result"], case["seconds"]) for case in tool.read_report(report)] == [
        ("restarts", "redis is away", "passed", 13),
        ("killed workers", "a DAG goes on (during the wait)", "failed", 90),
        ("killed workers", "a task goes on", "failed", 1),
        ("lineage", "it", "not run", 0),
    ]


def test_a_run_that_crashed_has_no_cases(tmp_path: Path) -> None:
    assert tool.read_report(tmp_path / "missing.xml") == []


def test_a_partial_run_replaces_all_cases_of_its_subjects_and_keeps_the_others() -> None:
    recorded = [build_case("watchers", "one"), build_case("restarts", "renamed since"), build_case("restarts", "two")]
    merged = tool.merge(recorded, [build_case("restarts", "two", "failed")])
    assert [(case["subject"], case["case"], case["result"]) for case in merged] == [
        ("restarts", "two", "failed"),
        ("watchers", "one", "passed"),
    ]


def test_only_the_table_of_the_page_changes() -> None:
    page = f"before\n{BEGIN}old\n{END}after\n"
    new = tool.replace_table(page, [build_case("restarts", "redis is away")])
    assert new.startswith(f"before\n{BEGIN}| Subject")
    assert "| restarts | redis is away | passed | 7 | 3.3.2 | 2026-11-29 |\n" in new
    assert new.endswith(f"{END}after\n")
    assert "old" not in new


def test_the_page_has_a_place_for_the_table() -> None:
    page = tool.PAGE.read_text()
    assert page.index(BEGIN) < page.index(END)


def test_it_stops_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tool, "list_missing_packages", lambda: ["Redis is not installed (apt-get install redis-server)"]
    )
    with pytest.raises(SystemExit) as stopped:
        tool.main([])
    assert stopped.value.code == "Redis is not installed (apt-get install redis-server)."


def test_an_interrupted_run_is_not_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tool, "list_missing_packages", list)
    monkeypatch.setattr(tool, "run", lambda paths: 2)
    monkeypatch.setattr(tool, "RESULTS", tmp_path / "results.json")
    assert tool.main([]) == 2
    assert not tool.RESULTS.exists()
