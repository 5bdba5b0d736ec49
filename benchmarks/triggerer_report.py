"""The page about what waits cost in a real triggerer: table and bounds."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TypeAlias, TypedDict

from benchmarks.bounds import NOISE_FACTOR, Bound, Figure
from benchmarks.candidates import CANDIDATES
from benchmarks.polling_server import LATENCY_SECONDS
from benchmarks.saved_waits import DATETIME, ENDING_SECONDS, INTERVAL_SECONDS
from benchmarks.sections import Section, build_table

_TITLES = {DATETIME: "Airflow's `DateTimeTrigger`"}

_TEXT = """\
Each line has a triggerer of its own, on PostgreSQL, with a polling interval of {interval:g} s, against a TLS server \
with {latency:.0f} ms latency in a separate process.

- CPU time, memory and requests are those of a time in which no wait starts or ends, of the process in which the \
triggers run. Its supervisor has columns of its own: about once a second it reads the ids of all waits from the \
database, whatever they wait for, and less often while the machine is busy. So its figures differ more between two \
runs than between two kinds of waits.
- CPU time and memory are measured in {parts} parts of that time; the figures are medians, and the spread is theirs.
- The floor is the same number of Airflow's own waits for a time, which poll nothing. What is above it may be less \
than the spread shows, or negative; a limit then holds for three spreads.
- Stalls are warnings of Airflow that its event loop was blocked for more than 0.2 s. While waits only wait, they come \
from Python's garbage collector, which visits all objects of the process. While waits are loaded, or all end within a \
minute, they come from log lines: those of all triggers go through one pipe, of which the supervisor reads 4 KB at a \
time.
- At the end, all runs end within {ending:g} s. The delay is that from the end of a run until Airflow may resume the \
task."""


@dataclass(frozen=True)
class Limits:
    """What a kind of waits may cost above Airflow's own waits: percent of one core, and bytes a wait."""

    core_percent: float
    memory: float = 6_144.0


#: Stalls come at random times: two equal processes differ by fewer than so many roots of their number.
_CHANCE = 2.0
#: With the most waits.
LIMITS = {"portable": Limits(5.0), "portable_shared": Limits(2.0), "activepieces": Limits(2.0)}


class Steady(TypedDict):
    """What is measured while no wait starts or ends, see :class:`Figures`."""

    seconds: float
    cpu: Sequence[float]
    supervisor_cpu: float
    memory: Sequence[int]
    supervisor_memory: int
    requests: float


@dataclass(frozen=True)
class Figures:
    """The result of one measurement.

    :param seconds: for how long was measured while no wait started or ended.
    :param cpu: CPU seconds a minute of the process in which the triggers run, in each part of the measurement.
    :param supervisor_cpu: the same of its supervisor, of the whole measurement.
    :param memory: unique set size of the process in which the triggers run in bytes, at the end of each part.
    :param supervisor_memory: the same of its supervisor.
    :param requests: requests to the service a minute.
    :param connections: TCP connections to the service since the start.
    :param stalls_at_start: number of warnings that the event loop was blocked, while the waits were loaded.
    :param stalls: the same while no wait started or ended.
    :param stalls_at_end: the same while all waits ended.
    :param loading: seconds until the triggerer had all waits.
    :param delay: median seconds from a run's end, or the awaited time, until Airflow may resume the task.
    :param longest_delay: the longest of them.
    """

    seconds: float
    cpu: Sequence[float]
    supervisor_cpu: float
    memory: Sequence[int]
    supervisor_memory: int
    requests: float
    connections: int
    stalls_at_start: int
    stalls: int
    stalls_at_end: int
    loading: float
    delay: float
    longest_delay: float


#: Figures by kind and number of waits.
Results: TypeAlias = Mapping[tuple[str, int], Figures]


