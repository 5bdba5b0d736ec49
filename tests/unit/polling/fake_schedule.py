"""A driver of the scheduler for tests: it counts time by itself and answers polls from a function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_flowruns.model.errors import RateLimitError, ServerError
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import BatchResult, RunTarget, Target
from airflow_provider_flowruns.polling.polled_targets import BatchRule, ScheduledWait
from airflow_provider_flowruns.polling.scheduler import Poll, PollScheduler, Seen

START = 1_800_000_000.0

#: Batches by id, batches from a list, and no batches: as Activepieces, TableFlow and Portable flows.
BY_ID, FROM_LIST, SINGLE = "activepieces", "tableflow", "portable"


def create_target(number: int, service: str = SINGLE) -> Target:
    return RunTarget(service, str(number))


def get_batch_rule(target: Target) -> BatchRule:
    if target.service == BY_ID:
        return BatchRule("runs", 2, by_id=True)
    if target.service == FROM_LIST:
        return BatchRule("list", 5)
    # One flow's attempts are read from a list, too.
    return BatchRule(target.flow_id, 1)


def create_scheduler(spread: float = 0.5) -> PollScheduler:
    return PollScheduler(get_batch_rule, lambda: spread)


def rate_limit(retry_after: float | None = None) -> RateLimitError:
    return RateLimitError("Service", "GET", "/x", 429, "slow down", None, retry_after)


def server_error(status: int = 500, retry_after: float | None = None) -> ServerError:
    return ServerError("Service", "GET", "/x", status, "down", None, retry_after)


@dataclass(frozen=True)
class SentPoll:
    """A poll as it was sent.

    :param at: seconds since the start.
    :param targets: its targets.
    :param is_batch: whether it is a batch request.
    """

    at: float
    targets: tuple[Target, ...]
    is_batch: bool


@dataclass
class Driver:
    """Sends the polls of a scheduler and reschedules each recipient with its interval, as the poll loop does.

    :param respond: returns the result of a poll at a time; by default every target is found without runs.
    :param latency: seconds that a request takes.
    """

    scheduler: PollScheduler = field(default_factory=create_scheduler)
    respond: Callable[[Poll, float], Seen | BatchResult | None] = lambda poll, now: None
    latency: float = 0.0
    now: float = START
    sent: list[SentPoll] = field(default_factory=list)
    steps: dict[ScheduledWait, list[float]] = field(default_factory=dict)
    intervals: dict[ScheduledWait, float] = field(default_factory=dict)
    errors: list[object] = field(default_factory=list)
    _in_flight: list[tuple[float, Poll, Seen | BatchResult]] = field(default_factory=list)

    def add(
        self,
        target: Target,
        first: float = 1.0,
        interval: float = 10.0,
        deadline: float = math.inf,
        error_budget: float = 900.0,
    ) -> ScheduledWait:
        wait = ScheduledWait(deadline, error_budget)
        self.intervals[wait], self.steps[wait] = interval, []
        self.scheduler.add(wait, target, first, self.now)
        return wait

    def remove(self, wait: ScheduledWait) -> None:
        self.scheduler.remove(wait)
        del self.intervals[wait]

    def run(self, seconds: float) -> None:
        """Let this much time pass."""
        end = self.now + seconds
        while True:
            self._send_due()
            upcoming = min([self.scheduler.next_wakeup(), *(at for at, _, _ in self._in_flight)])
            if upcoming > end:
                break
            self.now = max(self.now, upcoming)
            self._receive()
        self.now = end

    def _send_due(self) -> None:
        for poll in self.scheduler.due(self.now):
            targets = tuple(polled.target for polled in poll.targets)
            self.sent.append(SentPoll(self.now - START, targets, poll.is_batch))
            result = self.respond(poll, self.now)
            self._in_flight.append((self.now + self.latency, poll, find_all(poll) if result is None else result))

    def _receive(self) -> None:
        arrived = [entry for entry in self._in_flight if entry[0] <= self.now]
        self._in_flight = [entry for entry in self._in_flight if entry[0] > self.now]
        for _, poll, result in arrived:
            seen = self.scheduler.on_result(poll, result, self.now)
            for wait in self.scheduler.take_recipients(poll, seen, self.now):
                self.steps[wait].append(self.now - START)
                if self.now >= wait.deadline:
                    self.remove(wait)
                else:
                    interval = min(self.intervals[wait], max(0.1, wait.deadline - self.now))
                    self.scheduler.reschedule(wait, wait.polled_target.target, interval, self.now)


def find_all(poll: Poll) -> Seen | BatchResult:
    """Return the result of a poll that finds every target, without runs."""
    runs: tuple[FlowRun, ...] = ()
    return BatchResult({polled.target: runs for polled in poll.targets}) if poll.is_batch else runs
