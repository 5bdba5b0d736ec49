"""Run the tests on every supported Airflow, each in an environment of its own, and write down what came of it.

    python -m tools.matrix                    all versions
    python -m tools.matrix --record 2.11 3.0  these two; note the results and renew the README's table
    python -m tools.matrix --table            only renew the table
    python -m tools.matrix --list             the versions as JSON, for a workflow's matrix

The status is 0 when every test passed on every version that was asked for. It needs nothing installed but uv.
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

MOST_SECONDS = 1800
SHOWN_LINES = 40


@dataclass(frozen=True)
class Version:
    """
    One minor version of Airflow, and the Python it is tested with.

    :param pins: what a plain install needs beside, because Airflow came out before these broke it.
    """

    airflow: str
    python: str
    pins: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Its virtual environment."""
        return ENVIRONMENTS / f"airflow-{self.airflow}"

    @property
    def executable(self) -> Path:
        """The environment's Python."""
        return self.folder / "bin" / "python"


VERSIONS = (
    Version("2.11", "3.11"),
    Version("3.0", "3.12", ("fastapi<0.118", "cadwyn<6", "pyjwt<2.11", "universal-pathlib<0.3")),
    Version("3.1", "3.12"),
    Version("3.2", "3.13", ("fastapi<0.137", "cadwyn<7", "svcs<26")),
    Version("3.3", "3.13"),
)

# What is run on each of them, by the name that the results have. The tools here are the same on all.
SUITES: dict[str, tuple[str, ...]] = {
    "unit": ("tests/unit", "--ignore", "tests/unit/tools", "-n", "6"),
    "parity": ("tests/parity", "-n", "6"),
    "dag_run": ("tests/versions",),
}

# The package with all its extras, and what the tests need beside it.
PACKAGE = ("-e", ".[openlineage,sandbox,socks]", "--group", "test")


# -- one version


def install(version: Version) -> None:
    """
    Make the version's environment, or keep the one that is there if it was made from the same.

    :raises subprocess.CalledProcessError: uv could not; it has said why.
    """
    made_from = json.dumps([version.airflow, version.python, version.pins, (CHECKOUT / "pyproject.toml").read_text()])
    stamp = version.folder / f".made-from-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"
    if stamp.exists():
        return
    shutil.rmtree(version.folder, ignore_errors=True)
    wanted = [f"apache-airflow=={version.airflow}.*", *version.pins]
    _uv("venv", "--python", version.python, str(version.folder))
    _uv("pip", "install", "--python", str(version.folder), "--compile-bytecode", *PACKAGE, *wanted)
    stamp.touch()


def run(version: Version) -> dict[str, Any]:
    """Run all suites on a version and return its result; what fails is shown at once."""
    print(f"Airflow {version.airflow} with Python {version.python}", flush=True)
    try:
        install(version)
    except subprocess.CalledProcessError:
        return {"airflow": version.airflow, "python": version.python, "suites": {}}
    suites = {name: _run_suite(version, name, arguments) for name, arguments in SUITES.items()}
    for name, counts in suites.items():
        print(f"  {name}: {tell(counts)}", flush=True)
    return {
        "airflow": _installed_airflow(version),
        "python": version.python,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "suites": suites,
    }


def _run_suite(version: Version, name: str, arguments: Sequence[str]) -> dict[str, int]:
    report, log = ENVIRONMENTS / f"{version.airflow}-{name}.xml", ENVIRONMENTS / f"{version.airflow}-{name}.log"
    report.unlink(missing_ok=True)
    command = [version.executable, "-m", "pytest", *arguments, "--show-capture=no", "--tb=short", "--junitxml", report]
    with log.open("w") as output:
        try:
            status = subprocess.run(
                command, cwd=CHECKOUT, stdout=output, stderr=subprocess.STDOUT, timeout=MOST_SECONDS, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            status = None
    counts = read_report(report)
    if status != 0:
        # A run that ended before its report, or broke after it, counts as one failure at least.
        counts["failed"] = max(1, counts["failed"])
        print("\n".join(log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]), flush=True)
    return counts


