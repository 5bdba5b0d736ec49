"""Run the tests on every supported Airflow version, each in its own environment, and record the results.

    python -m tools.matrix                    all versions
    python -m tools.matrix --record 2.11 3.0  these two; record the results and update the README's table
    python -m tools.matrix --table            only update the table
    python -m tools.matrix --list             the versions as JSON, for a workflow's matrix

The exit status is 0 if every test passed on all requested versions. Only uv has to be installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import xml.etree.ElementTree as ET  # ruff: ignore[suspicious-xml-etree-import]
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = CHECKOUT / ".matrix"
RESULTS = CHECKOUT / "docs" / "versions.json"
README = CHECKOUT / "README.md"
BEGIN, END = "<!-- versions: made by `make test-matrix` -->\n", "<!-- end of versions -->\n"

SUITE_TIMEOUT_SECONDS = 1800
MAX_SHOWN_LINES = 40


@dataclass(frozen=True)
class Version:
    """One minor version of Airflow, and the Python version used to test it.

    :param pins: additional requirements, because newer releases of these packages break this Airflow.
    """

    airflow: str
    python: str
    pins: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Path of its virtual environment."""
        return ENVIRONMENTS / f"airflow-{self.airflow}"

    @property
    def executable(self) -> Path:
        """Path of the environment's Python."""
        return self.folder / "bin" / "python"


VERSIONS = (
    Version("2.11", "3.11"),
    Version("3.0", "3.12", ("fastapi<0.118", "cadwyn<6", "pyjwt<2.11", "universal-pathlib<0.3")),
    Version("3.1", "3.12"),
    Version("3.2", "3.13", ("fastapi<0.137", "cadwyn<7", "svcs<26")),
    Version("3.3", "3.13"),
)

# The pytest arguments of each suite, by its name in the results. The tools do not depend on the Airflow version.
SUITES: dict[str, tuple[str, ...]] = {
    "unit": ("tests/unit", "--ignore", "tests/unit/tools", "-n", "6"),
    "parity": ("tests/parity", "-n", "6"),
    "dag_run": ("tests/versions",),
}

# The package with all its extras, and what the tests need beside it.
PACKAGE = ("-e", ".[openlineage,parquet,sandbox,socks]", "--group", "test")


# One version


def install(version: Version) -> None:
    """Create the version's environment, unless it exists and its requirements are unchanged.

    :raises subprocess.CalledProcessError: uv failed; it has printed the reason.
    """
    requirements = json.dumps(
        [version.airflow, version.python, version.pins, (CHECKOUT / "pyproject.toml").read_text()]
    )
    stamp = version.folder / f".installed-{hashlib.sha256(requirements.encode()).hexdigest()[:12]}"
    if stamp.exists():
        return
    shutil.rmtree(version.folder, ignore_errors=True)
    packages = [f"apache-airflow=={version.airflow}.*", *version.pins]
    _run_uv("venv", "--python", version.python, str(version.folder))
    _run_uv("pip", "install", "--python", str(version.folder), "--compile-bytecode", *PACKAGE, *packages)
    stamp.touch()


def run(version: Version) -> dict[str, Any]:
    """Run all suites on a version and return the results. Print the output of suites that fail."""
    print(f"Airflow {version.airflow} with Python {version.python}", flush=True)
    try:
        install(version)
    except subprocess.CalledProcessError:
        return {"airflow": version.airflow, "python": version.python, "suites": {}}
    suites = {name: _run_suite(version, name, arguments) for name, arguments in SUITES.items()}
    for name, counts in suites.items():
        print(f"  {name}: {format_counts(counts)}", flush=True)
    return {
        "airflow": _get_installed_airflow(version),
        "python": version.python,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "suites": suites,
    }


