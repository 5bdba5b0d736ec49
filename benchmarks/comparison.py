"""Compare an operator that reads much with a bare ``requests`` loop that does the same: time, CPU and memory.

Both run in new processes, in turns. Throughput is compared as a ratio, memory as growth since the start.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

#: The bounds.
MIN_THROUGHPUT_RATIO = 0.8
MAX_GROWTH_MEGABYTES = 64.0

ROUNDS = 3


@dataclass(frozen=True)
class Comparison:
    """Medians of both sides.

    :param title: what was read, and how.
    :param noun: what was counted, in the plural.
    :param count: how many there were.
    :param sides: the figures of ``operator`` and ``bare``.
    """

    title: str
    noun: str
    count: int
    sides: Mapping[str, Mapping[str, float]]

    @property
    def throughput_ratio(self) -> float:
        """Throughput of the operator, if that of the bare loop is 1."""
        return self.sides["bare"]["seconds"] / self.sides["operator"]["seconds"]

    @property
    def is_within_bounds(self) -> bool:
        """Whether the operator is fast enough, and its memory hardly grows."""
        return (
            self.throughput_ratio >= MIN_THROUGHPUT_RATIO
            and self.sides["operator"]["growth_mb"] <= MAX_GROWTH_MEGABYTES
        )

    def build_table(self) -> str:
        """Return the figures as a Markdown table."""
        rows: list[tuple[str, Callable[[Mapping[str, float]], str]]] = [
            (f"{self.noun} per second", lambda side: f"{self.count / side['seconds']:,.0f}"),
            ("CPU seconds", lambda side: f"{side['cpu_seconds']:.2f}"),
            ("memory at the start", lambda side: f"{side['start_mb']:.0f} MB"),
            ("peak growth", lambda side: f"{side['growth_mb']:.1f} MB"),
        ]
        lines = [f"| {self.title} | operator | bare requests loop |", "|---|---|---|"]
        lines += [f"| {name} | {show(self.sides['operator'])} | {show(self.sides['bare'])} |" for name, show in rows]
        lines.append(f"| throughput, bare loop = 1 | {self.throughput_ratio:.2f} | 1 |")
        return "\n".join(lines)


class Usage:
    """What this process uses from now on."""

    def __init__(self) -> None:
        self._start_mb = _get_memory_megabytes()
        self._cpu = time.process_time()
        self._started_at = time.perf_counter()

    def get_difference(self) -> dict[str, float]:
        """Return the seconds and CPU seconds since the start, the memory at the start and its peak growth in MB."""
        return {
            "seconds": time.perf_counter() - self._started_at,
            "cpu_seconds": time.process_time() - self._cpu,
            "start_mb": self._start_mb,
            "growth_mb": get_peak_megabytes() - self._start_mb,
        }


def run_in_turns(
    module: str, names: Mapping[str, str], arguments: list[str], count_records: Callable[[Path], int], count: int
) -> dict[str, dict[str, float]]:
    """Run both sides in turns, each in a new process that writes a file, and return the medians of each side.

    :param module: the module to run with the name of a side, ``arguments`` and the path of the file; it prints the
        result of :meth:`Usage.get_difference` as JSON.
    :param names: name of the side's program by ``operator`` and ``bare``.
    :param arguments: the arguments between name and path.
    :param count_records: counts the records in the file.
    :param count: how many there have to be.
    """
    results: dict[str, list[dict[str, float]]] = {side: [] for side in names}
    for _ in range(ROUNDS):
        for side, name in names.items():
            results[side].append(_run_in_new_process(module, name, arguments, count_records, count))
    return {side: {key: median(run[key] for run in runs) for key in runs[0]} for side, runs in results.items()}


def _run_in_new_process(
    module: str, name: str, arguments: list[str], count_records: Callable[[Path], int], count: int
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records"
        environment = {**os.environ, "AIRFLOW_HOME": folder, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
        result = subprocess.run(
            [sys.executable, "-m", module, name, *arguments, str(path)],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        found = count_records(path)
    assert found == count, f"{name} wrote {found} records"
    return {key: float(value) for key, value in json.loads(result.stdout.splitlines()[-1]).items()}


def count_lines(path: Path) -> int:
    """Return the number of lines of a file."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def get_peak_megabytes() -> float:
    """Return the peak resident size in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _get_memory_megabytes() -> float:
    """Return the current resident size in MB. The peak may already have been reached during an import."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1024 / 1024
