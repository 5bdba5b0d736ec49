"""Flows: a named list of runs, with what the next run will do and an optional schedule."""

from __future__ import annotations

import bisect
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Unpack

from airflow_provider_flowruns.sandbox.runs import RunOptions, RunPlan, SandboxRun, Timeline, Vocabulary
from airflow_provider_flowruns.sandbox.world import World, whole_milliseconds

RunT = TypeVar("RunT", bound=SandboxRun)

MAX_RUNS = 100_000
"""So many runs are kept per flow; the oldest are dropped first."""
MAX_CATCH_UP = 1_000
"""A schedule that was not looked at for long makes up for so many runs at most."""


@dataclass
class _Schedule:
    every: float
    next_at: float
    plan: RunPlan


class SandboxFlow(ABC, Generic[RunT]):
    """One flow of one service. Subclasses say how to make a run of that service.

    :param world: the sandbox's shared state.
    :param words: the service's vocabulary.
    :param service: name of the service.
    :param flow_id: id of the flow, in the service's own type.
    :param name: display name.
    :param index: the service's runs by id, which the flow keeps up to date.
    :param forget: called with this flow by :meth:`delete`.
    """

    def __init__(
        self,
        *,
        world: World,
        words: Vocabulary,
        service: str,
        flow_id: Any,
        name: str,
        index: MutableMapping[Any, RunT],
        forget: Callable[[Any], None],
    ) -> None:
        self.id = flow_id
        self.name = name
        self.created = whole_milliseconds(world.clock())
        self.world = world
        self.words = words
        self._service = service
        self._index = index
        self._forget = forget
        self._runs: list[RunT] = []
        self._held: deque[RunT] = deque()
        self._next: deque[RunPlan] = deque()
        self._always = self._plan(None, {})
        self._schedule: _Schedule | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name!r}>"

    @property
    def runs(self) -> list[RunT]:
        """The flow's runs, oldest first, with those that a schedule has brought by now."""
        with self.world.lock:
            self.advance(self.world.clock())
            return list(self._runs)

    def add_run(self, timeline: Timeline | None = None, **options: Unpack[RunOptions]) -> RunT:
        """Add a run that nobody started through the API.

        :param timeline: (seconds after creation, status in the service's word) in ascending order.
        :param options: see :class:`RunOptions`.
        :return: the run.
        :raises ValueError: for an impossible timeline.
        """
        plan = self._plan(timeline, options)
        with self.world.lock:
            now = self.world.clock()
            self.advance(now)
            return self.insert(self.new_run(now - plan.ago, plan.trigger or self.words.by_hand, plan))

    def next_run(
        self, timeline: Timeline | None = None, *, always: bool = False, **options: Unpack[RunOptions]
    ) -> None:
        """Say how the next run that is started through the API will go. Each call adds one to a queue.

        :param timeline: as for :meth:`add_run`.
        :param always: all runs go like this once the queue is used up (until said otherwise again).
        :param options: see :class:`RunOptions`.
        :raises ValueError: for an impossible timeline.
        """
        plan = self._plan(timeline, options)
        with self.world.lock:
            if always:
                self._always = plan
            else:
                self._next.append(plan)

    def schedule(self, every: float, timeline: Timeline | None = None, **options: Unpack[RunOptions]) -> None:
        """Let runs appear by themselves. A second call replaces the first one's schedule.

        :param every: seconds between two runs; the first one comes after so long.
        :param timeline: as for :meth:`add_run`.
        :param options: see :class:`RunOptions`; ``ago`` means that the schedule began so many seconds ago.
        :raises ValueError: when ``every`` is not positive, or for an impossible timeline.
        """
        if every <= 0:
            raise ValueError("A schedule needs a positive number of seconds.")
        plan = self._plan(timeline, options)
        with self.world.lock:
            self._schedule = _Schedule(every, self.world.clock() - plan.ago + every, plan)

    def delete(self) -> None:
        """Delete the flow with all its runs, as somebody may do at the service."""
        with self.world.lock:
            for run in self._runs:
                del self._index[run.id]
            self._runs.clear()
            self._held.clear()
            self._schedule = None
            self._forget(self)

    # What follows is for the sandbox's own modules, which hold the lock.

    @abstractmethod
    def new_run(self, created: float, trigger: str, plan: RunPlan) -> RunT:
        """Make a run of this service, without putting it in the list.

        :param created: epoch seconds at which it came to be.
        :param trigger: what triggered it, in the service's word.
        :param plan: how it will go.
        """

    def advance(self, now: float) -> None:
        """Let happen what had to happen by now: scheduled runs appear, held runs begin."""
        if self._schedule is not None and self._schedule.next_at <= now:
            self._catch_up(self._schedule, now)
        self.release_held(now)

    def visible_runs(self, now: float) -> list[RunT]:
        """List the runs that reads find by now, oldest first."""
        self.advance(now)
        return [run for run in self._runs if run.visible(now)]

    def take_plan(self) -> RunPlan:
        """Give the plan of the run that is being started through the API."""
        return self._next.popleft() if self._next else self._always

    def start(self, now: float) -> RunT:
        """Start a run through the API, by the next plan, and write it in the ledger."""
        self.advance(now)
        plan = self.take_plan()
        run = self.insert(self.new_run(now - plan.ago, plan.trigger or self.words.by_api, plan))
        self.world.ledger.note_started(self._service, self.id, run.id, now)
        return run

    def insert(self, run: RunT) -> RunT:
        """Put a run where it belongs by its time of creation."""
        bisect.insort(self._runs, run, key=lambda other: other.created)
        self._index[run.id] = run
        if len(self._runs) > MAX_RUNS:
            del self._index[self._runs.pop(0).id]
        return run

    def hold(self, run: RunT, until: RunT) -> None:
        """Keep a run waiting until another one has ended.

        :param run: a run that is to wait.
        :param until: the run that is in its way.
        """
        run.hold(until)
        self._held.append(run)

    def release_held(self, now: float) -> None:
        """Let held runs begin for which the way is free by now."""
        while self._held and self._held[0].release(now):
            self._held.popleft()

    def insert_scheduled(self, run: RunT, now: float) -> None:
        """Put a run that the schedule brings in the list. A service may do otherwise while another one runs.

        :param run: the run, created at its own time in the schedule.
        :param now: epoch seconds of the look that made it appear.
        """
        self.insert(run)

    def _catch_up(self, schedule: _Schedule, now: float) -> None:
        due = math.floor((now - schedule.next_at) / schedule.every) + 1
        skipped = max(due - MAX_CATCH_UP, 0)
        first = schedule.next_at + skipped * schedule.every
        schedule.next_at += due * schedule.every
        trigger = schedule.plan.trigger or self.words.by_schedule
        for number in range(due - skipped):
            self.insert_scheduled(self.new_run(first + number * schedule.every, trigger, schedule.plan), now)

    def _plan(self, timeline: Timeline | None, options: RunOptions) -> RunPlan:
        return RunPlan.build(self.words, timeline, options)
