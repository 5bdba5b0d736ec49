"""Measure how soon a wait detects the end of a run, with adaptive polling and with a fixed interval.

The real waiter runs in virtual time, so the figures are exact and the same on every machine. For each kind of flow, the
fixed interval is chosen so that it needs the same number of polls per run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import mean, median

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from benchmarks.bounds import Bound, Figure
from benchmarks.sections import Section, build_table

RUN_COUNT = 2_000
INTERVAL_SECONDS = 60.0
#: Range of the random delay before the first poll of a deferred task.
FIRST_POLL_SECONDS = (5.5, 10.5)
START = 1_800_000_000.0


@dataclass(frozen=True)
class Case:
    """A kind of flow.

    :param title: name in the tables.
    :param draw_duration: draws the duration of a run in seconds.
    :param known_runs: number of earlier runs whose durations are known.
    :param limit: upper bound of its median delay, relative to that of the fixed interval.
    """

    title: str
    draw_duration: Callable[[random.Random], float]
    known_runs: int
    limit: float


CASES = (
    Case("10 minutes +/- 5 %; earlier runs known", lambda rng: rng.gauss(600, 30), 20, 0.5),
    Case("1 hour +/- 5 %; earlier runs known", lambda rng: rng.gauss(3_600, 180), 20, 0.5),
    Case("10 minutes +/- 20 %; earlier runs known", lambda rng: max(60, rng.gauss(600, 120)), 20, 0.5),
    Case("5 s to 10 minutes, mostly short; no earlier runs known", lambda rng: 5 * 120 ** rng.random(), 0, 1.0),
)


def build_sections(quick: bool) -> list[Section]:
    """Measure and return the section. ``quick`` measures a tenth of the runs."""
    rows, bounds = [], []
    for case in CASES:
        delays, polls = _measure_adaptive(case, RUN_COUNT // 10 if quick else RUN_COUNT)
        interval, fixed_delays, fixed_polls = _find_fixed_interval(case, polls, len(delays))
        ratio = median(delays) / median(fixed_delays)
        rows.append(
            (
                case.title,
                f"{polls:.1f}",
                f"{median(delays):.1f} s",
                f"{interval:.0f} s ({fixed_polls:.1f} polls)",
                f"{median(fixed_delays):.1f} s",
                f"{ratio:.2f}",
            )
        )
        description = f"median delay relative to a fixed interval: {case.title}"
        bounds.append(Bound(description, Figure.exact(ratio), case.limit))
    columns = ("duration of a run", "polls per run", "median delay", "fixed interval", "its median delay", "ratio")
    return [
        Section(
            "How soon is the end of a run detected?",
            f"Time from the run's end to the poll that detects it, `poke_interval={INTERVAL_SECONDS:g}`, {RUN_COUNT:,} "
            "runs per line. Virtual time and the real state machine; the fixed interval is chosen so that it needs the "
            "same number of requests.",
            build_table(columns, rows),
            bounds,
        )
    ]


def _measure_adaptive(case: Case, run_count: int) -> tuple[list[float], float]:
    rng, results = random.Random(1), []
    durations = RunDurations()
    durations.learn(_build_run(case.draw_duration(rng), 1e12, f"earlier {number}") for number in range(case.known_runs))
    for _ in range(run_count):
        results.append(_wait_for_one_run(case.draw_duration(rng), durations, rng))
    return [delay for delay, _ in results], mean(polls for _, polls in results)


def _wait_for_one_run(duration: float, durations: RunDurations, rng: random.Random) -> tuple[float, int]:
    plan = WaitConfig(target=RunTarget("portable", "this"), interval_seconds=INTERVAL_SECONDS, deadline_at=START + 1e9)
    waiter = RunWaiter(plan, START)
    waiter.durations = durations
    age, polls = rng.uniform(*FIRST_POLL_SECONDS), 0
    while True:
        polls += 1
        action = waiter.step([_build_run(duration, age, "this")], START + age)
        if action.result:
            return age - duration, polls
        age += action.wait


def _build_run(duration: float, age: float, run_id: str) -> FlowRun:
    """Return a run as it is at a given age."""
    has_ended = age >= duration
    return FlowRun(
        service="portable",
        kind=Kind.RUN,
        run_id=run_id,
        flow_id="1",
        lifecycle=Lifecycle.NOT_RUNNING if has_ended else Lifecycle.RUNNING,
        disposition=Disposition.SUCCEEDED if has_ended else Disposition.NONE,
        vendor_status="",
        started_at=datetime.fromtimestamp(START, UTC),
        completed_at=datetime.fromtimestamp(START + duration, UTC) if has_ended else None,
    )


def _find_fixed_interval(case: Case, polls: float, run_count: int) -> tuple[float, Sequence[float], float]:
    """Return the fixed interval that needs this number of polls per run, with its delays and its number of polls."""
    low, high = 0.5, 3_600.0
    for _ in range(40):
        middle = (low + high) / 2
        _, middle_polls = _measure_fixed(case, middle, run_count)
        low, high = (middle, high) if middle_polls > polls else (low, middle)
    return high, *_measure_fixed(case, high, run_count)


def _measure_fixed(case: Case, interval: float, run_count: int) -> tuple[Sequence[float], float]:
    rng, delays, polls = random.Random(1), [], []
    for _ in range(run_count):
        duration = case.draw_duration(rng)
        first = rng.uniform(*FIRST_POLL_SECONDS)
        further_polls = max(0, -int((first - duration) // interval))
        delays.append(first + further_polls * interval - duration)
        polls.append(1 + further_polls)
    return delays, mean(polls)
