"""
Measure everything, write docs/benchmarks.md and docs/benchmarks.svg, and fail if a bound does not hold.

Run by ``make bench``. With ``--quick`` few waits are measured once, and nothing is written.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import imports, pace, waits
from benchmarks.candidates import CANDIDATES
from benchmarks.plot import draw
from benchmarks.sections import Section, section_of_program, table

DOCS = Path(__file__).resolve().parent.parent / "docs"
_BESIDES = ("apache-airflow", "aiohttp")


def _program(title: str, module: str) -> Callable[[bool], list[Section]]:
    return lambda quick: [] if quick else [section_of_program(title, module)]


#: What is measured, in the order of the report.
MEASUREMENTS: tuple[Callable[[bool], list[Section]], ...] = (
    waits.sections,
    pace.sections,
    imports.sections,
    _program("What does reading history cost?", "benchmarks.history"),
    _program("What does an upload hold in memory?", "benchmarks.upload"),
)


def main() -> None:
    """Measure what the command line asks for, and write the page unless it is only tried out."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few waits, once; writes nothing")
    quick: bool = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="flowruns-bench-") as home:
        os.environ["AIRFLOW_HOME"] = home
        sections = [section for measure in MEASUREMENTS for section in measure(quick)]
    text = "\n\n".join([_head(), *(section.to_markdown() for section in sections)])
    print(text)
    if not quick:
        DOCS.mkdir(exist_ok=True)
        (DOCS / "benchmarks.md").write_text(text + "\n")
        draw({what: figures for section in sections for what, figures in section.bars.items()}, DOCS / "benchmarks.svg")
    failed = [bound for section in sections for bound in section.bounds if not bound.holds]
    print("\n".join(["", *(f"FAILS: {bound.claim}: {bound.figure:.3g}" for bound in failed)]))
    sys.exit(1 if failed else 0)


def _head() -> str:
    packages = sorted({one.package for one in CANDIDATES.values() if one.package} | set(_BESIDES))
    return f"""# Benchmarks

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores. \
Run it on your own machine: the ratios are what counts, the figures depend on the machine.

![Processor time and connections of each candidate](benchmarks.svg)

{table(("package", "version"), [(name, version(name)) for name in packages])}"""


if __name__ == "__main__":
    main()
