"""Compare an operator that reads much with a bare ``requests`` loop that does the same: time, CPU and memory.

Both run in new processes, in turns.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypedDict

from benchmarks.bounds import Bound, Figure
from benchmarks.programs import run_in_new_process
from benchmarks.sections import build_table

#: The limits, relative to the bare loop.
MIN_THROUGHPUT_RATIO, MAX_CPU_RATIO = 0.95, 1.3
#: The limit of the peak memory, relative to that at the start.
MAX_MEMORY_RATIO = 1.4
#: Memory hardly differs between two runs, and some MB more are a list of records that should not be there.
MEMORY_SLACK = 1.1

TURNS = 3


class Used(TypedDict):
    """What a side used.

    :param seconds: how long it took.
    :param cpu_seconds: CPU time.
    :param start_mb: memory at the start in MB.
    :param peak_mb: peak memory in MB.
    """

    seconds: float
    cpu_seconds: float
    start_mb: float
    peak_mb: float


@dataclass(frozen=True)
class Comparison:
    """What both sides used in each turn.

    :param title: what was read, and how.
    :param noun: what was counted, in the plural.
    :param count: how many there were.
    :param operator: the operator's turns.
    :param bare: those of the bare loop.
    """

    title: str
    noun: str
    count: int
    operator: Sequence[Used]
    bare: Sequence[Used]

    def build_bounds(self) -> list[Bound]:
        """Return the bounds on CPU time and memory, which depend little on what else the machine does."""
        cpu = self._compare(lambda used: used["cpu_seconds"])
        memory = Figure.from_turns([used["peak_mb"] / used["start_mb"] for used in self.operator])
        description = f"{self.title}: peak memory, relative to the start"
        return [
            Bound(f"{self.title}: CPU time, relative to the bare loop", cpu, MAX_CPU_RATIO),
            Bound(description, memory, MAX_MEMORY_RATIO, slack=MEMORY_SLACK),
        ]

    def build_throughput_bound(self) -> Bound:
        """Return the bound on throughput, for a machine that does nothing else."""
        throughput = self._compare(lambda used: 1 / used["seconds"])
        description = f"{self.title}: throughput, relative to the bare loop"
        return Bound(description, throughput, MIN_THROUGHPUT_RATIO, at_least=True)

    def build_table(self) -> str:
        """Return the medians as a Markdown table."""
        rows: list[tuple[str, Callable[[Used], float], str]] = [
            (f"{self.noun} per second", lambda used: self.count / used["seconds"], "{:,.0f}"),
            ("CPU seconds", lambda used: used["cpu_seconds"], "{:.2f}"),
            ("memory at the start", lambda used: used["start_mb"], "{:.0f} MB"),
            ("peak growth", lambda used: used["peak_mb"] - used["start_mb"], "{:.1f} MB"),
        ]
        lines = [
            (name, *(text.format(median(map(get, side))) for side in (self.operator, self.bare)))
            for name, get, text in rows
        ]
        return build_table((self.title, "operator", "bare requests loop"), lines)

    def _compare(self, get: Callable[[Used], float]) -> Figure:
        return Figure.from_ratios([*map(get, self.operator)], [*map(get, self.bare)])


class Usage:
    """What this process uses from now on."""

    def __init__(self) -> None:
        self._start_mb = _get_memory_megabytes()
        self._cpu = time.process_time()
        self._started_at = time.perf_counter()

    def get_difference(self) -> Used:
        """Return what was used since the start."""
        return {
            "seconds": time.perf_counter() - self._started_at,
            "cpu_seconds": time.process_time() - self._cpu,
            "start_mb": self._start_mb,
            "peak_mb": _get_peak_megabytes(),
        }


def run_in_turns(module: str, names: Mapping[str, str], arguments: Sequence[str], lines: int) -> dict[str, list[Used]]:
    """Run both sides in turns, each in a new process that writes a file, and return what each used in each turn.

    :param module: the module to run with the name of a side, ``arguments`` and the path of the file; it prints the
        result of :meth:`Usage.get_difference` as JSON.
    :param names: name of the side's program by ``operator`` and ``bare``.
    :param arguments: the arguments between name and path.
    :param lines: number of lines that the file must have.
    """
    print(f"measuring {', '.join(names.values())} of {module} ...", flush=True)
    turns: dict[str, list[Used]] = {side: [] for side in names}
    for _ in range(TURNS):
        for side, name in names.items():
            turns[side].append(_run_side(module, name, arguments, lines))
    return turns


def _run_side(module: str, name: str, arguments: Sequence[str], lines: int) -> Used:
    with tempfile.TemporaryDirectory(prefix="flowruns-bench-") as folder:
        path = Path(folder) / "records"
        used: Used = run_in_new_process(module, name, *arguments, str(path))
        found = _count_lines(path)
    assert found == lines, f"{name} wrote {found} lines"
    return used


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _get_peak_megabytes() -> float:
    """Return the peak resident size in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _get_memory_megabytes() -> float:
    """Return the current resident size in MB. The peak may already have been reached during an import."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1024 / 1024
