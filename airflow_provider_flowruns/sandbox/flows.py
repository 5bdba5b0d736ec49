"""Flows: a named list of runs, with plans for the next runs and an optional schedule."""

from __future__ import annotations

import bisect
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Unpack

from airflow_provider_flowruns.sandbox.runs import RunOptions, RunPlan, SandboxRun, StatusNames, Timeline
from airflow_provider_flowruns.sandbox.state import SandboxState, floor_to_milliseconds

RunT = TypeVar("RunT", bound=SandboxRun)

MAX_RUNS_PER_FLOW = 100_000
"""Maximum number of runs kept per flow; the oldest are dropped first."""
MAX_SCHEDULED_RUNS_PER_UPDATE = 1_000
"""Maximum number of overdue scheduled runs that are created at once."""


@dataclass
class _Schedule:
    interval: float
    next_at: float
    plan: RunPlan


class SandboxFlow(ABC, Generic[RunT]):
    """One flow of one service. Subclasses create runs of that service.

    :param state: the sandbox's shared state.
    :param status_names: the service's status names.
    :param service: name of the service.
    :param flow_id: id of the flow, in the type that the service uses.
    :param name: display name.
    :param runs_by_id: the service's runs by id, which the flow keeps up to date.
    :param on_delete: called with this flow by :meth:`delete`.
    """

    def __init__(
        self,
        *,
        state: SandboxState,
        status_names: StatusNames,
        service: str,
        flow_id: Any,
        name: str,
        runs_by_id: MutableMapping[Any, RunT],
        on_delete: Callable[[Any], None],
    ) -> None:
        self.id = flow_id
        self.name = name
        self.created = floor_to_milliseconds(state.clock())
        self.state = state
        self.status_names = status_names
        self._service = service
        self._runs_by_id = runs_by_id
        self._on_delete = on_delete
        self._runs: list[RunT] = []
        self._queue: deque[RunT] = deque()
        self._next_plans: deque[RunPlan] = deque()
        self._default_plan = self._build_plan(None, {})
        self._schedule: _Schedule | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name!r}>"

    @property
    def runs(self) -> list[RunT]:
        """The flow's runs, oldest first, including scheduled runs that are due by now."""
        with self.state.lock:
            self.advance(self.state.clock())
            return list(self._runs)

    def add_run(self, timeline: Timeline | None = None, **options: Unpack[RunOptions]) -> RunT:
        """Add a run that was not started through the API. Its options are those of :class:`RunOptions`.

        :param timeline: pairs of (seconds after creation, status name of the service) in ascending order.
        :return: the run.
        :raises ValueError: the timeline is invalid.
        """
        plan = self._build_plan(timeline, options)
        with self.state.lock:
            now = self.state.clock()
            self.advance(now)
            return self.insert(self.create_run(now - plan.ago, plan.trigger or self.status_names.manual_trigger, plan))

    def next_run(
        self, timeline: Timeline | None = None, *, always: bool = False, **options: Unpack[RunOptions]
    ) -> None:
        """Define how the next run that is started through the API proceeds. Each call adds one run to a queue.

        The options are those of :class:`RunOptions`.

        :param timeline: as for :meth:`add_run`.
        :param always: use this for every run after the queue is empty, instead of for one run.
        :raises ValueError: the timeline is invalid.
        """
        plan = self._build_plan(timeline, options)
        with self.state.lock:
            if always:
                self._default_plan = plan
            else:
                self._next_plans.append(plan)

    def schedule(self, every: float, timeline: Timeline | None = None, **options: Unpack[RunOptions]) -> None:
        """Create runs on a schedule. A second call replaces the schedule.

        The options are those of :class:`RunOptions`; ``ago`` is the age of the schedule in seconds.

        :param every: seconds between two runs, and before the first one.
        :param timeline: as for :meth:`add_run`.
        :raises ValueError: ``every`` is not positive, or the timeline is invalid.
        """
        if every <= 0:
            raise ValueError(f"every must be a positive number of seconds, not {every!r}.")
        plan = self._build_plan(timeline, options)
        with self.state.lock:
            self._schedule = _Schedule(every, self.state.clock() - plan.ago + every, plan)

    def pause_schedule(self, seconds: float) -> None:
        """Delay the next scheduled run, as if the schedule had been paused for some time; nothing without a schedule.

        :param seconds: for how long.
        """
        with self.state.lock:
            self.advance(self.state.clock())
            if self._schedule is not None:
                self._schedule.next_at += seconds

    def delete(self) -> None:
        """Delete the flow with all its runs, as a user may do in the service."""
        with self.state.lock:
            for run in self._runs:
                del self._runs_by_id[run.id]
            self._runs.clear()
            self._queue.clear()
            self._schedule = None
            self._on_delete(self)

    # Internal to the sandbox: callers hold the lock

    @abstractmethod
    def create_run(self, created: float, trigger: str, plan: RunPlan) -> RunT:
        """Create a run of this service without adding it to the list.

        :param created: time of creation in epoch seconds.
        :param trigger: what triggered it, in the service's words.
        :param plan: how it proceeds.
        """

    def advance(self, now: float) -> None:
        """Apply everything that is due by now: create scheduled runs and start queued runs."""
        if self._schedule is not None and self._schedule.next_at <= now:
            self._create_scheduled_runs(self._schedule, now)
        self.start_queued_runs(now)

    def list_visible_runs(self, now: float) -> list[RunT]:
        """Return the runs that API reads find by now, oldest first."""
        self.advance(now)
        return [run for run in self._runs if run.is_visible(now)]

    def pop_plan(self) -> RunPlan:
        """Return the plan for a run that is being started through the API."""
        return self._next_plans.popleft() if self._next_plans else self._default_plan

    def start_run(self, now: float) -> RunT:
        """Start a run through the API with the next plan, and record it in the ledger."""
        self.advance(now)
        plan = self.pop_plan()
        run = self.insert(self.create_run(now - plan.ago, plan.trigger or self.status_names.api_trigger, plan))
        self.state.ledger.record_started(self._service, self.id, run.id, now)
        return run

    def insert(self, run: RunT) -> RunT:
        """Insert a run into the list, ordered by time of creation."""
        bisect.insort(self._runs, run, key=lambda other: other.created)
        self._runs_by_id[run.id] = run
        if len(self._runs) > MAX_RUNS_PER_FLOW:
            del self._runs_by_id[self._runs.pop(0).id]
        return run

    def queue_run(self, run: RunT, after: RunT) -> None:
        """Keep a run waiting until another run has ended.

        :param run: the run to queue.
        :param after: the run that has to end first.
        """
        run.queue_after(after)
        self._queue.append(run)

    def start_queued_runs(self, now: float) -> None:
        """Start the queued runs whose predecessors have ended by now."""
        while self._queue and self._queue[0].start_if_possible(now):
            self._queue.popleft()

    def insert_scheduled_run(self, run: RunT, now: float) -> None:
        """Insert a run that the schedule created. Subclasses may queue it while another run is active.

        :param run: the run, created at its time in the schedule.
        :param now: time of the update in epoch seconds.
        """
        self.insert(run)

    def _create_scheduled_runs(self, schedule: _Schedule, now: float) -> None:
        due_count = math.floor((now - schedule.next_at) / schedule.interval) + 1
        skipped = max(due_count - MAX_SCHEDULED_RUNS_PER_UPDATE, 0)
        first_at = schedule.next_at + skipped * schedule.interval
        schedule.next_at += due_count * schedule.interval
        trigger = schedule.plan.trigger or self.status_names.schedule_trigger
        for number in range(due_count - skipped):
            run = self.create_run(first_at + number * schedule.interval, trigger, schedule.plan)
            self.insert_scheduled_run(run, now)

    def _build_plan(self, timeline: Timeline | None, options: RunOptions) -> RunPlan:
        return RunPlan.build(self.status_names, timeline, options)
