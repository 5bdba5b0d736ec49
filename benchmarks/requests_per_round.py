"""Count the requests with which waits that have gone on for a while poll, in virtual time.

The real scheduler runs with a clock that stands still between events, so the figures are exact.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from airflow_provider_flowruns.model.targets import BatchResult, FlowStatusTarget, RunTarget, Target
from airflow_provider_flowruns.polling.polled_targets import ScheduledWait
from airflow_provider_flowruns.polling.scheduler import Poll, PollScheduler, Seen
from benchmarks.bounds import Bound, Figure
from benchmarks.sections import Section, build_table

WAITS = 1_000
INTERVAL_SECONDS = 60.0
LATENCY_SECONDS = 0.05
#: Rounds before counting, in which waits find together, and rounds that are counted.
WARM_UP_ROUNDS, ROUNDS = 5, 20
START = 1_800_000_000.0

_TEXT = """\
{waits:,} waits whose interval is {interval:g} s, and which began at random times. Virtual time and the real \
scheduler; a response takes {latency:g} ms."""


@dataclass(frozen=True)
class Case:
    """A kind of waits.

    :param title: name in the table.
    :param service: name of the service.
    :param targets: number of targets: several waits may have the same.
    :param limit: maximum number of requests per round.
    """

    title: str
    service: str
    targets: int
    limit: int

    def build_target(self, number: int) -> Target:
        """Return the target of a wait."""
        target_id = str(number % self.targets)
        if self.service == "portable":
            return FlowStatusTarget(self.service, target_id)
        return RunTarget(self.service, target_id)


CASES = (
    Case("Activepieces runs", "activepieces", WAITS, 20),
    Case("Portable, 100 waits per flow", "portable", WAITS // 100, 10),
    Case("Portable, one flow per wait", "portable", WAITS, WAITS),
)


def build_sections(quick: bool) -> list[Section]:
    """Count and return the section. ``quick`` makes no difference."""
    figures = {case: Figure.exact(count_requests(case)) for case in CASES}
    rows = [(case.title, f"{figure.value:,.1f}") for case, figure in figures.items()]
    bounds = [
        Bound(f"{WAITS:,} waits in virtual time, {case.title}: requests per round", figure, case.limit)
        for case, figure in figures.items()
    ]
    text = _TEXT.format(waits=WAITS, interval=INTERVAL_SECONDS, latency=LATENCY_SECONDS * 1_000)
    table = build_table(("waits", "requests per round"), rows)
    return [Section("How many requests does polling need?", text, table, bounds)]


def count_requests(case: Case) -> float:
    """Return the number of requests per round."""
    return _Simulation(case).run()


class _Simulation:
    """Waits that are polled at once when they are due, and never end."""

    def __init__(self, case: Case) -> None:
        from airflow_provider_flowruns.triggers.poll_loop import get_batch_rule

        rng = random.Random(1)
        self._scheduler = PollScheduler(get_batch_rule, rng.random)
        self._responses: list[tuple[float, int, Poll]] = []
        self._numbers = count()
        for number in range(WAITS):
            wait = ScheduledWait(deadline=START + 1e9, error_budget=1e9)
            self._scheduler.add(wait, case.build_target(number), rng.uniform(0.0, INTERVAL_SECONDS), START)

    def run(self) -> float:
        """Return the number of requests per round."""
        counted_from = START + WARM_UP_ROUNDS * INTERVAL_SECONDS
        end = counted_from + ROUNDS * INTERVAL_SECONDS
        requests, now = 0, START
        while now < end:
            polls = self._scheduler.due(now)
            requests += len(polls) if now >= counted_from else 0
            for poll in polls:
                heappush(self._responses, (now + LATENCY_SECONDS, next(self._numbers), poll))
            now = min([self._scheduler.next_wakeup(), *(at for at, _, _ in self._responses[:1])])
            while self._responses and self._responses[0][0] <= now:
                self._respond(heappop(self._responses)[2], now)
        return requests / ROUNDS

    def _respond(self, poll: Poll, now: float) -> None:
        result: Seen | BatchResult = ()
        if poll.is_batch:
            result = BatchResult({polled_target.target: () for polled_target in poll.targets})
        seen = self._scheduler.on_result(poll, result, now)
        for wait in self._scheduler.take_recipients(poll, seen, now):
            self._scheduler.reschedule(wait, wait.polled_target.target, INTERVAL_SECONDS, now)
