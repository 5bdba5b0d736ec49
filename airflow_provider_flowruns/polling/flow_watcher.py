"""The state machine that follows a flow: it says once of every run that it has ended.

Like the watch it does no I/O and has no clock. What it has said, and which runs it has seen going, is its cursor, which
can be stored: whoever goes on with it misses no end and repeats none. A run whose end was not delivered yet is stored
as one that is going, so that its end is still to be said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from airflow_provider_flowruns.model.errors import FlowRunsError, NotFoundError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Lifecycle, RunSummary
from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget, Target
from airflow_provider_flowruns.polling.messages import HEARTBEAT_INTERVAL_SECONDS, LogMessage
from airflow_provider_flowruns.polling.run_waiter import MAX_AHEAD_SECONDS

SCHEMA = 1
#: So many of the newest runs are read; more when all of those are new, to find the ones in between.
PAGE_SIZES = (None, 100, 1_000)
#: So many ended runs are remembered; more than an ordinary look brings.
MAX_REMEMBERED = 200
#: Characters of the stored cursor at most; Airflow warns from 64 KiB on.
LARGEST_CURSOR = 60_000
#: So many runs that are going, but are not among the newest any more, are looked at in a round, in turn.
LOST_A_ROUND = 5
#: A flow that cannot be read, for a reason that does not pass by itself, is tried again after so many seconds.
PERMANENT_ERROR_INTERVAL_SECONDS = 300.0
#: Seconds for which a failure that the service itself may mend is not taken as an end.
RECOVERY_GRACE = 300.0


@dataclass(frozen=True, slots=True)
class CompletedRuns:
    """What is new after a look: the cursor has moved.

    :param runs: summaries of the runs whose ends are to be delivered, in the order of their ends.
    """

    runs: tuple[RunSummary, ...]


@dataclass(frozen=True, slots=True)
class FlowWatcherStep:
    """What to do next.

    :param wait: seconds to sleep before the next look.
    :param result: what is new; None when nothing is.
    :param messages: lines for the log.
    """

    wait: float
    result: CompletedRuns | None = None
    messages: tuple[LogMessage, ...] = ()


@dataclass(slots=True)
class _Cursor:
    #: Run id to how it ended and when, as Unix time; those seen last at the end.
    ended: dict[str, tuple[str, float]] = field(default_factory=dict)
    #: Ids of runs that were going when they were last seen; those seen last at the end.
    going: dict[str, None] = field(default_factory=dict)
    #: Unix time on the service's clock: what had ended by then, and is not known otherwise, is no news.
    high_water_mark: float = 0.0
    #: Run id to the summary of a run whose end was not delivered yet, in the order of the ends.
    undelivered: dict[str, RunSummary] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> Self | None:
        try:
            saved = json.loads(text)
            if saved["schema"] != SCHEMA:
                return None
            ended = {str(run_id): (str(end), float(at)) for run_id, (end, at) in saved["ended"].items()}
            return cls(ended, dict.fromkeys(map(str, saved["going"])), float(saved["old"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def to_json(self) -> str:
        ended = {run_id: end for run_id, end in self.ended.items() if run_id not in self.undelivered}
        going = list(self.going | dict.fromkeys(self.undelivered))
        return json.dumps({"schema": SCHEMA, "ended": ended, "going": going, "old": self.high_water_mark})

    def copy(self) -> Self:
        return replace(self, ended=dict(self.ended), going=dict(self.going), undelivered=dict(self.undelivered))

    def knows(self, run: FlowRun) -> bool:
        return run.run_id in self.ended or run.run_id in self.going

    def record(self, runs: Sequence[FlowRun], now: float) -> list[FlowRun]:
        """Take up what was seen, and return the runs that have ended since, oldest first."""
        messages = []
        for run in reversed(runs):
            if run.run_id is None:
                continue
            was_going = run.run_id in self.going
            self.going.pop(run.run_id, None)
            known = self.ended.pop(run.run_id, None)
            if _is_going(run, now):
                self.going[run.run_id] = None
                continue
            end, at = _end_of(run), _last_moment(run, now)
            if was_going or (known[0] != end if known else at is None or at > self.high_water_mark):
                messages.append(run)
            self.ended[run.run_id] = (end, at or 0.0)
        return sorted(messages, key=lambda run: _last_moment(run, now) or now)

    def forget(self) -> None:
        """Leave out what was seen longest ago, so that it can be stored."""
        for run_id in list(self.ended)[:-MAX_REMEMBERED]:
            self.high_water_mark = max(self.high_water_mark, self.ended.pop(run_id)[1])
        excess = len(self.to_json()) - LARGEST_CURSOR
        for run_id in list(self.going):
            if excess <= 0:
                break
            del self.going[run_id]
            excess -= len(run_id)


class FlowWatcher:
    """Follows a flow; :meth:`step` takes what was seen and says what has ended since.

    The first look ever is the baseline: what has ended by then is no news. A run that goes once more under its own id
    is news again, as long as it is among the flow's newest ones.

    :param service: registry name of the service.
    :param flow_id: the flow's id.
    :param interval: seconds between two looks.
    :param dispositions: the ends that are told of; others are passed over.
    :param saved: where an earlier one left off, from :meth:`to_json`; None for a first look.
    """

    #: It goes on for ever.
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
        self._depth = self._first_depth()
        self._lost: list[str] = []
        self._told_key, self._told_at = "", 0.0

    @property
    def target(self) -> Target:
        """What to look at next: the flow's newest runs, or a run that was going and is not among them any more."""
        if self._lost:
            return RunTarget(self._service, self._lost[0], self._flow_id)
        return NewestRunsTarget(self._service, self._flow_id, PAGE_SIZES[self._depth])

    @property
    def sleep(self) -> float:
        """Seconds to sleep before the next look; none while there is more to be seen."""
        return 0.0 if self._lost or self._depth else self._interval

    def to_json(self) -> str | None:
        """Return the cursor as JSON text; None before the first look."""
        return self._cursor.to_json() if self._cursor else None

    def mark_delivered(self, runs: Iterable[RunSummary]) -> None:
        """Take it that the ends of some runs have arrived; the others are part of the next verdict again.

        :param runs: summaries from a verdict.
        """
        for run in runs:
            if self._cursor and run["run_id"]:
                self._cursor.undelivered.pop(run["run_id"], None)

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> FlowWatcherStep:
        """Take one look's result and say what is new.

        :param seen: the runs that were read, newest first, or the error that came instead.
        :param now: Unix time of the look.
        """
        if isinstance(seen, FlowRunsError):
            return self._missed(seen, now)
        self._told_key = ""
        service_now = now + self.vendor_offset
        if self._cursor is None:
            self._cursor = self._begin(seen, service_now)
            return FlowWatcherStep(self.sleep, CompletedRuns(()))
        # On a copy: if anything here fails, nothing of this look counts as said.
        cursor = self._cursor.copy()
        for run in self._looked(cursor, seen, service_now):
            if run.run_id and run.disposition in self._dispositions:
                cursor.undelivered[run.run_id] = run.summary()
        has_moved = cursor != self._cursor
        self._cursor = cursor
        return FlowWatcherStep(self.sleep, self._verdict() if has_moved or cursor.undelivered else None)

    def _first_depth(self) -> int:
        """Return how far back the first look goes: far enough to show the runs that were going, all at once."""
        if self._cursor is None:
            return 1
        count = len(self._cursor.going)
        depths = (depth for depth, newest in enumerate(PAGE_SIZES) if count <= (newest or LOST_A_ROUND))
        return next(depths, len(PAGE_SIZES) - 1)

    def _verdict(self) -> CompletedRuns:
        return CompletedRuns(tuple(self._cursor.undelivered.values()) if self._cursor else ())

    def _begin(self, runs: Sequence[FlowRun], now: float) -> _Cursor:
        cursor = _Cursor()
        cursor.record(runs, now)
        cursor.high_water_mark = max((_last_moment(run, now) or 0.0 for run in runs), default=0.0)
        self._depth = 0
        return cursor

    def _looked(self, cursor: _Cursor, runs: Sequence[FlowRun], now: float) -> list[FlowRun]:
        if self._lost:
            del self._lost[0]
            return cursor.record(runs, now)
        if self._may_be_more(cursor, runs):
            self._depth += 1
            return []
        self._depth = 0
        messages = cursor.record(runs, now)
        cursor.forget()
        listed = {run.run_id for run in runs}
        self._lost = [run_id for run_id in cursor.going if run_id not in listed][:LOST_A_ROUND]
        return messages

    def _may_be_more(self, cursor: _Cursor, runs: Sequence[FlowRun]) -> bool:
        """Whether there may be further runs that are new, behind these."""
        if not runs or self._depth + 1 == len(PAGE_SIZES) or len(runs) < (PAGE_SIZES[self._depth] or 1):
            return False
        return not any(map(cursor.knows, runs))

    def _missed(self, error: FlowRunsError, now: float) -> FlowWatcherStep:
        if self._lost and self._cursor:
            # It has its turn again after all others; one that was deleted will not end any more.
            run_id = self._lost.pop(0)
            self._cursor.going.pop(run_id, None)
            if isinstance(error, NotFoundError):
                return FlowWatcherStep(self.sleep, self._verdict())
            self._cursor.going[run_id] = None
        wait = self._interval if error.transient else max(self._interval, PERMANENT_ERROR_INTERVAL_SECONDS)
        key = type(error).__name__
        if key == self._told_key and now - self._told_at < HEARTBEAT_INTERVAL_SECONDS:
            return FlowWatcherStep(wait)
        self._told_key, self._told_at = key, now
        text = f"flow {self._flow_id} cannot be looked at, trying again every {wait:.0f} s: {error}"
        return FlowWatcherStep(wait, messages=(LogMessage(text, is_warning=True),))


def _is_going(run: FlowRun, now: float) -> bool:
    if run.lifecycle is not Lifecycle.NOT_RUNNING or run.disposition is Disposition.NONE:
        return True
    ended_at = _believed(run.completed_at, now)
    return run.may_recover and ended_at is not None and now - ended_at < RECOVERY_GRACE


def _end_of(run: FlowRun) -> str:
    """Tell the ends of one run from each other: a run that goes once more has another attempt or another start."""
    return f"{run.disposition}/{run.attempt or run.started_at or ''}"


def _last_moment(run: FlowRun, now: float) -> float | None:
    ended_at = _believed(run.completed_at, now)
    return _believed(run.created_at, now) if ended_at is None else ended_at


def _believed(moment: datetime | None, now: float) -> float | None:
    """Return a run's time as Unix time; None when there is none, or it lies too far ahead to be true."""
    if moment is None or moment.timestamp() > now + MAX_AHEAD_SECONDS:
        return None
    return moment.timestamp()
