"""Measure how soon a wait detects the end of a run, with adaptive polling and with a fixed interval.

The real waiter runs in virtual time, so the figures are exact and the same on every machine. For each kind of flow, the
fixed interval is chosen so that it needs the same number of polls per run.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import mean, median

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.polling.durations import MIN_RUNS, RunDurations
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from benchmarks.bounds import Bound, Figure
from benchmarks.sections import Section, build_table

#: Number of flows of each kind, and of the DAG runs that wait for a run of each, one after the other.
FLOW_COUNT, RUNS_PER_FLOW = 50, 40
INTERVAL_SECONDS = 60.0
#: Range of the random delay before the first poll of a deferred task.
FIRST_POLL_SECONDS = (5.5, 10.5)
FLOW_ID = "1"
START = 1_800_000_000.0
DAY_SECONDS = 86_400.0
#: The bound applies to all but one kind of the flows that were seen before.
MAX_RATIO_SEEN, MAX_RATIO_UNSEEN = 0.3, 1.0
#: Range of the search for an interval, in seconds, and its number of steps.
INTERVAL_RANGE = (0.5, 7_200.0)
FIXED_SEARCH_STEPS, ADAPTIVE_SEARCH_STEPS = 30, 8


@dataclass(frozen=True)
class Case:
    """A kind of flow.

    :param title: name in the tables.
    :param draw_duration: draws the duration of a flow's run in seconds, given the number of the run.
    :param is_seen: whether the flow's earlier runs are known.
    """

    title: str
    draw_duration: Callable[[random.Random, int], float]
    is_seen: bool = True


@dataclass(frozen=True)
class Measurement:
    """What the waits of one kind of flow showed.

    :param durations: how long the runs took, in seconds.
    :param delays: seconds from the end of each run to the poll that detected it.
    :param polls: mean number of polls per run.
    """

    durations: Sequence[float]
    delays: Sequence[float]
    polls: float


def _log_normal(rng: random.Random, middle: float, sigma: float) -> float:
    return middle * math.exp(rng.gauss(0, sigma))


CASES = (
    Case("constant: 10 minutes and up to 10 s", lambda rng, _: 600 + rng.uniform(0, 10)),
    Case("tight log-normal: 10 minutes, sigma 0.05", lambda rng, _: _log_normal(rng, 600, 0.05)),
    Case("bimodal: 3 or 15 minutes, sigma 0.05", lambda rng, _: _log_normal(rng, rng.choice((180, 900)), 0.05)),
    Case(
        "drifting: 5 minutes and 1 % longer each time, sigma 0.05", lambda rng, n: _log_normal(rng, 300 * 1.01**n, 0.05)
    ),
    Case("wide log-normal: 10 minutes, sigma 0.5", lambda rng, _: _log_normal(rng, 600, 0.5)),
    Case("not seen before: 5 s to 10 minutes, mostly short", lambda rng, _: 5 * 120 ** rng.random(), is_seen=False),
    Case("not seen before: 5 s to 1 hour, mostly short", lambda rng, _: 5 * 720 ** rng.random(), is_seen=False),
)


def build_sections(quick: bool) -> list[Section]:
    """Measure and return the section. ``quick`` measures a fifth of the flows."""
    flow_count = FLOW_COUNT // 5 if quick else FLOW_COUNT
    rows: list[tuple[str, ...]] = []
    seen: list[float] = []
    unseen: list[float] = []
    for case in CASES:
        adaptive = _measure_adaptive(case, INTERVAL_SECONDS, flow_count)
        interval, fixed = _find_fixed_interval(adaptive)
        ratio = median(adaptive.delays) / median(fixed.delays)
        (seen if case.is_seen else unseen).append(ratio)
        rows.append(
            (
                case.title,
                f"{adaptive.polls:.1f}",
                f"{median(adaptive.delays):.1f} s",
                f"{interval:.0f} s ({fixed.polls:.1f} polls)",
                f"{median(fixed.delays):.1f} s",
                f"{ratio:.2f}",
                _describe_at_cost(case, adaptive.durations, flow_count),
            )
        )
    seconds = f"{INTERVAL_SECONDS:g} s"
    columns = (
        "duration of a run",
        "polls per run",
        "median delay",
        "fixed interval",
        "its median delay",
        "ratio",
        f"median delay at the requests of a fixed {seconds}",
    )
    return [
        Section(
            "How soon is the end of a run detected?",
            f"Time from the run's end to the poll that detects it, `poke_interval={INTERVAL_SECONDS:g}`, {FLOW_COUNT} "
            f"flows per line with {RUNS_PER_FLOW} DAG runs each. A flow has been seen before when {MIN_RUNS} of its "
            "runs are known; each DAG run adds its own to the stored durations. Virtual time and the real state "
            "machine; the fixed interval begins at a random time and is chosen so that it needs the same number of "
            "requests. For the last column, `poke_interval` is chosen so that a run needs as few polls as with a fixed "
            f"{seconds}, or as few as possible.",
            build_table(columns, rows),
            [
                Bound(
                    "median delay relative to a fixed interval at equal requests, flows seen before: second largest",
                    Figure.exact(sorted(seen)[-2]),
                    MAX_RATIO_SEEN,
                ),
                Bound(
                    "median delay relative to a fixed interval at equal requests, flows not seen before: largest",
                    Figure.exact(max(unseen)),
                    MAX_RATIO_UNSEEN,
                ),
            ],
        )
    ]


def _describe_at_cost(case: Case, durations: Sequence[float], flow_count: int) -> str:
    """Return the median delay for as many requests as a fixed interval needs, and the interval that needs them."""
    polls = _measure_fixed(durations, INTERVAL_SECONDS).polls
    flow_count = max(1, flow_count // 5)
    interval = _find_interval(
        lambda interval: _measure_adaptive(case, interval, flow_count).polls, polls, ADAPTIVE_SEARCH_STEPS
    )
    found = _measure_adaptive(case, interval, flow_count)
    return f"{median(found.delays):.1f} s (`poke_interval={interval:.0f}`, {found.polls:.1f} polls)"


def _measure_adaptive(case: Case, interval: float, flow_count: int) -> Measurement:
    waits = [wait for seed in range(flow_count) for wait in _wait_for_runs(case, interval, random.Random(seed))]
    durations, delays, polls = zip(*waits, strict=True)
    return Measurement(durations, delays, mean(polls))


def _wait_for_runs(case: Case, interval: float, rng: random.Random) -> Iterator[tuple[float, float, int]]:
    """Wait for a flow's runs, each in a DAG run of its own; return durations, delays and numbers of polls."""
    stored = "[]"
    for number in range(RUNS_PER_FLOW):
        durations = RunDurations()  # each DAG run finds a triggerer that was restarted
        if case.is_seen:
            durations.restore(FLOW_ID, json.loads(stored))
        duration = case.draw_duration(rng, number)
        began_at = START + number * DAY_SECONDS
        if not case.is_seen or number >= MIN_RUNS:
            yield duration, *_wait_for_one_run(duration, began_at, interval, durations, rng)
        durations.learn([_build_run(duration, began_at, math.inf)])
        stored = json.dumps(durations.to_record(FLOW_ID))


