"""
How long after a run's end its wait ends: adaptive looks beside looks at a fixed interval, with equally many requests.

The real watch is driven in virtual time, so the figures are exact and the same on every machine. For each kind of flow
the fixed interval is the one that comes to the same number of looks a run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import mean, median

from airflow_provider_flowruns.services.model import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.waiting.usual import UsualDurations
from airflow_provider_flowruns.waiting.watch import Watch, WatchPlan
from benchmarks.sections import Bound, Section, table

RUNS = 2_000
INTERVAL = 60.0
#: The first look of a deferred task comes by chance this long after its start.
FIRST_LOOK = (5.5, 10.5)
START = 1_800_000_000.0


@dataclass(frozen=True)
class Case:
    """
    A kind of flow.

    :param title: how the table calls it.
    :param duration: draws how long a run takes, in seconds.
    :param recent: so many earlier runs have been seen.
    """

    title: str
    duration: Callable[[random.Random], float]
    recent: int


CASES = (
    Case("10 minutes, give or take 5 %; earlier runs seen", lambda dice: dice.gauss(600, 30), 20),
    Case("an hour, give or take 5 %; earlier runs seen", lambda dice: dice.gauss(3_600, 180), 20),
    Case("10 minutes, give or take 20 %; earlier runs seen", lambda dice: max(60, dice.gauss(600, 120)), 20),
    Case("5 s to 10 minutes, short ones common; none seen", lambda dice: 5 * 120 ** dice.random(), 0),
)


def sections(quick: bool) -> list[Section]:
    """Return what came out."""
    rows, bounds = [], []
    for case in CASES:
        delays, looks = _adaptive(case, RUNS // 10 if quick else RUNS)
        every, fixed_delays, fixed_looks = _fixed_with(case, looks, len(delays))
        share = median(delays) / median(fixed_delays)
        rows.append(
            (
                case.title,
                f"{looks:.1f}",
                f"{median(delays):.1f} s",
                f"{every:.0f} s ({fixed_looks:.1f} looks)",
                f"{median(fixed_delays):.1f} s",
                f"{share:.2f}",
            )
        )
        bounds.append(Bound(f"median delay beside a fixed interval's: {case.title}", share, 0.5))
    head = ("a run takes", "looks a run", "median delay", "fixed interval", "its median delay", "ratio")
    return [
        Section(
            "How soon is the end of a run seen?",
            f"From the run's end to the look that sees it, `poke_interval={INTERVAL:g}`, {RUNS:,} runs a line. Virtual "
            "time and the real state machine; the fixed interval is chosen so that it makes as many requests.",
            table(head, rows),
            bounds,
        )
    ]


def _adaptive(case: Case, runs: int) -> tuple[list[float], float]:
    dice, results = random.Random(1), []
    usual = UsualDurations()
    usual.learn(_run(case.duration(dice), 1e12, f"earlier {number}") for number in range(case.recent))
    for _ in range(runs):
        results.append(_one_wait(case.duration(dice), usual, dice))
    return [delay for delay, _ in results], mean(looks for _, looks in results)


def _one_wait(duration: float, usual: UsualDurations, dice: random.Random) -> tuple[float, int]:
    plan = WatchPlan(service="portable", kind="run", run_id="this", interval=INTERVAL, deadline=START + 1e9)
    watch = Watch(plan, START)
    watch.usual = usual
    age, looks = dice.uniform(*FIRST_LOOK), 0
    while True:
        looks += 1
        decision = watch.step([_run(duration, age, "this")], START + age)
        if decision.verdict:
            return age - duration, looks
        age += decision.wait


def _run(duration: float, age: float, run_id: str) -> FlowRun:
    """Return a run as it is seen at some age."""
    ended = age >= duration
    return FlowRun(
        service="portable",
        kind=Kind.RUN,
        run_id=run_id,
        flow_id="1",
        lifecycle=Lifecycle.NOT_RUNNING if ended else Lifecycle.RUNNING,
        disposition=Disposition.SUCCEEDED if ended else Disposition.NONE,
        vendor_status="",
        started_at=datetime.fromtimestamp(START, UTC),
        completed_at=datetime.fromtimestamp(START + duration, UTC) if ended else None,
    )


def _fixed_with(case: Case, looks: float, runs: int) -> tuple[float, Sequence[float], float]:
    """Return the fixed interval that makes as many looks a run, with its delays and its looks."""
    low, high = 0.5, 3_600.0
    for _ in range(40):
        middle = (low + high) / 2
        _, made = _fixed(case, middle, runs)
        low, high = (middle, high) if made > looks else (low, middle)
    return high, *_fixed(case, high, runs)


def _fixed(case: Case, interval: float, runs: int) -> tuple[Sequence[float], float]:
    dice, delays, looks = random.Random(1), [], []
    for _ in range(runs):
        duration = case.duration(dice)
        first = dice.uniform(*FIRST_LOOK)
        more = max(0, -int((first - duration) // interval))
        delays.append(first + more * interval - duration)
        looks.append(1 + more)
    return delays, mean(looks)
