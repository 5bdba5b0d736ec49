"""The poll hub: all waits of one event loop and connection, looked after together.

Waits for the same thing share a request; runs that the service shows together are asked for together; waits that are
due soon come along with those that are due now. Each wait keeps its own deadline and its own patience with errors.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Generic, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.model.errors import AuthenticationError, FlowRunsError, RateLimitError
from airflow_provider_flowruns.model.runs import FlowRun, Kind
from airflow_provider_flowruns.model.targets import BatchResult, Target
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.intervals import requested_hold
from airflow_provider_flowruns.polling.run_waiter import LogMessage
from airflow_provider_flowruns.services.registry import get_service

#: A wait comes along with others when it is due within this share of its time to sleep.
EARLY_JOIN_FRACTION = 0.2
#: Waits that can share a request are due at whole multiples of about this share of their time to sleep.
ALIGNMENT_FRACTION = 0.1
#: Others are due at whole multiples of about so many seconds: answers that come together cost the loop half as much.
ALIGNMENT_SECONDS = 0.25
#: A wait's last poll may be up to this many seconds late, so that waits which end together share it too.
LONGEST_DELAY_SECONDS = 4.0
#: Requests under way at a time; one that brings many runs counts for several, because reading it takes longer.
MOST_REQUESTS = 20
LARGE_REQUEST = 5
#: Runs in one answer at most; fewer where they are large, because the loop stands still while one is read.
MOST_TOGETHER, FEWEST_TOGETHER = 100, 5
LARGEST_ANSWER = 256 * 1024
#: So many waits take their step before the loop gets its turn.
STEPS_IN_A_ROW = 50
#: So many entries of the agenda may be outdated before it is tidied up.
MOST_OUTDATED = 1_000
#: Seconds without requests after HTTP 429 that does not say how long; doubled each time, up to the second.
FIRST_HOLD, LONGEST_HOLD = 5.0, 60.0

Seen = tuple[FlowRun, ...] | FlowRunsError
E_co = TypeVar("E_co", covariant=True)


class Step(Protocol[E_co]):
    """What a wait says after a look: how long to sleep, or its end; see ``polling.run_waiter.Decision``."""

    @property
    def wait(self) -> float:
        """Seconds to sleep."""

    @property
    def result(self) -> E_co | None:
        """The end of the wait, None while it goes on."""

    @property
    def messages(self) -> tuple[LogMessage, ...]:
        """Lines for the log."""


class Wait(Protocol[E_co]):
    """What the hub looks after; see ``polling.run_waiter.Watch``."""

    @property
    def target(self) -> Target:
        """What to look at next."""

    @property
    def deadline(self) -> float:
        """Unix time at which it wants a look, however long the service asks to be left alone."""

    @property
    def error_budget(self) -> float:
        """Seconds for which it may be kept from polling because the service asks to be left alone."""

    #: Seconds by which the service's clock is ahead of ours; set before each step.
    vendor_offset: float

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> Step[E_co]:
        """Take one look's result.

        :param seen: the runs that were read, newest first, or the error that came instead.
        :param now: Unix time of the look.
        """


class _Watched:
    """A target, and who waits for it."""

    __slots__ = ("alone", "asked", "group", "target", "waiters")

    def __init__(self, target: Target) -> None:
        self.target = target
        #: Equal for targets that the service shows together, None where it shows this one by itself.
        self.group: Hashable | None = get_service(target.service).batch_key(target)
        self.waiters: dict[_Waiter[Any], None] = {}
        #: A request for it is under way, or stands in the queue.
        self.asked = False
        #: It was not found where it should have shown up together with others.
        self.alone = False

    @property
    def in_group(self) -> bool:
        """Whether it is looked at together with others when it is due."""
        return self.group is not None and not self.alone

    @property
    def can_share(self) -> bool:
        """Whether one request may serve more than one wait."""
        return self.in_group or len(self.waiters) > 1

    @property
    def batches_by_id(self) -> bool:
        """Whether a look at several names each of them; else others cost nothing where they are seen."""
        # The runs of starts have no ids yet: one list serves all of them.
        return get_service(self.target.service).info.batches_by_id and self.target.kind is Kind.RUN

    @property
    def min_batch_size(self) -> int:
        """From how many on a look at several is worth it."""
        return get_service(self.target.service).info.min_batch_size


class _Waiter(Generic[E_co]):
    """A wait, when it is due, and what its owner has not heard yet."""

    __slots__ = ("_error", "_news", "_verdict", "due", "is_last", "not_before", "sleep", "wait", "watched", "woken")

    def __init__(self, wait: Wait[E_co], watched: _Watched, not_before: float) -> None:
        self.wait = wait
        self.watched = watched
        self.not_before = not_before
        self.due = 0.0
        self.sleep = 0.0
        #: Its next poll is the last one: at its deadline.
        self.is_last = False
        self._news: tuple[LogMessage, ...] = ()
        self._verdict: E_co | None = None
        self._error: Exception | None = None
        self.woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        """Whether it takes no more steps: it has ended or failed, or its owner is leaving."""
        return self._verdict is not None or self._error is not None or self.woken.cancelled()

    def hear(self, step: Step[E_co]) -> None:
        """Take note of a step; the owner is woken only for what it has to know."""
        self._verdict = step.result
        if step.messages:
            self._news += step.messages
        if step.messages or step.result is not None:
            self._wake()

    def warn(self, text: str) -> None:
        """Have the owner log a warning."""
        self._news += (LogMessage(text, is_warning=True),)
        self._wake()

    def fail(self, error: Exception) -> None:
        """End with an error, unless it has ended already."""
        if not self.is_over:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)

    def take_news(self) -> tuple[LogMessage, ...]:
        """Return what the owner has not heard yet; ``woken`` is for what comes from now on."""
        messages, self._news = self._news, ()
        if not self.is_over:
            self.woken = asyncio.get_running_loop().create_future()
        return messages

    def end(self) -> E_co:
        """Return the end, or raise the error that came instead."""
        if self._error is not None:
            raise self._error
        return cast("E_co", self._verdict)


@dataclass(frozen=True, slots=True)
class _Look:
    """One request to be: for one target, or for several that the service shows together, first those that are due."""

    watched: tuple[_Watched, ...]
    due: int = 1
    together: bool = False

    @property
    def load(self) -> int:
        """How much of what may be under way at a time it takes."""
        return LARGE_REQUEST if len(self.watched) > 1 else 1

    @property
    def waiters(self) -> Iterator[_Waiter[Any]]:
        """All who wait for it."""
        return (waiter for watched in self.watched for waiter in watched.waiters)


class PollLoop:
    """Looks after the waits of one client.

    :param client: sends the requests.
    :param durations: learns the durations of runs from what is seen.
    """

    def __init__(self, client: AsyncClient, durations: RunDurations) -> None:
        self.durations = durations
        self._client = client
        self._clock = Clock()
        self._watched: dict[Target, _Watched] = {}
        self._groups: dict[Hashable, dict[_Watched, None]] = {}
        self._count = 0
        self._agenda: list[tuple[float, int, _Waiter[Any]]] = []
        self._numbers = count()
        self._armed_for = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._queue: deque[_Look] = deque()
        self._requests: set[asyncio.Task[None]] = set()
        self._load = 0
        self._turn = asyncio.Lock()
        self._most = MOST_TOGETHER
        #: No requests from the one time to the other, because the service asked for it.
        self._held_since = self._not_before = 0.0
        self._refusals = 0

    async def until_over(
        self, wait: Wait[E_co], log_messages: Callable[[tuple[LogMessage, ...]], None], first: float
    ) -> E_co:
        """Look after a wait until it is over, and return its end.

        :param wait: the wait; nobody else may step it meanwhile.
        :param log_messages: hears what the steps have to tell, in the caller's own task: the triggerer knows by its
            context whose log a line belongs to.
        :param first: seconds until its first look; no answer that others asked for reaches it before.
        """
        waiter = _Waiter(wait, self._watch(wait.target), self._clock.now() + first)
        self._enter(waiter)
        self._schedule(waiter, first)
        try:
            while True:
                await waiter.woken
                if messages := waiter.take_news():
                    log_messages(messages)
                if waiter.is_over:
                    return waiter.end()
        finally:
            self._leave(waiter)

    # -- who waits for what

    def _watch(self, target: Target) -> _Watched:
        watched = self._watched.get(target)
        if watched is None:
            watched = self._watched[target] = _Watched(target)
            if watched.group is not None:
                self._groups.setdefault(watched.group, {})[watched] = None
        return watched

    def _enter(self, waiter: _Waiter[Any]) -> None:
        waiter.watched.waiters[waiter] = None
        self._count += 1

    def _leave(self, waiter: _Waiter[Any]) -> None:
        waiter.due = 0.0
        self._forget(waiter)
        if not self._count:
            self._give_up()

    def _forget(self, waiter: _Waiter[Any]) -> None:
        del waiter.watched.waiters[waiter]
        self._count -= 1
        self._tidy(waiter.watched)

    def _tidy(self, watched: _Watched) -> None:
        # While it is asked for it stays, so that a newcomer does not ask for it a second time.
        if watched.waiters or watched.asked or self._watched.get(watched.target) is not watched:
            return
        del self._watched[watched.target]
        if watched.group is not None:
            group = self._groups[watched.group]
            del group[watched]
            if not group:
                del self._groups[watched.group]

    def _answered(self, watched: Iterable[_Watched]) -> None:
        for one in watched:
            one.asked = False
            self._tidy(one)

    def _give_up(self) -> None:
        for request in self._requests:
            request.cancel()
        for state in (self._requests, self._queue, self._agenda, self._watched, self._groups):
            state.clear()
        self._load = 0
        self._arm()

    # -- when

    def _schedule(self, waiter: _Waiter[Any], sleep: float) -> None:
        due = self._clock.now() + sleep
        if due < self._not_before:
            due = self._after_hold(waiter, sleep)
        elif sleep > 0:
            due = self._aligned(waiter, due, sleep)
        self._put_down(waiter, due, sleep)

    def _aligned(self, waiter: _Waiter[Any], due: float, sleep: float) -> float:
        """Return a moment at or after a due one at which others poll, too; not one beyond the wait's last poll."""
        aligned, deadline = _on_grid(due, self._width(waiter, sleep)), waiter.wait.deadline
        waiter.is_last = aligned >= deadline
        return self._last_due(waiter, max(due, deadline), sleep) if waiter.is_last else aligned

    def _last_due(self, waiter: _Waiter[Any], due: float, sleep: float) -> float:
        # Aligned by the sleep before, as the polls so far: what is left until a deadline differs from wait to wait.
        width = min(self._width(waiter, max(sleep, waiter.sleep)), LONGEST_DELAY_SECONDS)
        return _on_grid(due, width) if width > 0 else due

    def _width(self, waiter: _Waiter[Any], sleep: float) -> float:
        return (
            ALIGNMENT_FRACTION * sleep
            if waiter.watched.can_share
            else min(ALIGNMENT_SECONDS, ALIGNMENT_FRACTION * sleep)
        )

    def _after_hold(self, waiter: _Waiter[Any], sleep: float) -> float:
        # Spread out anew: else all that were held up come at once and are refused again.
        due = self._not_before + random.random() * max(sleep, 1.0)
        latest = max(self._clock.now(), self._latest(waiter))
        waiter.is_last = latest <= due
        return self._last_due(waiter, latest, sleep) if waiter.is_last else due

    def _latest(self, waiter: _Waiter[Any]) -> float:
        """Return the Unix time at which a wait polls though the service asks to be left alone."""
        return min(waiter.wait.deadline, self._held_since + waiter.wait.error_budget)

    def _put_down(self, waiter: _Waiter[Any], due: float, sleep: float) -> None:
        waiter.due, waiter.sleep = due, sleep
        waiter.not_before = min(waiter.not_before, due)
        if len(self._agenda) > MOST_OUTDATED + 2 * self._count:
            self._agenda = [entry for entry in self._agenda if entry[0] == entry[2].due]
            heapify(self._agenda)
        heappush(self._agenda, (due, next(self._numbers), waiter))
        if due < self._armed_for:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._agenda:
            self._timer, self._armed_for = None, math.inf
            return
        self._armed_for = self._agenda[0][0]
        delay = max(0.0, self._armed_for - self._clock.now())
        self._timer = asyncio.get_running_loop().call_later(delay, self._look_at_due)

    def _look_at_due(self) -> None:
        now = self._clock.now()
        due: dict[_Watched, None] = {}
        while self._agenda and self._agenda[0][0] <= now:
            moment, _, waiter = heappop(self._agenda)
            if moment != waiter.due or waiter.watched.asked:
                continue
            if self._may_ask(waiter, now):
                due[waiter.watched] = None
            else:
                self._put_down(waiter, self._after_hold(waiter, waiter.sleep), waiter.sleep)
        self._ask_for(due, now)
        self._send()
        self._arm()

    def _may_ask(self, waiter: _Waiter[Any], now: float) -> bool:
        return now >= self._not_before or now >= self._latest(waiter)

    def _hold(self, error: FlowRunsError) -> None:
        """Leave the service alone for as long as it asks, with everything that has not been sent yet."""
        asked = requested_hold(error)
        if asked is None and not isinstance(error, RateLimitError):
            return
        now = self._clock.now()
        if now >= self._not_before:
            self._refusals = min(self._refusals + 1, 10)
            self._held_since = now
        hold = asked or min(LONGEST_HOLD, FIRST_HOLD * 2.0 ** (self._refusals - 1))
        self._not_before = max(self._not_before, now + hold)
        held = list(self._queue)
        self._queue.clear()
        for poll in held:
            self._answered(poll.watched)
            for waiter in poll.waiters:
                if waiter.due <= now:  # the others came along and still stand on the agenda
                    self._put_down(waiter, self._after_hold(waiter, waiter.sleep), waiter.sleep)

    # -- what is asked together

    def _ask_for(self, due: Collection[_Watched], now: float) -> None:
        groups: dict[Hashable, list[_Watched]] = {}
        for watched in due:
            if watched.in_group:
                groups.setdefault(watched.group, []).append(watched)
        for some in groups.values():
            self._ask_together(some, now)
        for watched in due:
            if not watched.asked:
                self._put_in_queue(_Look((watched,)))

    def _ask_together(self, due: Sequence[_Watched], now: float) -> None:
        """Ask for some of one group, and for others of it that may come along, if they are enough."""
        first = due[0]
        # Where they are looked for in a list of all, all others cost nothing.
        several = (*due, *self._coming_along(due, EARLY_JOIN_FRACTION if first.batches_by_id else 1.0, now))
        if len(several) < first.min_batch_size:
            return
        if not first.batches_by_id:
            self._put_in_queue(_Look(several, len(due), together=True))
            return
        for start in range(0, len(several), self._most):
            some = several[start : start + self._most]
            self._put_in_queue(_Look(some, len(some), together=True))

    def _put_in_queue(self, poll: _Look) -> None:
        self._queue.append(poll)
        for watched in poll.watched:
            watched.asked = True

    def _coming_along(self, due: Sequence[_Watched], share: float, now: float) -> list[_Watched]:
        busy = set(due)
        return [
            watched
            for watched in self._groups[due[0].group]
            if not (watched.asked or (watched.alone and watched.batches_by_id) or watched in busy)
            and self._may_come(watched, share, now)
        ]

    def _may_come(self, watched: _Watched, share: float, now: float) -> bool:
        for waiter in watched.waiters:
            # One whose next poll is its last would have to poll once more all the same.
            early = 0.0 if waiter.is_last else share * waiter.sleep
            is_due = waiter.not_before <= now and waiter.due - early <= now
            if is_due and self._may_ask(waiter, now):
                return True
        return False

    # -- asking

    def _send(self) -> None:
        while self._queue and self._load < MOST_REQUESTS:
            poll = self._queue.popleft()
            if not any(poll.waiters):
                self._answered(poll.watched)
                continue
            self._load += poll.load
            request = asyncio.create_task(self._serve(poll))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)

    async def _serve(self, poll: _Look) -> None:
        asked_at = self._clock.now()
        seen: Mapping[_Watched, Seen] = {}
        vendor_clock = self._client.vendor_clock
        try:
            seen = await self._look(poll)
        except Exception as error:  # a fault of ours; the waits must end with it instead of hanging
            for waiter in poll.waiters:
                waiter.fail(error)
        finally:
            if asyncio.current_task() in self._requests:  # else it was given up on, and all it took was given back
                self._load -= poll.load
                self._answered(watched for watched in poll.watched if watched not in seen)
                self._send()
        await self._step_all(seen, asked_at, vendor_clock.offset_seconds)

    async def _look(self, poll: _Look) -> Mapping[_Watched, Seen]:
        if not poll.together:
            (watched,) = poll.watched
            return {watched: self._noted(await self._client.poll(watched.target))}
        targets = [watched.target for watched in poll.watched]
        sighting = await self._client.poll_batch(targets, poll.due, self._most)
        if isinstance(sighting, FlowRunsError):
            self._noted(sighting)
            if sighting.transient or isinstance(sighting, AuthenticationError):
                return dict.fromkeys(poll.watched, sighting)
            sighting = BatchResult({})  # asked one by one, each may still have an answer
        self._noted(sighting.runs)
        if sighting.bytes_per_run:
            self._most = max(FEWEST_TOGETHER, min(MOST_TOGETHER, LARGEST_ANSWER // sighting.bytes_per_run))
        seen: dict[_Watched, Seen] = {}
        for number, watched in enumerate(poll.watched):
            runs = sighting.found.get(watched.target)
            if runs is not None:
                watched.alone = False
                seen[watched] = runs
                continue
            watched.alone = watched.alone or number < poll.due
            self._look_again(watched)
        return seen

    def _look_again(self, watched: _Watched) -> None:
        now = self._clock.now()
        for waiter in watched.waiters:
            if waiter.due <= now:  # the others came along and still stand on the agenda
                self._schedule(waiter, 0.0)

    def _noted(self, seen: Seen) -> Seen:
        if isinstance(seen, FlowRunsError):
            self._hold(seen)
        else:
            self._refusals = 0
            self.durations.learn(seen)
        return seen

    async def _step_all(self, seen: Mapping[_Watched, Seen], asked_at: float, vendor_offset: float) -> None:
        # One answer at a time: twenty of them at once would hold up the loop.
        async with self._turn:
            self._answered(seen)
            taken = self._take_up(seen, asked_at)
            self._warn_of_clock(taken)
            for number, (waiter, runs) in enumerate(taken, 1):
                if not waiter.is_over:
                    waiter.wait.vendor_offset = vendor_offset
                    self._step(waiter, runs)
                if number % STEPS_IN_A_ROW == 0:
                    await asyncio.sleep(0)

    def _warn_of_clock(self, taken: Sequence[tuple[_Waiter[Any], Seen]]) -> None:
        """Have one of the waits warn of a clock that is off; each has done so already when it began."""
        waiter = next((waiter for waiter, _ in taken if not waiter.is_over), None)
        if waiter and (text := self._client.vendor_clock.warning()):
            waiter.warn(text)

    def _take_up(self, seen: Mapping[_Watched, Seen], asked_at: float) -> list[tuple[_Waiter[Any], Seen]]:
        """Return who is to step with what; an answer asked for before a wait's first look was due is not for it."""
        now = self._clock.now()
        taken: list[tuple[_Waiter[Any], Seen]] = []
        for watched, runs in seen.items():
            for waiter in watched.waiters:
                if waiter.not_before <= asked_at:
                    waiter.due = math.inf  # until it has stepped
                    taken.append((waiter, runs))
                elif waiter.due <= now:
                    self._schedule(waiter, 0.0)
        return taken

    def _step(self, waiter: _Waiter[Any], seen: Seen) -> None:
        try:
            step = waiter.wait.step(seen, self._clock.now())
            target = waiter.wait.target
        except Exception as error:
            waiter.fail(error)
            return
        waiter.hear(step)
        if step.result is not None:
            return
        if target is not waiter.watched.target and target != waiter.watched.target:
            self._forget(waiter)
            waiter.watched = self._watch(target)
            self._enter(waiter)
        self._schedule(waiter, step.wait)


def _on_grid(moment: float, width: float) -> float:
    """Return the next multiple of the power of two at or below a width: grids of different widths meet."""
    step = 2.0 ** math.floor(math.log2(width))
    return math.ceil(moment / step) * step


#: A hub knows its client, so the client must not keep its hub.
_hubs: WeakValueDictionary[AsyncClient, PollLoop] = WeakValueDictionary()
#: Outlives the clients: what is learnt while one wait lasts serves the next one.
_usual: dict[tuple[str, str], RunDurations] = {}


def get_poll_loop(client: AsyncClient, service: str, conn_id: str) -> PollLoop:
    """Return the hub that everyone shares who waits with a client.

    :param client: the client, shared by all who wait on a connection in this event loop.
    :param service: registry name of the connection's service.
    :param conn_id: the connection's id.
    """
    poll_loop = _hubs.get(client)
    if poll_loop is None:
        durations = _usual.setdefault((service, conn_id), RunDurations())
        poll_loop = _hubs[client] = PollLoop(client, durations)
    return poll_loop
