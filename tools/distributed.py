"""Run the tests on an Airflow as in production, and record the result of each case in the docs.

    python -m tools.distributed                     all cases
    python -m tools.distributed tests/distributed/test_restarts.py  only these; the results of the others are kept

The exit status is 0 if every case passed. It stops with what to install if one of the system's packages is missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import xml.etree.ElementTree as ET  # ruff: ignore[suspicious-xml-etree-import]
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

from tools.celery_airflow import list_missing_packages

CHECKOUT = Path(__file__).resolve().parents[1]
TESTS = CHECKOUT / "tests" / "distributed"
REPORT = CHECKOUT / "build" / "distributed.xml"
RESULTS = CHECKOUT / "docs" / "distributed.json"
PAGE = CHECKOUT / "docs" / "distributed.md"
BEGIN, END = "<!-- cases: made by `make test-distributed` -->\n", "<!-- end of cases -->\n"

#: pytest's exit statuses when all tests have run, and either all passed or some failed.
PYTEST_ENDED = frozenset({0, 1})


class Case(TypedDict):
    """One case and its result.

    :param subject: what it is about, after the file of its test.
    :param case: what happens, after the name of its test.
    :param result: ``passed``, ``failed`` or ``not run``.
    :param seconds: how long it took, with what it had to start.
    """

    subject: str
    case: str
    result: str
    seconds: int
    airflow: str
    date: str


def run(paths: Sequence[str]) -> int:
    """Run the tests of these files and return pytest's exit status."""
    REPORT.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", *(paths or [str(TESTS)]), "--junitxml", str(REPORT)]
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode


def read_report(report: Path) -> list[Case]:
    """Return the cases of a JUnit report, none if there is no report."""
    if not report.exists():
        return []
    root = ET.parse(report).getroot()  # our own file  # ruff: ignore[suspicious-xml-element-tree-usage]
    return [_build_case(testcase) for testcase in root.iter("testcase")]


def _build_case(testcase: ET.Element) -> Case:
    name, _, parameter = testcase.get("name", "").removeprefix("test_").rstrip("]").partition("[")
    words = name.replace("_", " ").replace("dag", "DAG")
    kinds = {child.tag for child in testcase}
    return {
        "subject": testcase.get("classname", "").rpartition(".")[2].removeprefix("test_").replace("_", " "),
        "case": f"{words} ({parameter})" if parameter else words,
        "result": "failed" if kinds & {"failure", "error"} else "not run" if "skipped" in kinds else "passed",
        "seconds": round(float(testcase.get("time", 0))),
        "airflow": version("apache-airflow"),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def merge(recorded: Iterable[Case], new: Sequence[Case]) -> list[Case]:
    """Replace all recorded cases of the subjects that were run, and order them by subject."""
    subjects = {case["subject"] for case in new}
    kept = [case for case in recorded if case["subject"] not in subjects]
    return sorted([*kept, *new], key=lambda case: case["subject"])


def build_table(cases: Iterable[Case]) -> str:
    """Return the cases as a Markdown table."""
    lines = ["| Subject | Case | Result | Seconds | Airflow | Tested |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(str(value) for value in case.values())} |" for case in cases]
    return "\n".join(lines) + "\n"


def replace_table(page: str, cases: Iterable[Case]) -> str:
    """Return the page's text with a new table between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{build_table(cases)}{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.distributed", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files of tests (default: all)")
    options = parser.parse_args(arguments)
    if missing := list_missing_packages():
        sys.exit(f"{' and '.join(missing)}.")
    status = run(options.paths)
    if status not in PYTEST_ENDED:
        return status  # it was interrupted, so its report is incomplete
    recorded = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    cases = merge(recorded, read_report(REPORT))
    RESULTS.write_text(json.dumps(cases, indent=1) + "\n")
    PAGE.write_text(replace_table(PAGE.read_text(), cases))
    return status


if __name__ == "__main__":
    sys.exit(main())