def build_section(results: Results) -> Section:
    """Return the table and the bounds."""
    columns = (
        "waits",
        "kind",
        "measured for",
        "CPU s a minute",
        "above the floor, % of a core",
        "memory, MiB",
        "above the floor, KB a wait",
        "supervisor, CPU s a minute",
        "supervisor, memory, MiB",
        "requests a minute",
        "connections",
        "stalls while loading",
        "stalls while waiting",
        "stalls while ending",
        "loaded in",
        "end to resumption",
        "the longest",
    )
    rows = [_build_row(results, kind, count) for kind, count in _sort(results)]
    most = max(count for _, count in results)
    bounds = [bound for kind in LIMITS for bound in _build_bounds(results, kind, most)]
    text = _TEXT.format(
        interval=INTERVAL_SECONDS,
        latency=LATENCY_SECONDS * 1_000,
        parts=len(results[DATETIME, most].cpu),
        ending=ENDING_SECONDS,
    )
    return Section("What do deferred waits cost a real triggerer?", text, build_table(columns, rows), bounds)


def _build_row(results: Results, kind: str, count: int) -> list[str]:
    figures = results[kind, count]
    is_floor = kind == DATETIME
    return [
        f"{count:,}",
        _TITLES.get(kind) or CANDIDATES[kind].title,
        f"{figures.seconds:.0f} s",
        f"{median(figures.cpu):.2f}",
        "" if is_floor else f"{_compute_core_percent(results, kind, count).value:.2f}",
        f"{median(figures.memory) / 2**20:.0f}",
        "" if is_floor else f"{_compute_memory_per_wait(results, kind, count).value / 1024:.1f}",
        f"{figures.supervisor_cpu:.1f}",
        f"{figures.supervisor_memory / 2**20:.0f}",
        f"{figures.requests:,.0f}",
        str(figures.connections),
        str(figures.stalls_at_start),
        str(figures.stalls),
        str(figures.stalls_at_end),
        f"{figures.loading:.0f} s",
        f"{figures.delay:.1f} s",
        f"{figures.longest_delay:.1f} s",
    ]


def _compute_core_percent(results: Results, kind: str, count: int) -> Figure:
    parts = zip(results[kind, count].cpu, results[DATETIME, count].cpu, strict=True)
    return Figure.from_turns([(cpu - floor) / 60 * 100 for cpu, floor in parts])


def _compute_memory_per_wait(results: Results, kind: str, count: int) -> Figure:
    parts = zip(results[kind, count].memory, results[DATETIME, count].memory, strict=True)
    return Figure.from_turns([(memory - floor) / count for memory, floor in parts])


def _build_bounds(results: Results, kind: str, count: int) -> list[Bound]:
    title, limits = CANDIDATES[kind].title, LIMITS[kind]
    own, floor = results[kind, count].stalls, results[DATETIME, count].stalls
    more_stalls = max(0.0, own - floor - _CHANCE * math.sqrt(own + floor))
    return [
        Bound(
            f"{count:,} waits, {title}: percent of one core above the floor",
            _at_most(_compute_core_percent(results, kind, count)),
            limits.core_percent,
        ),
        Bound(
            "the same: bytes a wait above the floor",
            _at_most(_compute_memory_per_wait(results, kind, count)),
            limits.memory,
        ),
        Bound("the same: more stalls while waiting than the floor, and than chance", Figure.exact(more_stalls), 0),
    ]


def _at_most(difference: Figure) -> Figure:
    """Return a difference that may be nothing: what its spread hides is counted as if it was there."""
    return replace(difference, value=max(difference.value, NOISE_FACTOR * (difference.spread or 0.0)))


def read_results(file: Path) -> dict[tuple[str, int], Figures]:
    """Return the results that :func:`write_results` stored, nothing if there are none."""
    stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return {(kind, count): Figures(**figures) for kind, count, figures in stored}


def write_results(file: Path, results: Results) -> None:
    """Store results, those with fewer waits first."""
    stored = [[kind, count, asdict(results[kind, count])] for kind, count in _sort(results)]
    file.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


def _sort(results: Results) -> list[tuple[str, int]]:
    return sorted(results, key=lambda measured: measured[1])


def build_head() -> str:
    """Return the head of the page."""
    return f"""# Benchmarks in a real triggerer

Written by `make bench-triggerer` on {datetime.now(UTC):%Y-%m-%d}, Airflow {version("apache-airflow")}, Python \
{platform.python_version()}, {os.cpu_count()} cores."""
