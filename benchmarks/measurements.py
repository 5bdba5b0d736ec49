"""All measurements of ``make bench``, in the order of the report."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

from benchmarks import detection_delay, history, imports, metrics, pokes, requests_per_round, table_rows, upload, waits
from benchmarks.sections import Section

#: Each takes whether to measure few waits in few turns, without the peers.
_MEASUREMENTS: tuple[Callable[[bool], list[Section]], ...] = (
    waits.build_sections,
    requests_per_round.build_sections,
    pokes.build_sections,
    detection_delay.build_sections,
    imports.build_sections,
    history.build_sections,
    metrics.build_sections,
    table_rows.build_sections,
    upload.build_sections,
)


def measure_sections(*, quick: bool) -> list[Section]:
    """Measure everything.

    :param quick: measure few waits in few turns, without the peers.
    """
    with tempfile.TemporaryDirectory(prefix="flowruns-bench-") as home:
        os.environ["AIRFLOW_HOME"] = home
        return [section for measure in _MEASUREMENTS for section in measure(quick)]