def _run_suite(version: Version, name: str, arguments: Sequence[str]) -> dict[str, int]:
    report, log = ENVIRONMENTS / f"{version.airflow}-{name}.xml", ENVIRONMENTS / f"{version.airflow}-{name}.log"
    report.unlink(missing_ok=True)
    command: list[str | Path] = [
        version.executable,
        "-m",
        "pytest",
        *arguments,
        "--show-capture=no",
        "--tb=short",
        "--junitxml",
        report,
    ]
    with log.open("w") as output:
        try:
            status = subprocess.run(
                command,
                cwd=CHECKOUT,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=SUITE_TIMEOUT_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = None
    counts = read_report(report)
    if status != 0:
        # A suite without a report, or one that crashed after writing it, counts as at least one failure.
        counts["failed"] = max(1, counts["failed"])
        print("\n".join(log.read_text(errors="replace").splitlines()[-MAX_SHOWN_LINES:]), flush=True)
    return counts


def read_report(report: Path) -> dict[str, int]:
    """Count the passed and the failed tests of a JUnit report; both are 0 if there is no report."""
    if not report.exists():
        return {"passed": 0, "failed": 0}
    suites = ET.parse(report).getroot().iter("testsuite")  # our own file  # ruff: ignore[suspicious-xml-element-tree-usage]
    counts = [{key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")} for suite in suites]
    failed = sum(count["failures"] + count["errors"] + count["skipped"] for count in counts)
    return {"passed": sum(count["tests"] for count in counts) - failed, "failed": failed}


def _get_installed_airflow(version: Version) -> str:
    code = "from importlib.metadata import version; print(version('apache-airflow'))"
    result = subprocess.run([version.executable, "-c", code], capture_output=True, text=True, check=True)
    return result.stdout.strip()


def _run_uv(*arguments: str) -> None:
    # pyenv's shims start only the activated Python versions; uv needs all of them.
    roots = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [str(Path(sys.executable).parent), *map(str, roots.glob("versions/*/bin")), os.environ["PATH"]]
    path = os.pathsep.join(folders)
    uv = shutil.which("uv", path=path)
    if uv is None:
        raise SystemExit("uv is not installed. Install it with: python -m pip install uv")
    subprocess.run([uv, *arguments, "--quiet"], cwd=CHECKOUT, env={**os.environ, "PATH": path}, check=True)


# Results


def has_passed(result: Mapping[str, Any]) -> bool:
    """Return whether every suite ran on a version and all of its tests passed."""
    suites = result["suites"]
    return suites.keys() == SUITES.keys() and all(
        counts["passed"] > 0 and counts["failed"] == 0 for counts in suites.values()
    )


def format_counts(counts: Mapping[str, int] | None) -> str:
    """Return a suite's counts as text."""
    if counts is None:
        return "not run"
    return f"{counts['failed']} failed" if counts["failed"] else f"{counts['passed']} passed"


def record(results: Mapping[str, Any]) -> None:
    """Write results to the results file, and keep those of the other versions."""
    existing = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    merged = {**existing, **results}
    ordered = {version.airflow: merged[version.airflow] for version in VERSIONS if version.airflow in merged}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(ordered, indent=2) + "\n")


def build_table(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| Airflow | Python | unit | parity of modes | DAG run, real processes | tested |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        cells = [result["airflow"], result["python"], *(format_counts(result["suites"].get(name)) for name in SUITES)]
        lines.append(f"| {' | '.join([*cells, result.get('date', 'not installed')])} |")
    return "\n".join(lines) + "\n"


def replace_table(readme: str, results: Iterable[Mapping[str, Any]]) -> str:
    """Return the README's text with a new table between its markers."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{build_table(results)}{END}{after}"


def update_readme() -> None:
    """Update the README's table with the recorded results."""
    README.write_text(replace_table(README.read_text(), json.loads(RESULTS.read_text()).values()))


# Command line


def _select_versions(names: Sequence[str]) -> list[Version]:
    unknown = {*names} - {version.airflow for version in VERSIONS}
    if unknown:
        raise SystemExit(f"Unsupported versions: {', '.join(sorted(unknown))}")
    return [version for version in VERSIONS if not names or version.airflow in names]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.matrix", description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="minor versions of Airflow (default: all)")
    parser.add_argument("--record", action="store_true", help="record the results and update the README's table")
    parser.add_argument("--table", action="store_true", help="only update the README's table")
    parser.add_argument("--list", action="store_true", help="print the versions as JSON")
    options = parser.parse_args(arguments)
    if options.list:
        print(json.dumps([{"airflow": version.airflow, "python": version.python} for version in VERSIONS]))
        return 0
    if options.table:
        update_readme()
        return 0
    ENVIRONMENTS.mkdir(exist_ok=True)
    results = {version.airflow: run(version) for version in _select_versions(options.versions)}
    if options.record:
        record(results)
        update_readme()
    print("\n" + build_table(results.values()))
    return 0 if all(map(has_passed, results.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