def _wait_for_one_run(
    duration: float, began_at: float, interval: float, durations: RunDurations, rng: random.Random
) -> tuple[float, int]:
    config = WaitConfig(target=RunTarget("portable", "this"), interval_seconds=interval, deadline_at=began_at + 1e9)
    waiter = RunWaiter(config, began_at)
    waiter.durations = durations
    age, polls = rng.uniform(*FIRST_POLL_SECONDS), 0
    while True:
        polls += 1
        action = waiter.step([_build_run(duration, began_at, age)], began_at + age)
        if action.result:
            return age - duration, polls
        age += action.wait


def _build_run(duration: float, began_at: float, age: float) -> FlowRun:
    """Return a run as it is at a given age."""
    has_ended = age >= duration
    return FlowRun(
        service="portable",
        kind=Kind.RUN,
        run_id="this",
        flow_id=FLOW_ID,
        lifecycle=Lifecycle.NOT_RUNNING if has_ended else Lifecycle.RUNNING,
        disposition=Disposition.SUCCEEDED if has_ended else Disposition.NONE,
        vendor_status="",
        started_at=datetime.fromtimestamp(began_at, UTC),
        completed_at=datetime.fromtimestamp(began_at + duration, UTC) if has_ended else None,
    )


def _find_fixed_interval(adaptive: Measurement) -> tuple[float, Measurement]:
    """Return the fixed interval that needs as many polls per run, and what it shows."""
    durations = adaptive.durations
    interval = _find_interval(lambda one: _measure_fixed(durations, one).polls, adaptive.polls, FIXED_SEARCH_STEPS)
    return interval, _measure_fixed(durations, interval)


def _find_interval(count_polls: Callable[[float], float], polls: float, steps: int) -> float:
    """Return the shortest interval that needs no more than a number of polls per run."""
    low, high = INTERVAL_RANGE
    for _ in range(steps):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if count_polls(middle) > polls else (low, middle)
    return high


def _measure_fixed(durations: Sequence[float], interval: float) -> Measurement:
    """Return what a fixed interval shows that begins at a random time, as it does not know when the run began."""
    rng = random.Random(1)
    delays, polls = [], []
    for duration in durations:
        first = rng.uniform(0, interval)
        further_polls = max(0, math.ceil((duration - first) / interval))
        delays.append(first + further_polls * interval - duration)
        polls.append(1 + further_polls)
    return Measurement(durations, delays, mean(polls))
