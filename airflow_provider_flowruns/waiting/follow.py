"""
The state machine that follows a flow: it says once of every run that it has ended.

Like the watch it does no I/O and has no clock. What it has said, and which runs it has seen going, is its cursor, which
can be stored: whoever goes on with it misses no end and repeats none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_flowruns.services.errors import FlowRunsError, NotFound
from airflow_provider_flowruns.services.model import Disposition, FlowRun, Kind, Lifecycle, Target
from airflow_provider_flowruns.waiting.watch import HEARTBEAT, News

SCHEMA = 1
#: So many runs are read when the newest ones are all new, to find those in between.
FURTHER_BACK = 1_000
#: So many ended runs are remembered at least; more than one look brings.
REMEMBERED = 200
#: A flow that cannot be read, for a reason that does not pass by itself, is tried again after so many seconds.
PATIENCE = 300.0
#: Seconds for which a failure that the service itself may mend is not taken as an end.
RECOVERY_GRACE = 300.0


@dataclass(frozen=True, slots=True)
class Ended:
    """
    What is new after a look: the cursor has moved.

    :param runs: summaries of the runs that have ended since, in the order of their ends.
    """

    runs: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class FollowStep:
    """
    What to do next.

    :param wait: seconds to sleep before the next look.
    :param verdict: what is new; None when nothing is.
    :param news: lines for the log.
    """

    wait: float
    verdict: Ended | None = None
    news: tuple[News, ...] = ()


@dataclass(slots=True)
class _Cursor:
    #: Run id to how it ended, those seen last at the end.
    ended: dict[str, str] = field(default_factory=dict)
    #: Ids of runs that were going when they were last seen.
    going: dict[str, None] = field(default_factory=dict)


class Follow:
    """
    Follows a flow; :meth:`step` takes what was seen and says what has ended since.

    The first look ever is the baseline: what has ended by then is no news.

    :param service: registry name of the service.
    :param flow_id: the flow's id.
    :param interval: seconds between two looks.
    :param dispositions: the ends that are told of; others are passed over.
    :param saved: where an earlier one left off, from :meth:`to_json`; None for a first look.
    """

    #: It goes on for ever.
    deadline = math.inf

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
        self._cursor = _loaded(saved)
        self._lost: list[str] = []
        self._is_further_back = False
        self._told_key, self._told_at = "", 0.0

    @property
    def target(self) -> Target:
        """What to look at next: the flow's newest runs, or a run that was going and is not among them any more."""
        if self._lost:
            return Target(self._service, Kind.RUN, self._flow_id, self._lost[-1])
        newest = FURTHER_BACK if self._is_further_back else None
        return Target(self._service, Kind.FLOW_RUNS, self._flow_id, newest=newest)

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> FollowStep:
        """
        Take one look's result and say what is new.

        :param seen: the runs that were read, newest first, or the error that came instead.
        :param now: Unix time of the look.
        """
        if isinstance(seen, FlowRunsError):
            return self._missed(seen, now)
        self._told_key = ""
        before = self.to_json()
        ended = self._looked_at_lost(seen, now) if self._lost else self._looked_at_newest(seen, now)
        return FollowStep(self.sleep, Ended(ended) if self.to_json() != before else None)

    @property
    def sleep(self) -> float:
        """Seconds to sleep before the next look; none while there is more to be seen."""
        return 0.0 if self._lost or self._is_further_back else self._interval

    def to_json(self) -> str | None:
        """Return the cursor as JSON text; None before the first look."""
        if self._cursor is None:
            return None
        return json.dumps({"schema": SCHEMA, "ended": self._cursor.ended, "going": list(self._cursor.going)})

    def _looked_at_newest(self, runs: Sequence[FlowRun], now: float) -> tuple[dict[str, Any], ...]:
        if self._cursor is None:
            self._cursor = _Cursor()
            self._note(runs, now)
            return ()
        cursor = self._cursor
        known = [run.run_id in cursor.ended or run.run_id in cursor.going for run in runs]
        if runs and not any(known) and not self._is_further_back and (cursor.ended or cursor.going):
            self._is_further_back = True
            return ()
        if self._is_further_back:
            # Whatever lies behind a run that is known has been seen; it may only have been forgotten since.
            runs = runs[: known.index(True)] if any(known) else runs
            self._is_further_back = False
        ended = self._note(runs, now)
        listed = {run.run_id for run in runs}
        self._lost = [run_id for run_id in cursor.going if run_id not in listed]
        return ended

    def _looked_at_lost(self, runs: Sequence[FlowRun], now: float) -> tuple[dict[str, Any], ...]:
        self._lost.pop()
        return self._note(runs, now)

    def _note(self, runs: Sequence[FlowRun], now: float) -> tuple[dict[str, Any], ...]:
        """Bring the cursor up to date and return the summaries of what has ended."""
        cursor = self._cursor
        if cursor is None:
            return ()
        news = []
        for run in reversed(runs):
            if run.run_id is None:
                continue
            if _is_going(run, now):
                cursor.going[run.run_id] = None
                cursor.ended.pop(run.run_id, None)  # it runs again: its next end is news
                continue
            cursor.going.pop(run.run_id, None)
            end = f"{run.disposition}/{run.attempt or ''}"
            if cursor.ended.pop(run.run_id, None) != end and run.disposition in self._dispositions:
                news.append(run)
            cursor.ended[run.run_id] = end
        for forgotten in list(cursor.ended)[: -max(REMEMBERED, len(runs))]:
            del cursor.ended[forgotten]
        news.sort(key=lambda run: run.completed_at.timestamp() if run.completed_at else now)
        return tuple(run.summary() for run in news)

    def _missed(self, error: FlowRunsError, now: float) -> FollowStep:
        if self._lost and isinstance(error, NotFound) and self._cursor:
            self._cursor.going.pop(self._lost.pop(), None)  # deleted: it will not end any more
            return FollowStep(self.sleep, Ended(()))
        wait = self._interval if error.transient else max(self._interval, PATIENCE)
        key = type(error).__name__
        if key == self._told_key and now - self._told_at < HEARTBEAT:
            return FollowStep(wait)
        self._told_key, self._told_at = key, now
        text = f"flow {self._flow_id} cannot be looked at, trying again every {wait:.0f} s: {error}"
        return FollowStep(wait, news=(News(text, is_warning=True),))


def _is_going(run: FlowRun, now: float) -> bool:
    if run.lifecycle is not Lifecycle.NOT_RUNNING or run.disposition is Disposition.NONE:
        return True
    ended_at = run.completed_at.timestamp() if run.completed_at else now
    return run.may_recover and now - ended_at < RECOVERY_GRACE


def _loaded(saved: str | None) -> _Cursor | None:
    cursor = json.loads(saved) if saved else None
    if not isinstance(cursor, dict) or cursor.get("schema") != SCHEMA:
        return None
    return _Cursor(dict(cursor["ended"]), dict.fromkeys(cursor["going"]))
