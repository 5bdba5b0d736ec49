"""The scheduler of all polls of one connection: which targets are due, which share a request, and when to back off.

It does no I/O and has no clock: its driver passes the current time, sends what :meth:`PollScheduler.due` returns, and
reports what came back. Times are Unix seconds.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from enum import StrEnum
from heapq import heapify, heappop, heappush
from itertools import count

from airflow_provider_flowruns.model.errors import AuthenticationError, FlowRunsError
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import BatchResult, Target
from airflow_provider_flowruns.polling.backoff import Backoff
from airflow_provider_flowruns.polling.intervals import align
from airflow_provider_flowruns.polling.polled_targets import BatchRule, PolledTarget, PolledTargets, ScheduledWait

#: A wait may join a batch early if at most this fraction of its interval remains.
EARLY_JOIN_FRACTION = 0.2
#: Maximum number of requests in flight. A batch counts as several, because parsing its response takes longer.
MAX_CONCURRENT_REQUESTS, BATCH_LOAD = 20, 5
#: Number of runs that one batch may request. It shrinks where runs are large, because parsing blocks the event loop.
MAX_BATCH_SIZE, MIN_BATCH_SIZE = 100, 5
#: Maximum size of a batch response that the batch size aims at.
MAX_BATCH_RESPONSE_BYTES = 256 * 1024
#: The heap is rebuilt when it has this many entries in addition to two for each wait.
MAX_OUTDATED_ENTRIES = 1_000
#: Minimum number of seconds over which polls are spread after backing off.
MIN_SPREAD_SECONDS = 1.0

#: What a poll brought for a target: its runs, newest first, or the error that came instead.
Seen = tuple[FlowRun, ...] | FlowRunsError


class PollReason(StrEnum):
    """Why a wait is polled."""

    FIRST = "first"
    DUE = "due"
    DEADLINE = "deadline"
    JOINED_EARLY = "joined early"


class Poll:
    """One request: for one target, or a batch request for several.

    :param targets: the targets, first those that it must look for.
    :param required_count: number of targets that it must look for. A list may show the others as well.
    :param is_batch: whether it is a batch request.
    """

    __slots__ = ("is_batch", "load", "required_count", "sent_at", "targets")

    def __init__(self, targets: Sequence[PolledTarget], required_count: int = 1, *, is_batch: bool = False) -> None:
        self.targets = targets
        self.required_count = required_count
        self.is_batch = is_batch
        #: As how many requests it counts.
        self.load = BATCH_LOAD if len(targets) > 1 else 1
        #: When it was handed to the driver.
        self.sent_at = math.inf

    @property
    def waits(self) -> Iterator[ScheduledWait]:
        """The waits on its targets."""
        return (wait for polled_target in self.targets for wait in polled_target.waits)

    @property
    def wait_count(self) -> int:
        """Number of waits on its targets."""
        if len(self.targets) == 1:
            return len(self.targets[0].waits)
        return sum(len(polled_target.waits) for polled_target in self.targets)

    def __str__(self) -> str:
        others = f" and {len(self.targets) - 1} more" if len(self.targets) > 1 else ""
        reasons = ", ".join(f"{number} {reason}" for reason, number in self.count_reasons().items())
        return f"{self.targets[0].target}{others} (waits: {reasons})"

    def count_reasons(self) -> Counter[PollReason]:
        """Return for how many waits it was sent for which reason."""
        return Counter(_get_reason(wait, self.sent_at) for wait in self.waits if wait.first_poll_at <= self.sent_at)


class PollScheduler:
    """Schedules the polls of one connection.

    :param get_batch_rule: returns how a target is polled together with others.
    :param spread: returns a random number from 0 to 1; it spreads polls after backing off.
    """

    def __init__(self, get_batch_rule: Callable[[Target], BatchRule], spread: Callable[[], float]) -> None:
        self.max_batch_size = MAX_BATCH_SIZE
        self._spread = spread
        self._backoff = Backoff()
        self._targets = PolledTargets(get_batch_rule)
        self._wait_count = 0
        self._heap: list[tuple[float, int, ScheduledWait]] = []
        self._entry_numbers = count()
        self._queue: deque[Poll] = deque()
        self._in_flight: set[Poll] = set()
        self._load = 0

    def __len__(self) -> int:
        """Return the number of waits."""
        return self._wait_count

    @property
    def backoff_count(self) -> int:
        """How often it has backed off so far."""
        return self._backoff.count

    # -- waits

    def add(self, wait: ScheduledWait, target: Target, first: float, now: float) -> None:
        """Schedule the first poll of a new wait.

        :param wait: the wait.
        :param target: what it polls.
        :param first: seconds until its first poll; it gets no response to a request sent before.
        :param now: the current time.
        """
        wait.first_poll_at = now + first
        self._targets.add_wait(wait, target)
        wait.is_scheduled = True
        self._wait_count += 1
        self._schedule(wait, first, now)

    def reschedule(self, wait: ScheduledWait, target: Target, interval: float, now: float) -> None:
        """Schedule the next poll of a wait that has taken a response.

        :param wait: the wait, with its current deadline.
        :param target: what it polls from now on.
        :param interval: seconds until its next poll.
        :param now: the current time.
        """
        if target is not wait.polled_target.target and target != wait.polled_target.target:
            self._targets.remove_wait(wait)
            self._targets.add_wait(wait, target)
        wait.polled_at = now
        self._schedule(wait, interval, now)

    def remove(self, wait: ScheduledWait) -> None:
        """Remove a wait, whether or not a request for it is in flight."""
        wait.due = math.inf
        self._targets.remove_wait(wait)
        wait.is_scheduled = False
        self._wait_count -= 1

    def clear(self) -> None:
        """Forget everything but the back-off; results of polls that were in flight are ignored from now on."""
        for state in (self._heap, self._queue, self._in_flight, self._targets):
            state.clear()
        self._wait_count = self._load = 0

    # -- when to poll

    def next_wakeup(self) -> float:
        """Return when to call :meth:`due` next, infinity if nothing is scheduled."""
        return self._heap[0][0] if self._heap else math.inf

    def due(self, now: float) -> list[Poll]:
        """Return the polls to send now; others that are due stay queued until a result was reported.

        :param now: the current time.
        """
        if self._heap and self._heap[0][0] <= now:
            self._enqueue_due(now)
        return self.take_queued(now)

    def _schedule(self, wait: ScheduledWait, interval: float, now: float) -> None:
        if now + interval < self._backoff.until:
            self._push_after_backoff(wait, interval, now)
            return
        time = align(now + interval, interval, is_shared=wait.polled_target.is_shared)
        wait.is_last = time >= wait.deadline
        if wait.is_last:
            time = self._align_last(wait, max(now + interval, wait.deadline), interval)
        self._push(wait, time, interval)

    def _push_after_backoff(self, wait: ScheduledWait, interval: float, now: float) -> None:
        # At random: if waits that were held back polled together, they would be rate-limited again.
        time = self._backoff.until + self._spread() * max(interval, MIN_SPREAD_SECONDS)
        latest = max(now, self._backoff.get_latest(wait))
        wait.is_last = latest <= time
        self._push(wait, self._align_last(wait, latest, interval) if wait.is_last else time, interval)

    @staticmethod
    def _align_last(wait: ScheduledWait, time: float, interval: float) -> float:
        # By the interval before, as the polls so far: the time left until the deadline differs from wait to wait.
        return align(time, max(interval, wait.interval), is_shared=wait.polled_target.is_shared)

    def _push(self, wait: ScheduledWait, due: float, interval: float) -> None:
        wait.due, wait.interval = due, interval
        wait.first_poll_at = min(wait.first_poll_at, due)
        if len(self._heap) > MAX_OUTDATED_ENTRIES + 2 * self._wait_count:
            self._heap = [entry for entry in self._heap if entry[0] == entry[2].due]
            heapify(self._heap)
        heappush(self._heap, (due, next(self._entry_numbers), wait))

    def _poll_again(self, waits: Iterable[ScheduledWait], now: float) -> None:
        """Reschedule those waits that were due; those that joined early are still scheduled."""
        for wait in waits:
            if wait.due > now:
                continue
            if self._backoff.allows(wait, now):
                self._push(wait, now, wait.interval)
            else:
                self._push_after_backoff(wait, wait.interval, now)

    # -- which targets share a request

    def _enqueue_due(self, now: float) -> None:
        targets = dict.fromkeys(self._pop_due(now))
        batches: dict[Hashable, list[PolledTarget]] = {}
        for polled_target in targets:
            if polled_target.can_batch:
                batches.setdefault(polled_target.batch_key, []).append(polled_target)
        for batch in batches.values():
            self._enqueue_batch(batch, now)
        for polled_target in targets:
            if not polled_target.in_flight:
                self._enqueue(Poll((polled_target,)))

    def _pop_due(self, now: float) -> Iterator[PolledTarget]:
        is_backing_off = now < self._backoff.until
        while self._heap and self._heap[0][0] <= now:
            due, _, wait = heappop(self._heap)
            if due != wait.due or wait.polled_target.in_flight:
                continue
            if not is_backing_off or self._backoff.allows(wait, now):
                yield wait.polled_target
            else:
                self._push_after_backoff(wait, wait.interval, now)

    def _enqueue_batch(self, due: Sequence[PolledTarget], now: float) -> None:
        """Enqueue batches of the targets that are due and those that may join, if they are enough."""
        by_id = due[0].batches_by_id
        # Where a list is read, all others join at no cost.
        targets = (*due, *self._find_joining(due, EARLY_JOIN_FRACTION if by_id else 1.0, now))
        if len(targets) < due[0].min_batch_size:
            return
        if not by_id:
            self._enqueue(Poll(targets, len(due), is_batch=True))
            return
        for start in range(0, len(targets), self.max_batch_size):
            batch = targets[start : start + self.max_batch_size]
            self._enqueue(Poll(batch, len(batch), is_batch=True))

    def _find_joining(self, due: Sequence[PolledTarget], fraction: float, now: float) -> list[PolledTarget]:
        excluded = set(due)
        joining: list[PolledTarget] = []
        for polled_target in self._targets.iter_batch(due[0].batch_key):
            if polled_target.in_flight or polled_target in excluded:
                continue
            if polled_target.batches_by_id and not polled_target.can_batch:
                continue
            for wait in polled_target.waits:  # takes a third of the time of any()
                if wait.due - fraction * wait.interval <= now and self._may_join(wait, now):
                    joining.append(polled_target)
                    break
        return joining

    def _may_join(self, wait: ScheduledWait, now: float) -> bool:
        # The last poll must not be early: the wait would have to poll once more at its deadline.
        is_early_enough = wait.due <= now or not wait.is_last
        return is_early_enough and wait.first_poll_at <= now and self._backoff.allows(wait, now)

    def _enqueue(self, poll: Poll) -> None:
        self._queue.append(poll)
        for polled_target in poll.targets:
            polled_target.in_flight = True

    def take_queued(self, now: float) -> list[Poll]:
        """Return the queued polls that can be sent now, as after a result.

        :param now: the current time.
        """
        polls: list[Poll] = []
        while self._queue and self._load < MAX_CONCURRENT_REQUESTS:
            poll = self._queue.popleft()
            if not poll.wait_count:
                self._clear_in_flight(poll.targets)
                continue
            self._load += poll.load
            self._in_flight.add(poll)
            poll.sent_at = now
            polls.append(poll)
        return polls

    # -- what polls brought

    def on_result(self, poll: Poll, result: Seen | BatchResult, now: float) -> dict[PolledTarget, Seen]:
        """Record the result of a poll, and return what it brought for each target.

        Targets with a response stay in flight until :meth:`take_recipients`; those without are polled individually.

        :param poll: a poll that :meth:`due` returned.
        :param result: the result of a single poll or a batch.
        :param now: the current time.
        """
        if poll not in self._in_flight:  # everything was cleared meanwhile
            return {}
        error = result.error if isinstance(result, BatchResult) else result
        if isinstance(error, FlowRunsError):
            if self._backoff.on_error(error, now):
                self._hold_back_queue(now)
        else:
            self._backoff.on_success()
        seen = self._match(poll, result)
        self._finish(poll)
        for polled_target in poll.targets:
            if polled_target not in seen:
                self._clear_in_flight((polled_target,))
                self._poll_again(polled_target.waits, now)
        return seen

    def on_failure(self, poll: Poll) -> None:
        """Record that a poll failed because of a bug; its waits must have failed before.

        :param poll: a poll that :meth:`due` returned.
        """
        if poll in self._in_flight:
            self._finish(poll)
            self._clear_in_flight(poll.targets)

    def take_recipients(self, poll: Poll, seen: dict[PolledTarget, Seen], now: float) -> list[ScheduledWait]:
        """Return the waits that take the responses of a poll; each must be rescheduled or removed.

        A wait whose first poll was not due when the request was sent is not among them: the response may be older
        than the wait.

        :param poll: the poll.
        :param seen: what :meth:`on_result` returned for it.
        :param now: the current time.
        """
        self._clear_in_flight(seen)
        recipients: list[ScheduledWait] = []
        for polled_target in seen:
            for wait in polled_target.waits:
                if wait.first_poll_at <= poll.sent_at:
                    wait.due = math.inf
                    recipients.append(wait)
                else:
                    self._poll_again((wait,), now)
        return recipients

    def _match(self, poll: Poll, result: Seen | BatchResult) -> dict[PolledTarget, Seen]:
        if poll.is_batch and isinstance(result, FlowRunsError):
            result = BatchResult({}, error=result)
        if not isinstance(result, BatchResult):
            return {poll.targets[0]: result}
        if result.bytes_per_run:
            fitting = MAX_BATCH_RESPONSE_BYTES // result.bytes_per_run
            self.max_batch_size = max(MIN_BATCH_SIZE, min(MAX_BATCH_SIZE, fitting))
        error = result.error
        if error and not (error.transient or isinstance(error, AuthenticationError)):
            error = None  # each target may still be readable individually
        seen: dict[PolledTarget, Seen] = {}
        for number, polled_target in enumerate(poll.targets):
            runs = result.found.get(polled_target.target)
            if runs is not None:
                polled_target.can_batch = True
                seen[polled_target] = runs
            elif number >= poll.required_count:
                continue
            elif error:
                seen[polled_target] = error
            else:
                polled_target.can_batch = False
        return seen

    def _hold_back_queue(self, now: float) -> None:
        polls = list(self._queue)
        self._queue.clear()
        for poll in polls:
            self._clear_in_flight(poll.targets)
            self._poll_again(poll.waits, now)

    def _finish(self, poll: Poll) -> None:
        self._in_flight.discard(poll)
        self._load -= poll.load

    def _clear_in_flight(self, targets: Iterable[PolledTarget]) -> None:
        for polled_target in targets:
            polled_target.in_flight = False
            if not polled_target.waits:
                self._targets.discard_if_unused(polled_target)


def _get_reason(wait: ScheduledWait, sent_at: float) -> PollReason:
    if wait.due > sent_at:
        return PollReason.JOINED_EARLY
    if wait.is_last:
        return PollReason.DEADLINE
    return PollReason.FIRST if wait.polled_at == -math.inf else PollReason.DUE