def read_report(report: Path) -> dict[str, int]:
    """Count the tests of a JUnit report that passed and those that did not; none of either when there is no report."""
    if not report.exists():
        return {"passed": 0, "failed": 0}
    suites = ET.parse(report).getroot().iter("testsuite")  # our own file  # ruff: ignore[suspicious-xml-element-tree-usage]
    counts = [{key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")} for suite in suites]
    failed = sum(count["failures"] + count["errors"] + count["skipped"] for count in counts)
    return {"passed": sum(count["tests"] for count in counts) - failed, "failed": failed}


def _installed_airflow(version: Version) -> str:
    asked = "from importlib.metadata import version; print(version('apache-airflow'))"
    done = subprocess.run([version.executable, "-c", asked], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _uv(*arguments: str) -> None:
    # pyenv's shims start only the Pythons that are switched on; the others are next to them.
    roots = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [str(Path(sys.executable).parent), *map(str, roots.glob("versions/*/bin")), os.environ["PATH"]]
    path = os.pathsep.join(folders)
    uv = shutil.which("uv", path=path)
    if uv is None:
        raise SystemExit("uv is missing; install it with: python -m pip install uv")
    subprocess.run([uv, *arguments, "--quiet"], cwd=CHECKOUT, env={**os.environ, "PATH": path}, check=True)


# -- the results


def is_good(result: Mapping[str, Any]) -> bool:
    """Whether every suite ran on a version and all of its tests passed."""
    suites = result["suites"]
    return suites.keys() == SUITES.keys() and all(
        counts["passed"] > 0 and counts["failed"] == 0 for counts in suites.values()
    )


def tell(counts: Mapping[str, int] | None) -> str:
    """Return a suite's counts in words."""
    if counts is None:
        return "not run"
    return f"{counts['failed']} failed" if counts["failed"] else f"{counts['passed']} passed"


def record(results: Mapping[str, Any]) -> None:
    """Note results beside those of the versions that were not run now."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    merged = {**known, **results}
    ordered = {version.airflow: merged[version.airflow] for version in VERSIONS if version.airflow in merged}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(ordered, indent=2) + "\n")


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| Airflow | Python | unit | parity of modes | DAG run, real processes | tested |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        cells = [result["airflow"], result["python"], *(tell(result["suites"].get(name)) for name in SUITES)]
        lines.append(f"| {' | '.join([*cells, result.get('date', 'not installed')])} |")
    return "\n".join(lines) + "\n"


def with_table(readme: str, results: Iterable[Mapping[str, Any]]) -> str:
    """Return the README's text with the table of these results between its marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table(results)}{END}{after}"


def renew_readme() -> None:
    """Put the table of the recorded results into the README."""
    README.write_text(with_table(README.read_text(), json.loads(RESULTS.read_text()).values()))


# -- command line


def _chosen(names: Sequence[str]) -> list[Version]:
    unknown = {*names} - {version.airflow for version in VERSIONS}
    if unknown:
        raise SystemExit(f"Not one of the supported versions: {', '.join(sorted(unknown))}")
    return [version for version in VERSIONS if not names or version.airflow in names]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the status."""
    parser = argparse.ArgumentParser(prog="python -m tools.matrix", description=__doc__.splitlines()[0])
    parser.add_argument(
        "versions", nargs="*", metavar="VERSION", help="minor versions of Airflow; all when none is given"
    )
    parser.add_argument("--record", action="store_true", help="note the results and renew the README's table")
    parser.add_argument("--table", action="store_true", help="only renew the README's table")
    parser.add_argument("--list", action="store_true", help="print the versions as JSON")
    asked = parser.parse_args(arguments)
    if asked.list:
        print(json.dumps([{"airflow": version.airflow, "python": version.python} for version in VERSIONS]))
        return 0
    if asked.table:
        renew_readme()
        return 0
    ENVIRONMENTS.mkdir(exist_ok=True)
    results = {version.airflow: run(version) for version in _chosen(asked.versions)}
    if asked.record:
        record(results)
        renew_readme()
    print("\n" + table(results.values()))
    return 0 if all(map(is_good, results.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
