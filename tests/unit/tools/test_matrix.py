"""The README's table shows the recorded results, and a failed version never looks like one that passed."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools import matrix
from tools.matrix import BEGIN, END, RESULTS, SUITES, VERSIONS, Version

RECORDED = json.loads(RESULTS.read_text())
GOOD = {"passed": 3, "failed": 0}


def result(**suites: Any) -> dict[str, Any]:
    return {"airflow": "3.3.2", "python": "3.13", "date": "2026-01-31", "suites": dict.fromkeys(SUITES, GOOD) | suites}


def test_the_readme_shows_the_recorded_results() -> None:
    readme = matrix.README.read_text()
    assert matrix.build_table(RECORDED.values()) == readme.partition(BEGIN)[2].partition(END)[0]


def test_every_version_is_recorded_with_the_python_it_is_tested_with() -> None:
    assert {minor: found["python"] for minor, found in RECORDED.items()} == {
        version.airflow: version.python for version in VERSIONS
    }
    for minor, found in RECORDED.items():
        assert found["airflow"].startswith(f"{minor}.")


def test_the_oldest_version_is_the_floor_of_the_package() -> None:
    project = tomllib.loads((matrix.CHECKOUT / "pyproject.toml").read_text())["project"]
    assert f"apache-airflow>={VERSIONS[0].airflow}.0" in project["dependencies"]
    assert project["requires-python"] == f">={VERSIONS[0].python}"


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("counts", [{"passed": 3, "failed": 1}, {"passed": 0, "failed": 0}])
def test_a_failure_or_an_empty_suite_is_not_a_pass(name: str, counts: dict[str, int]) -> None:
    assert matrix.has_passed(result())
    assert not matrix.has_passed(result(**{name: counts}))


def test_a_version_that_could_not_be_installed_has_not_passed() -> None:
    missing = {"airflow": "3.3", "python": "3.13", "suites": {}}
    assert not matrix.has_passed(missing)
    assert matrix.build_table([missing]).splitlines()[-1].count("not run") == len(SUITES)


def test_the_table_shows_failures() -> None:
    row = matrix.build_table([result(parity={"passed": 5, "failed": 2})]).splitlines()[-1]
    assert row == "| 3.3.2 | 3.13 | 3 passed | 2 failed | 3 passed | 2026-01-31 |"


def test_only_the_text_between_the_markers_changes() -> None:
    readme = f"before\n{BEGIN}old\n{END}after\n"
    assert matrix.replace_table(readme, [result()]) == f"before\n{BEGIN}{matrix.build_table([result()])}{END}after\n"


def test_recording_one_version_keeps_the_others_and_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "RESULTS", tmp_path / "docs" / "versions.json")
    matrix.record({"3.3": result()})
    matrix.record({"2.11": result(unit={"passed": 0, "failed": 1})})
    recorded = json.loads(matrix.RESULTS.read_text())
    assert [*recorded] == ["2.11", "3.3"]
    assert recorded["3.3"] == result()


@pytest.fixture
def current_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    """A version that uses this test's environment, with its tests in a separate folder."""
    monkeypatch.setattr(matrix, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(matrix, "install", lambda version: None)
    monkeypatch.setattr(Version, "executable", Path(sys.executable))
    return Version("3.3", "3.13")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ("def test_one(): pass\ndef test_two(): pass", {"passed": 2, "failed": 0}),
        ("def test_one(): pass\ndef test_two(): assert False", {"passed": 1, "failed": 1}),
        ("import pytest\ndef test_one(): pass\ndef test_two(): pytest.skip('no')", {"passed": 1, "failed": 1}),
        ("import a_module_that_is_not_there", {"passed": 0, "failed": 1}),
        ("import os\ndef test_one(): os._exit(3)", {"passed": 0, "failed": 1}),
        ("", {"passed": 0, "failed": 1}),
    ],
    ids=["good", "failing", "skipping", "not importable", "dying", "empty"],
)
def test_a_suite_is_counted_by_its_result(
    current_version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, counts: dict[str, int]
) -> None:
    suite = tmp_path / "test_suite.py"
    suite.write_text(body)
    monkeypatch.setattr(matrix, "SUITES", {"unit": (str(suite),)})
    monkeypatch.setattr(matrix, "_get_installed_airflow", lambda version: "3.3.2")
    assert matrix.run(current_version)["suites"] == {"unit": counts}


def test_the_next_version_runs_after_a_failing_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def run(version: Version) -> dict[str, Any]:
        ran.append(version.airflow)
        return result(unit={"passed": 0, "failed": 1}) if version is VERSIONS[0] else result()

    monkeypatch.setattr(matrix, "run", run)
    assert matrix.main([]) == 1
    assert ran == [version.airflow for version in VERSIONS]
    assert capsys.readouterr().out.count("| 3.3.2 |") == len(VERSIONS)
    assert matrix.main(["3.3"]) == 0


def test_an_unsupported_version_is_rejected() -> None:
    with pytest.raises(SystemExit, match=r"2\.10"):
        matrix.main(["2.10"])


def test_the_list_has_the_format_of_a_workflow_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    assert matrix.main(["--list"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"airflow": version.airflow, "python": version.python} for version in VERSIONS
    ]
