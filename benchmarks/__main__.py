"""Run all measurements, write docs/benchmarks.md and docs/benchmarks.svg, and fail if a bound is exceeded.

Run by ``make bench``. ``--runs 3`` measures three times, and prints the bounds of each.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.bounds import COLUMNS, NOISE_FACTOR
from benchmarks.candidates import CANDIDATES
from benchmarks.measurements import measure_sections
from benchmarks.plot import draw_bars
from benchmarks.sections import Section, build_table

DOCS = Path(__file__).resolve().parent.parent / "docs"
_OTHER_PACKAGES = ("apache-airflow", "aiohttp")


def main() -> None:
    """Run all measurements once or several times, and write the page of the last time."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="number of times that everything is measured")
    runs: int = parser.parse_args().runs
    tables, has_failed = [], False
    for _ in range(runs):
        sections = measure_sections(quick=False)
        _write_page(sections)
        bounds = [bound for section in sections for bound in section.bounds]
        tables.append(build_table(COLUMNS, [bound.build_row() for bound in bounds]))
        has_failed |= not all(bound.holds for bound in bounds)
    print("\n\n".join(tables))
    sys.exit(1 if has_failed else 0)


def _write_page(sections: Sequence[Section]) -> None:
    text = "\n\n".join([_build_head(), *(section.to_markdown() for section in sections)])
    print(text)
    (DOCS / "benchmarks.md").write_text(text + "\n")
    bars = {quantity: figures for section in sections for quantity, figures in section.bars.items()}
    draw_bars(bars, DOCS / "benchmarks.svg")


def _build_head() -> str:
    packages = sorted(
        {candidate.package for candidate in CANDIDATES.values() if candidate.package} | set(_OTHER_PACKAGES)
    )
    return f"""# Benchmarks

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores. \
Run it on your own machine: the absolute figures depend on the machine, the ratios matter.

A figure under a bound is the median over turns, in each of which the candidates are measured one after the other; a \
ratio is computed in each turn. Its spread is half the interquartile range over the turns. A figure that is negative \
or below {NOISE_FACTOR} spreads is **too noisy** and fails its bound. *Exact* figures are counted or measured in \
virtual time. The margin is the distance from the limit.

Here, waits run in a process of the measurement's own. [Benchmarks in a real triggerer](benchmarks-triggerer.md) say \
what up to 10,000 of them cost Airflow's triggerer, and what limits them.

![CPU time and connections of each candidate](benchmarks.svg)

{build_table(("package", "version"), [(name, version(name)) for name in packages])}"""


if __name__ == "__main__":
    main()
