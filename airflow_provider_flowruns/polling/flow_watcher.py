"""The state machine that watches a flow and reports each completed run once.

Like the run waiter, it does no I/O and has no clock. Its cursor contains the reported and the active runs. It can be
stored: a watcher that continues from it neither misses nor repeats a run. A run whose report was not delivered is
stored as active, so that it is reported again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import msgspec
from msgspec.structs import replace

from airflow_provider_flowruns.model import saved
from airflow_provider_flowruns.model.errors import FlowRunsError, NotFoundError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Lifecycle, RunSummary
from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget, Target
from airflow_provider_flowruns.polling.freshness import to_unix
from airflow_provider_flowruns.polling.messages import HEARTBEAT_INTERVAL_SECONDS, LogMessage

#: Numbers of newest runs to poll; None is the service's usual page. The next one is used if all runs are unknown.
PAGE_SIZES = (None, 100, 1_000)
#: Maximum number of completed runs in the cursor: more than one poll usually returns.
MAX_COMPLETED_RUNS = 200
#: Maximum length of the stored cursor. Airflow warns above 64 KiB.
MAX_CURSOR_CHARS = 60_000
#: Maximum number of active runs that are polled individually in a round, because they are no longer on the page.
MAX_OFF_PAGE_POLLS = 5
#: Polling interval after a permanent error, in seconds.
PERMANENT_ERROR_INTERVAL_SECONDS = 300.0
#: Seconds for which a failed run that the service may still recover counts as active.
RECOVERY_GRACE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class CompletedRuns:
    """The runs to report after a poll that changed the cursor.

    :param runs: summaries of the completed runs, in order of completion.
    """

    runs: tuple[RunSummary, ...]


@dataclass(frozen=True, slots=True)
class FlowWatcherStep:
    """What to do next.

    :param wait: seconds until the next poll.
    :param result: the runs to report, None if the cursor did not change.
    :param messages: lines for the log.
    """

    wait: float
    result: CompletedRuns | None = None
    messages: tuple[LogMessage, ...] = ()


class SavedCursor(msgspec.Struct, frozen=True):
    """A watcher's cursor as it is stored.

    :param completed: outcome and Unix time of completion of the reported runs, by run id.
    :param active: ids of the runs that were active, or whose report was not delivered.
    :param high_water_mark: Unix time; unknown runs that completed by then are not reported.
    """

    schema: ClassVar[int] = 1

    completed: dict[str, tuple[str, float]]
    active: list[str]
    high_water_mark: float


class _Cursor(msgspec.Struct):
    #: By run id: the outcome and the Unix time of completion. The most recently polled run is last.
    completed: dict[str, tuple[str, float]] = msgspec.field(default_factory=dict)
    #: Ids of the runs that were active in their last poll. The most recently polled run is last.
    active: dict[str, None] = msgspec.field(default_factory=dict)
    #: Unknown runs that completed at or before this time, on the service's clock, are not reported.
    high_water_mark: float = 0.0
    #: By run id: the summaries of completed runs that were not delivered yet, in order of completion.
    undelivered: dict[str, RunSummary] = msgspec.field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> Self | None:
        try:
            cursor = saved.from_json(text, SavedCursor)
        except ValueError:
            return None
        return cls(cursor.completed, dict.fromkeys(cursor.active), cursor.high_water_mark)

    def to_json(self) -> str:
        completed = {run_id: end for run_id, end in self.completed.items() if run_id not in self.undelivered}
        active = list(self.active | dict.fromkeys(self.undelivered))
        return saved.to_json(SavedCursor(completed, active, self.high_water_mark))

    def copy(self) -> Self:
        return replace(
            self, completed=dict(self.completed), active=dict(self.active), undelivered=dict(self.undelivered)
        )

    def knows(self, run: FlowRun) -> bool:
        return run.run_id in self.completed or run.run_id in self.active

    def record(self, runs: Sequence[FlowRun], now: float) -> list[FlowRun]:
        """Update the cursor from polled runs, and return those that completed since, in order of completion."""
        completed = []
        for run in reversed(runs):
            if run.run_id is None:
                continue
            was_active = run.run_id in self.active
            self.active.pop(run.run_id, None)
            known = self.completed.pop(run.run_id, None)
            if _is_active(run, now):
                self.active[run.run_id] = None
                continue
            key, at = _get_completion_key(run), _get_last_time(run, now)
            if was_active or (known[0] != key if known else at is None or at > self.high_water_mark):
                completed.append(run)
            self.completed[run.run_id] = (key, at or 0.0)
        return sorted(completed, key=lambda run: _get_last_time(run, now) or now)

    def trim(self) -> None:
        """Remove the runs polled longest ago, so that the cursor can be stored."""
        for run_id in list(self.completed)[:-MAX_COMPLETED_RUNS]:
            self.high_water_mark = max(self.high_water_mark, self.completed.pop(run_id)[1])
        excess = len(self.to_json()) - MAX_CURSOR_CHARS
        for run_id in list(self.active):
            if excess <= 0:
                break
            del self.active[run_id]
            excess -= len(run_id)


class FlowWatcher:
    """Watches a flow; :meth:`step` takes the result of a poll and returns the runs that completed since.

    The first poll is the baseline: runs that completed before are not reported. A run that is retried under its own id
    is reported again, provided it is among the flow's newest runs.

    :param service: registry name of the service.
    :param flow_id: the flow's id.
    :param interval: seconds between two polls.
    :param dispositions: the outcomes to report.
    :param saved: the cursor of an earlier watcher, from :meth:`to_json`; None to start with a first poll.
    """

    #: It never ends.
    deadline = error_budget = math.inf
    #: Seconds by which the service's clock is ahead of ours, set by its driver.
    vendor_offset = 0.0

    def __init__(
        self,
        service: str,
        flow_id: str,
        interval: float,
        dispositions: Iterable[Disposition],
        saved: str | None = None,
    ) -> None:
        self._service, self._flow_id, self._interval = service, flow_id, interval
        self._dispositions = frozenset(dispositions)
        self._cursor = _Cursor.from_json(saved) if saved else None
        self._depth = self._get_first_depth()
        self._off_page_run_ids: list[str] = []
        self._last_message_key, self._last_message_at = "", 0.0

    @property
    def target(self) -> Target:
        """What to poll next: the flow's newest runs, or an active run that is no longer among them."""
        if self._off_page_run_ids:
            return RunTarget(self._service, self._off_page_run_ids[0], self._flow_id)
        return NewestRunsTarget(self._service, self._flow_id, PAGE_SIZES[self._depth])

    @property
    def sleep(self) -> float:
        """Seconds until the next poll, 0 if further runs must be polled in this round."""
        return 0.0 if self._off_page_run_ids or self._depth else self._interval

    def to_json(self) -> str | None:
        """Return the cursor as JSON text, None before the first poll."""
        return self._cursor.to_json() if self._cursor else None

    def mark_delivered(self, runs: Iterable[RunSummary]) -> None:
        """Record that runs were delivered. The others are part of the next result again.

        :param runs: summaries from a result.
        """
        for run in runs:
            if self._cursor and run["run_id"]:
                self._cursor.undelivered.pop(run["run_id"], None)

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> FlowWatcherStep:
        """Take the result of a poll.

        :param seen: the runs that were read, newest first, or the error that came instead.
        :param now: Unix time of the poll.
        """
        if isinstance(seen, FlowRunsError):
            return self._on_error(seen, now)
        self._last_message_key = ""
        service_now = now + self.vendor_offset
        if self._cursor is None:
            self._cursor = self._create_cursor(seen, service_now)
            return FlowWatcherStep(self.sleep, CompletedRuns(()))
        # On a copy: if an exception is raised here, the runs of this poll must be reported by a later one.
        cursor = self._cursor.copy()
        for run in self._on_runs(cursor, seen, service_now):
            if run.run_id and run.disposition in self._dispositions:
                cursor.undelivered[run.run_id] = run.brief_summary()
        has_changed = cursor != self._cursor
        self._cursor = cursor
        return FlowWatcherStep(self.sleep, self._get_result() if has_changed or cursor.undelivered else None)

    def measure_delays(self, now: float) -> tuple[float, ...]:
        """Return the seconds since the end of each run in the last result.

        :param now: Unix time of the last step.
        """
        if self._cursor is None:
            return ()
        completed = self._cursor.completed
        ends = (completed[run_id][1] for run_id in self._cursor.undelivered if run_id in completed)
        return tuple(max(0.0, now + self.vendor_offset - end) for end in ends if end)

    def _get_first_depth(self) -> int:
        """Return the index of the first page size: large enough for all active runs of the stored cursor."""
        if self._cursor is None:
            return 1
        count = len(self._cursor.active)
        depths = (depth for depth, size in enumerate(PAGE_SIZES) if count <= (size or MAX_OFF_PAGE_POLLS))
        return next(depths, len(PAGE_SIZES) - 1)

    def _get_result(self) -> CompletedRuns:
        return CompletedRuns(tuple(self._cursor.undelivered.values()) if self._cursor else ())

    def _create_cursor(self, runs: Sequence[FlowRun], now: float) -> _Cursor:
        cursor = _Cursor()
        cursor.record(runs, now)
        cursor.high_water_mark = max((_get_last_time(run, now) or 0.0 for run in runs), default=0.0)
        self._depth = 0
        return cursor

    def _on_runs(self, cursor: _Cursor, runs: Sequence[FlowRun], now: float) -> list[FlowRun]:
        if self._off_page_run_ids:
            del self._off_page_run_ids[0]
            return cursor.record(runs, now)
        if self._may_have_more(cursor, runs):
            self._depth += 1
            return []
        self._depth = 0
        completed = cursor.record(runs, now)
        cursor.trim()
        listed = {run.run_id for run in runs}
        self._off_page_run_ids = [run_id for run_id in cursor.active if run_id not in listed][:MAX_OFF_PAGE_POLLS]
        return completed

    def _may_have_more(self, cursor: _Cursor, runs: Sequence[FlowRun]) -> bool:
        """Return whether there may be unknown runs that are older than these."""
        if not runs or self._depth + 1 == len(PAGE_SIZES) or len(runs) < (PAGE_SIZES[self._depth] or 1):
            return False
        return not any(map(cursor.knows, runs))

    def _on_error(self, error: FlowRunsError, now: float) -> FlowWatcherStep:
        if self._off_page_run_ids and self._cursor:
            # It is polled again after all other active runs, unless it was deleted.
            run_id = self._off_page_run_ids.pop(0)
            self._cursor.active.pop(run_id, None)
            if isinstance(error, NotFoundError):
                return FlowWatcherStep(self.sleep, self._get_result())
            self._cursor.active[run_id] = None
        wait = self._interval if error.transient else max(self._interval, PERMANENT_ERROR_INTERVAL_SECONDS)
        key = type(error).__name__
        if key == self._last_message_key and now - self._last_message_at < HEARTBEAT_INTERVAL_SECONDS:
            return FlowWatcherStep(wait)
        self._last_message_key, self._last_message_at = key, now
        text = f"flow {self._flow_id} cannot be polled, trying again every {wait:.0f} s: {error}"
        return FlowWatcherStep(wait, messages=(LogMessage(text, is_warning=True),))


def _is_active(run: FlowRun, now: float) -> bool:
    if run.lifecycle is not Lifecycle.NOT_RUNNING or run.disposition is Disposition.NONE:
        return True
    completed_at = to_unix(run.completed_at, now)
    return run.may_recover and completed_at is not None and now - completed_at < RECOVERY_GRACE_SECONDS


def _get_completion_key(run: FlowRun) -> str:
    """Return a key that differs between completions of the same run: a retry has another attempt or start time."""
    return f"{run.disposition}/{run.attempt or run.started_at or ''}"


def _get_last_time(run: FlowRun, now: float) -> float | None:
    completed_at = to_unix(run.completed_at, now)
    return to_unix(run.created_at, now) if completed_at is None else completed_at
