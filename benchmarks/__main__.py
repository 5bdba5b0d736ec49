"""Run all measurements, write docs/benchmarks.md and docs/benchmarks.svg, and fail if a bound is exceeded.

Run by ``make bench``. ``--quick`` measures few waits and writes nothing.
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

from benchmarks import detection_delay, history, imports, metrics, table_rows, upload, waits
from benchmarks.candidates import CANDIDATES
from benchmarks.plot import draw_bars
from benchmarks.sections import Section, build_table

DOCS = Path(__file__).resolve().parent.parent / "docs"
_OTHER_PACKAGES = ("apache-airflow", "aiohttp")


#: The measurements, in the order of the report.
MEASUREMENTS: tuple[Callable[[bool], list[Section]], ...] = (
    waits.build_sections,
    detection_delay.build_sections,
    imports.build_sections,
    history.build_sections,
    metrics.build_sections,
    table_rows.build_sections,
    upload.build_sections,
)


def main() -> None:
    """Run the measurements and write the page, unless ``--quick`` is set."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure few waits, write nothing")
    quick: bool = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="flowruns-bench-") as home:
        os.environ["AIRFLOW_HOME"] = home
        sections = [section for measure in MEASUREMENTS for section in measure(quick)]
    text = "\n\n".join([_build_head(), *(section.to_markdown() for section in sections)])
    print(text)
    if not quick:
        DOCS.mkdir(exist_ok=True)
        (DOCS / "benchmarks.md").write_text(text + "\n")
        draw_bars(
            {quantity: figures for section in sections for quantity, figures in section.bars.items()},
            DOCS / "benchmarks.svg",
        )
    failed = [bound for section in sections for bound in section.bounds if not bound.holds]
    print("\n".join(["", *(" | ".join(bound.build_row()) for bound in failed)]))
    sys.exit(1 if failed else 0)


def _build_head() -> str:
    packages = sorted(
        {candidate.package for candidate in CANDIDATES.values() if candidate.package} | set(_OTHER_PACKAGES)
    )
    return f"""# Benchmarks

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores. \
Run it on your own machine: the absolute figures depend on the machine, the ratios matter.

![CPU time and connections of each candidate](benchmarks.svg)

{build_table(("package", "version"), [(name, version(name)) for name in packages])}"""


if __name__ == "__main__":
    main()
