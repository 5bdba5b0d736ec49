"""
The poll hub: all waits of one event loop and connection, looked after together.

Waits for the same thing share a request; runs that the service shows together are asked for together; waits that are
due soon come along with those that are due now. Each wait keeps its own deadline and its own patience with errors.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.services.errors import ApiError, AuthenticationError, FlowRunsError, RateLimited
from airflow_provider_flowruns.services.model import FlowRun, Sighting, Target
from airflow_provider_flowruns.services.registry import SERVICES
from airflow_provider_flowruns.waiting.clock import Clock
from airflow_provider_flowruns.waiting.usual import UsualDurations

#: A wait comes along with others when it is due within this share of its time to sleep.
COME_ALONG = 0.2
#: Waits that can share a request are due at whole multiples of about this share of their time to sleep.
GRID = 0.1
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
    """What a wait says after a look: how long to sleep, or its end; see ``waiting.watch.Decision``."""

    @property
    def wait(self) -> float:
        """Seconds to sleep."""

    @property
    def verdict(self) -> E_co | None:
        """The end of the wait, None while it goes on."""


class Wait(Protocol[E_co]):
    """What the hub looks after; see ``waiting.watch.Watch``."""

    @property
    def target(self) -> Target:
        """What to look at next."""

    @property
    def deadline(self) -> float:
        """Unix time at which it wants a look, however long the service asks to be left alone."""

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> Step[E_co]:
        """
        Take one look's result.

        :param seen: the runs that were read, newest first, or the error that came instead.
        :param now: Unix time of the look.
        """


class _Waiter(Generic[E_co]):
    """A wait, who hears of its steps, and when it is due."""

    __slots__ = ("context", "done", "due", "not_before", "sleep", "target", "tell", "wait")

    def __init__(self, wait: Wait[E_co], tell: Callable[[Any], None], not_before: float) -> None:
        self.wait = wait
        self.tell = tell
        # The triggerer knows by context variables whose log a line belongs to; a hub's requests run in somebody else's.
        self.context = copy_context()
        self.target = wait.target
        self.not_before = not_before
        self.done: asyncio.Future[E_co] = asyncio.get_running_loop().create_future()
        self.due = 0.0
        self.sleep = 0.0


@dataclass(frozen=True, slots=True)
class _Look:
    """One request to be: a target, or several that the service shows together."""

    targets: tuple[Target, ...]
    together: bool

    @property
    def load(self) -> int:
        """How much of what may be under way at a time it takes."""
        return LARGE_REQUEST if len(self.targets) > 1 else 1


class Hub:
    """
    Looks after the waits of one client.

    :param client: sends the requests.
    :param usual: learns the durations of runs from what is seen.
    """

    def __init__(self, client: AsyncClient, usual: UsualDurations) -> None:
        self.usual = usual
        self._client = client
        self._clock = Clock()
        self._waiters: dict[Target, dict[_Waiter[Any], None]] = {}
        self._count = 0
        self._together: dict[Hashable, dict[Target, None]] = {}
        #: What was not found where it should have shown up together with others.
        self._alone: set[Target] = set()
        self._agenda: list[tuple[float, int, _Waiter[Any]]] = []
        self._numbers = count()
        self._armed_for = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._queue: deque[_Look] = deque()
        self._asked: set[Target] = set()
        self._requests: set[asyncio.Task[None]] = set()
        self._load = 0
        self._turn = asyncio.Lock()
        self._most = MOST_TOGETHER
        self._not_before = 0.0
        self._refusals = 0

    async def until_over(self, wait: Wait[E_co], tell: Callable[[Any], None], first: float) -> E_co:
        """
        Look after a wait until it is over, and return its end.

        :param wait: the wait; nobody else may step it meanwhile.
        :param tell: hears every step, in the context of this call.
        :param first: seconds until its first look; no answer that others asked for reaches it before.
        """
        waiter = _Waiter(wait, tell, self._clock.now() + first)
        self._enter(waiter)
        self._schedule(waiter, first)
        try:
            return await waiter.done
        finally:
            self._leave(waiter)

    # -- who waits for what

    def _enter(self, waiter: _Waiter[Any]) -> None:
        target = waiter.target
        self._waiters.setdefault(target, {})[waiter] = None
        self._count += 1
        if (key := SERVICES[target.service].shared_by(target)) is not None:
            self._together.setdefault(key, {})[target] = None

    def _leave(self, waiter: _Waiter[Any]) -> None:
        self._forget(waiter)
        waiter.due = 0.0
        if not self._waiters:
            self._give_up()

    def _give_up(self) -> None:
        for request in self._requests:
            request.cancel()
        self._requests.clear()
        self._queue.clear()
        self._asked.clear()
        self._agenda.clear()
        self._load = 0
        self._arm()

    def _forget(self, waiter: _Waiter[Any]) -> None:
        target = waiter.target
        waiters = self._waiters[target]
        del waiters[waiter]
        self._count -= 1
        if waiters:
            return
        del self._waiters[target]
        self._alone.discard(target)
        key = SERVICES[target.service].shared_by(target)
        if key in self._together:
            self._together[key].pop(target, None)
            if not self._together[key]:
                del self._together[key]

    # -- when

    def _schedule(self, waiter: _Waiter[Any], sleep: float) -> None:
        due = self._clock.now() + sleep
        if due < self._not_before:
            due = self._after_hold(waiter, sleep)
        elif sleep > 0 and self._can_share(waiter.target):
            due = min(_on_grid(due, GRID * sleep), max(due, waiter.wait.deadline))
        self._put_down(waiter, due, sleep)

    def _can_share(self, target: Target) -> bool:
        if len(self._waiters[target]) > 1:
            return True
        return target not in self._alone and SERVICES[target.service].shared_by(target) is not None

    def _after_hold(self, waiter: _Waiter[Any], sleep: float) -> float:
        # Spread out anew: else all that were held up come at once and are refused again.
        spread = random.random() * max(sleep, 1.0)
        return min(self._not_before + spread, max(self._clock.now(), waiter.wait.deadline))

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
        due: dict[Target, None] = {}
        while self._agenda and self._agenda[0][0] <= now:
            moment, _, waiter = heappop(self._agenda)
            if moment != waiter.due or waiter.target in self._asked:
                continue
            if self._may_ask(waiter, now):
                due[waiter.target] = None
            else:
                self._put_down(waiter, self._after_hold(waiter, waiter.sleep), waiter.sleep)
        for look in self._looks_at(due, now):
            self._queue.append(look)
            self._asked.update(look.targets)
        self._send()
        self._arm()

    def _may_ask(self, waiter: _Waiter[Any], now: float) -> bool:
        return now >= self._not_before or now >= waiter.wait.deadline

    def _hold(self, error: FlowRunsError) -> None:
        """Leave the service alone for as long as it asks, with everything that has not been sent yet."""
        asked = error.retry_after if isinstance(error, ApiError) else None
        if asked is None and not isinstance(error, RateLimited):
            return
        now = self._clock.now()
        if now >= self._not_before:
            self._refusals = min(self._refusals + 1, 10)
        hold = asked or min(LONGEST_HOLD, FIRST_HOLD * 2.0 ** (self._refusals - 1))
        self._not_before = max(self._not_before, now + hold)
        held = [target for look in self._queue for target in look.targets]
        self._queue.clear()
        self._asked.difference_update(held)
        for target in held:
            for waiter in self._waiters.get(target, {}):
                if waiter.due <= now:  # the others came along and still stand on the agenda
                    self._put_down(waiter, self._after_hold(waiter, waiter.sleep), waiter.sleep)

    # -- what is asked together

    def _looks_at(self, due: Iterable[Target], now: float) -> Iterator[_Look]:
        shared: set[Hashable] = set()
        for target in due:
            service = SERVICES[target.service]
            key = None if target in self._alone else service.shared_by(target)
            if key is None:
                yield _Look((target,), together=False)
            elif key not in shared:
                shared.add(key)
                # Where they are looked for in a list of all, the others cost nothing.
                by_id, fewest = service.info.asks_by_id, service.info.fewest_together
                targets = self._coming_along(key, COME_ALONG if by_id else 1.0, now)
                yield from self._shared_looks(targets, fewest, self._most if by_id else max(1, len(targets)))

    def _shared_looks(self, targets: Sequence[Target], fewest: int, most: int) -> Iterator[_Look]:
        for start in range(0, len(targets), most):
            some = tuple(targets[start : start + most])
            if len(some) >= fewest:
                yield _Look(some, together=True)
            else:
                yield from (_Look((target,), together=False) for target in some)

    def _coming_along(self, key: Hashable, share: float, now: float) -> list[Target]:
        busy = self._asked | self._alone
        return [target for target in self._together[key] if target not in busy and self._may_come(target, share, now)]

    def _may_come(self, target: Target, share: float, now: float) -> bool:
        for waiter in self._waiters[target]:
            is_due = waiter.not_before <= now and waiter.due - share * waiter.sleep <= now
            if is_due and self._may_ask(waiter, now):
                return True
        return False

    # -- asking

    def _send(self) -> None:
        while self._queue and self._load < MOST_REQUESTS:
            look = self._queue.popleft()
            if not any(target in self._waiters for target in look.targets):
                self._asked.difference_update(look.targets)
                continue
            self._load += look.load
            request = asyncio.create_task(self._serve(look))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)

    async def _serve(self, look: _Look) -> None:
        asked_at = self._clock.now()
        seen: Mapping[Target, Seen] = {}
        try:
            seen = await self._look(look)
        except Exception as error:  # a fault of ours; the waits must end with it instead of hanging
            self._fail(look, error)
        finally:
            if asyncio.current_task() in self._requests:  # else it was given up on, and all it took was given back
                self._load -= look.load
                self._asked.difference_update(target for target in look.targets if target not in seen)
                self._send()
        await self._step_all(seen, asked_at)

    def _fail(self, look: _Look, error: Exception) -> None:
        for target in look.targets:
            for waiter in self._waiters.get(target, {}):
                if not waiter.done.done():
                    waiter.done.set_exception(error)

    async def _look(self, look: _Look) -> Mapping[Target, Seen]:
        if not look.together:
            (target,) = look.targets
            return {target: self._noted(await self._client.look(target))}
        sighting = await self._client.look_at_all(look.targets, self._most)
        if isinstance(sighting, FlowRunsError):
            self._noted(sighting)
            if sighting.transient or isinstance(sighting, AuthenticationError):
                return dict.fromkeys(look.targets, sighting)
            sighting = Sighting({})  # asked one by one, each may still have an answer
        self._noted(sighting.runs)
        if sighting.bytes_per_run:
            self._most = max(FEWEST_TOGETHER, min(MOST_TOGETHER, LARGEST_ANSWER // sighting.bytes_per_run))
        self._look_alone([target for target in look.targets if target not in sighting.found])
        return sighting.found

    def _look_alone(self, targets: Iterable[Target]) -> None:
        now = self._clock.now()
        for target in targets:
            for waiter in self._waiters.get(target, {}):
                self._alone.add(target)
                if waiter.not_before <= now:
                    self._schedule(waiter, 0.0)

    def _noted(self, seen: Seen) -> Seen:
        if isinstance(seen, FlowRunsError):
            self._hold(seen)
        else:
            self._refusals = 0
            self.usual.learn(seen)
        return seen

    async def _step_all(self, seen: Mapping[Target, Seen], asked_at: float) -> None:
        # One answer at a time: twenty of them at once would hold up the loop.
        async with self._turn:
            self._asked.difference_update(seen)
            for number, (waiter, runs) in enumerate(self._take_up(seen, asked_at), 1):
                if not waiter.done.done():
                    self._step(waiter, runs)
                if number % STEPS_IN_A_ROW == 0:
                    await asyncio.sleep(0)

    def _take_up(self, seen: Mapping[Target, Seen], asked_at: float) -> list[tuple[_Waiter[Any], Seen]]:
        """Return who is to step with what; an answer asked for before a wait's first look was due is not for it."""
        now = self._clock.now()
        taken: list[tuple[_Waiter[Any], Seen]] = []
        for target, runs in seen.items():
            for waiter in self._waiters.get(target, {}):
                if waiter.not_before <= asked_at:
                    waiter.due = math.inf  # until it has stepped
                    taken.append((waiter, runs))
                elif waiter.due <= now:
                    self._schedule(waiter, 0.0)
        return taken

    def _step(self, waiter: _Waiter[Any], seen: Seen) -> None:
        try:
            step = waiter.wait.step(seen, self._clock.now())
            waiter.context.run(waiter.tell, step)
            target = waiter.wait.target
        except Exception as error:
            waiter.done.set_exception(error)
            return
        if step.verdict is not None:
            waiter.done.set_result(step.verdict)
            return
        if target != waiter.target:
            self._forget(waiter)
            waiter.target = target
            self._enter(waiter)
        self._schedule(waiter, step.wait)


def _on_grid(moment: float, width: float) -> float:
    """Return the next multiple of the power of two at or below a width: grids of different widths meet."""
    step = 2.0 ** math.floor(math.log2(width))
    return math.ceil(moment / step) * step


#: A hub knows its client, so the client must not keep its hub.
_hubs: WeakValueDictionary[AsyncClient, Hub] = WeakValueDictionary()
#: Outlives the clients: what is learnt while one wait lasts serves the next one.
_usual: dict[tuple[str, str], UsualDurations] = {}


def hub_of(client: AsyncClient, service: str, conn_id: str) -> Hub:
    """
    Return the hub that everyone shares who waits with a client.

    :param client: the client, shared by all who wait on a connection in this event loop.
    :param service: registry name of the connection's service.
    :param conn_id: the connection's id.
    """
    hub = _hubs.get(client)
    if hub is None:
        usual = _usual.setdefault((service, conn_id), UsualDurations())
        hub = _hubs[client] = Hub(client, usual)
    return hub
