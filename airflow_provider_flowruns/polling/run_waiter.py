"""The one state machine that waits for a run.

It does no I/O and has no clock: whoever drives it looks at the target, tells the watch what was seen and when, and
sleeps as long as the watch says. A poking sensor, a trigger and a waiting operator differ only in who sleeps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from airflow_provider_flowruns.model.errors import AuthenticationError, FlowRunsError, NotFoundError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import StartMarker, Target
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.intervals import get_next_interval, get_requested_delay

#: Version of the JSON that :meth:`Watch.to_json` and :meth:`WaitResult.to_dict` write.
SCHEMA = 1

#: No wait is shorter, whatever is left until the deadline: no path spins.
SHORTEST_WAIT = 0.1
#: Seconds between two log lines of a wait in which nothing changes.
HEARTBEAT = 600.0
#: So many active runs of one flow are remembered.
_REMEMBERED = 50
#: A time that lies more than this many seconds ahead of the service's own clock is none: it counts as unknown.
MAX_AHEAD_SECONDS = 24 * 60 * 60.0


class Outcome(StrEnum):
    """How a wait ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"
    TIMED_OUT = "timed_out"
    #: Nobody could look for longer than the error budget; the run may still be going.
    UNOBSERVABLE = "unobservable"
    #: The service refuses to be asked: bad token, no permission, no such run.
    REFUSED = "refused"


_WORST_FIRST = (Outcome.FAILED, Outcome.CANCELED, Outcome.SKIPPED, Outcome.SUCCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitConfig:
    """What a wait is for and how far it goes; fixed before the first look. Times are Unix seconds, spans are seconds.

    :param service: registry name of the service.
    :param kind: what to look at, see :class:`Target`.
    :param flow_id: the flow's (or workflow's) id, None for a run that needs none.
    :param run_id: the run's id, None for a wait on a flow.
    :param marker: what was noted about the start, as a dict of :class:`StartMarker`; for the run of a start.
    :param appear_within: for which the run of a start may stay unseen, at first or later on.
    :param absent_hint: what to say, beside the fact, when it stays unseen for longer.
    :param decide_at: the run of a start decides from this time on; until then another may show that may be the one.
    :param interval: between two looks at most; the first ones come quicker, see :mod:`waiting.pace`.
    :param deadline: the wait ends then, after one more look.
    :param limited_by: the task's argument that sets the deadline, ``timeout`` or ``execution_timeout``.
    :param error_budget: without one good answer before giving up.
    :param completed_after: accept no run that ended earlier, on Airflow's clock.
    :param started_after: accept no run that started (Portable: was created) earlier, on Airflow's clock.
    :param ignore_ends_until: an end of the run up to then, on the service's clock, belongs to an earlier attempt of it.
    :param on_paused: what a paused run means: ``wait``, ``succeed``, ``fail`` or ``skip``.
    :param on_canceled: what a cancelled run means: ``fail`` or ``skip``.
    :param keep_waiting: take no failure as the end, only success and the deadline (a sensor's ``silent_fail``).
    :param recovery_grace: for which a failure that the service may still mend is not yet one.
    :param not_found_grace: for which an id that was never seen may be unknown.
    :param gone_grace: for which something that was seen before may be unknown.
    :param backoff: let the interval double from look to look instead.
    :param longest_interval: bound of a growing interval, None for none.
    """

    service: str
    kind: str
    flow_id: str | None = None
    run_id: str | None = None
    marker: dict[str, Any] | None = None
    appear_within: float | None = None
    absent_hint: str = ""
    decide_at: float | None = None
    interval: float
    deadline: float
    limited_by: str = "timeout"
    error_budget: float = 900.0
    completed_after: float | None = None
    started_after: float | None = None
    ignore_ends_until: float | None = None
    on_paused: str = "wait"
    on_canceled: str = "fail"
    keep_waiting: bool = False
    recovery_grace: float = 300.0
    not_found_grace: float = 0.0
    gone_grace: float = 120.0
    backoff: bool = False
    longest_interval: float | None = None

    @property
    def is_guarded(self) -> bool:
        """Whether only a run that is fresh enough counts."""
        return (self.completed_after, self.started_after, self.ignore_ends_until) != (None, None, None)


@dataclass(slots=True)
class WaitState:
    """What a wait remembers between two polls. Times are Unix seconds.

    :param begun: when the wait began.
    :param polls: number of polls so far.
    :param followed_run_id: id of the run that a wait on a flow, or on a start, has settled on.
    :param active: ids of the runs that were seen active, with the time of the last poll that showed them so.
    :param recoverable_since: first poll that showed a failure which the service may still mend.
    :param unreachable_since: first poll in a row that brought no usable response.
    :param not_found_since: first poll in a row that did not find what the wait is about.
    :param found: whether the run was ever seen.
    :param answered: whether a poll ever brought a usable response.
    :param absent_since: since when usable responses did not show the run.
    :param is_absent: whether the last usable response did not show the run.
    :param candidates: ids of the runs that may each be the one of the start.
    :param by_interval: whether the run of the start is told by its time of creation alone.
    :param not_before: the service asked to be left alone until then.
    :param last_error: text of the last error.
    :param last_message: the last message about the run's state.
    :param last_message_key: what that message was about.
    :param last_message_at: when it was logged.
    :param warned: keys of the warnings that were logged.
    """

    begun: float
    polls: int = 0
    followed_run_id: str | None = None
    active: dict[str, float] = field(default_factory=dict)
    recoverable_since: float | None = None
    unreachable_since: float | None = None
    not_found_since: float | None = None
    found: bool = False
    answered: bool = False
    absent_since: float | None = None
    is_absent: bool = False
    candidates: tuple[str, ...] = ()
    by_interval: bool = False
    not_before: float = 0.0
    last_error: str | None = None
    last_message: str = ""
    last_message_key: str = ""
    last_message_at: float = 0.0
    warned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitResult:
    """The end of a wait.

    :param outcome: how it ended.
    :param reason: one sentence for the log and the exception.
    :param run: summary of the run that decided, or was last seen; None when there was none.
    :param error: record of the error that decided, see :func:`model.errors.from_record`.
    :param limited_by: the task's argument that set the deadline, see :class:`WaitConfig`.
    :param vendor_offset: seconds by which the service's clock was ahead of Airflow's.
    """

    outcome: Outcome
    reason: str
    run: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    limited_by: str = "timeout"
    vendor_offset: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as versioned JSON, the payload of a trigger's event."""
        return {"schema": SCHEMA, **_plain(self), "outcome": str(self.outcome)}

    @classmethod
    def from_dict(cls, payload: Any) -> Self:
        """Rebuild a result from :meth:`to_dict`.

        :param payload: what a trigger's event carries.
        :raises ValueError: it is no verdict, or of a version or outcome this release does not know.
        """
        if not isinstance(payload, dict) or payload.get("schema") != SCHEMA:
            raise ValueError(f"not the end of a wait that this version understands: {payload!r}")
        return cls(
            outcome=Outcome(str(payload.get("outcome"))),
            reason=str(payload.get("reason") or ""),
            run=payload.get("run"),
            error=payload.get("error"),
            limited_by=str(payload.get("limited_by") or "timeout"),
            vendor_offset=float(payload.get("vendor_offset") or 0.0),
        )


@dataclass(frozen=True, slots=True)
class LogMessage:
    """A line for the log: a change worth telling, or a heartbeat.

    :param text: one line.
    :param is_warning: whether it is worth a warning.
    """

    text: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class NextAction:
    """What to do next: sleep ``wait`` seconds and look again, or, with a ``verdict``, stop.

    :param wait: seconds.
    :param result: the end of the wait, None while it goes on.
    :param messages: lines for the log.
    """

    wait: float = 0.0
    result: WaitResult | None = None
    messages: tuple[LogMessage, ...] = ()


class RunWaiter:
    """Waits for a run: :meth:`step` takes what was seen and the time, and says what to do next.

    :param config: what the wait is for.
    :param now: Unix time of its beginning.
    :param candidates: ids of runs that were seen before and may each be the run of the start.

    Its driver sets two attributes. ``usual`` may be set to what is known of the flows' durations; polls come closer
    together around a usual end. ``vendor_offset`` is set before each step: the seconds by which the service's clock is
    ahead of Airflow's, as measured by then; guards are given on Airflow's clock, a run's times are on the service's.
    """

    __slots__ = (
        "_last_runs",
        "_last_seen",
        "_messages",
        "_possible",
        "_state",
        "_target",
        "config",
        "durations",
        "vendor_offset",
    )

    def __init__(self, config: WaitConfig, now: float, candidates: Sequence[str] = ()) -> None:
        self.config = config
        self.durations: RunDurations | None = None
        self.vendor_offset = 0.0
        self._state = WaitState(begun=now, absent_since=now, candidates=tuple(candidates))
        self._messages: tuple[LogMessage, ...] = ()
        self._last_seen: FlowRun | None = None
        self._last_runs: tuple[FlowRun, ...] = ()
        self._possible: Lifecycle | None = None
        self._target: Target | None = None

    @property
    def target(self) -> Target:
        """What to look at next: once a flow's newest run is seen active, or a start's run at all, that run."""
        if self._target is None:
            self._target = self._current_target()
        return self._target

    def _current_target(self) -> Target:
        config = self.config
        run_id = self._state.followed_run_id or (config.run_id if config.kind == Kind.STARTED else None)
        if run_id:
            return Target(config.service, Kind.RUN, config.flow_id, run_id)
        marker = replace(StartMarker(**config.marker), by_interval=self._state.by_interval) if config.marker else None
        return Target(config.service, Kind(config.kind), config.flow_id, config.run_id, marker)

    @property
    def deadline(self) -> float:
        """Unix time of its last look: at the end of its time, or of its patience with errors."""
        unreachable_since = self._state.unreachable_since
        return (
            self.config.deadline
            if unreachable_since is None
            else min(self.config.deadline, self._blind_until(unreachable_since))
        )

    @property
    def error_budget(self) -> float:
        """Seconds without one good answer before the wait gives up."""
        return self.config.error_budget

    def _blind_until(self, unreachable_since: float) -> float:
        return unreachable_since + self.config.error_budget

    @property
    def last_seen(self) -> FlowRun | None:
        """The run that decided the last good look, None when there was none in this process."""
        return self._last_seen

    @property
    def last_runs(self) -> tuple[FlowRun, ...]:
        """The run of a start as it was last seen in this process, or all runs that may be the one; else empty."""
        return self._last_runs

    @property
    def may_be_shown(self) -> bool:
        """Whether the last look showed runs that may be the one of the start, and did not tell whether one is."""
        return self._possible is not None

    @property
    def is_one_of_many(self) -> bool:
        """Whether those are more than one look reads; many waits that look together find theirs for less."""
        return self._possible is Lifecycle.UNKNOWN

    @property
    def is_run_absent(self) -> bool:
        """Whether the last look brought a good answer without the run that is waited for."""
        return self._state.is_absent

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> NextAction:
        """Take one look's result and say what to do next.

        :param seen: the runs that were read, newest first, or the error that came instead.
        :param now: Unix time of the look.
        """
        self._state.polls += 1
        result = self._missed(seen, now) if isinstance(seen, FlowRunsError) else self._looked(seen, now)
        if result and self.config.keep_waiting and result.outcome not in {Outcome.SUCCEEDED, Outcome.SKIPPED}:
            run_id = result.run["run_id"] if result.run else None
            self.warn_once(f"{result.outcome} {run_id}", f"{result.reason}; silent_fail: waiting on")
            result = None
        if result is None and now >= self.config.deadline:
            result = self._timed_out()
        messages, self._messages = self._messages, ()
        if result:
            return NextAction(result=replace(result, vendor_offset=self.vendor_offset), messages=messages)
        return NextAction(wait=self._wait(now), messages=messages)

    def warn_once(self, key: str, text: str) -> None:
        """Put a warning into the news of the next step, unless one with the same key was there before in this wait.

        :param key: what the warning is about.
        :param text: one line.
        """
        if key not in self._state.warned:
            self._state.warned = (*self._state.warned, key)[-10:]
            self._messages += (LogMessage(text, is_warning=True),)

    def to_json(self) -> str:
        """Return plan and memory as JSON text; :meth:`from_json` goes on from there."""
        return json.dumps({"schema": SCHEMA, "config": _plain(self.config), "state": _plain(self._state)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild a watch from :meth:`to_json`, also of an older release: what it did not know has its default.

        :param text: the JSON text.
        :raises ValueError: it is no watch, or of a later version.
        """
        saved = json.loads(text)
        if not isinstance(saved, dict) or saved.get("schema") != SCHEMA:
            raise ValueError(f"not a wait that this version understands: {text[:200]}")
        waiter = cls(WaitConfig(**_known(WaitConfig, saved["config"])), saved["state"]["begun"])
        waiter._state = WaitState(**_known(WaitState, saved["state"]))
        waiter._state.warned = tuple(waiter._state.warned)
        waiter._state.candidates = tuple(waiter._state.candidates)
        return waiter

    # -- a look that brought an answer

    def _looked(self, runs: Sequence[FlowRun], now: float) -> WaitResult | None:
        state = self._state
        state.unreachable_since, state.last_error, state.not_before = None, None, 0.0
        if not runs and self.target.kind is Kind.RUN and self.config.kind != Kind.STARTED and self._was_seen:
            return self._missing("the response holds no run", now)
        state.not_found_since, state.answered = None, True
        state.found = state.found or any(run.run_id or self.config.kind != Kind.STARTED for run in runs)
        self._remember_active(runs, now)
        if self.target.kind is Kind.STARTED:
            return self._looked_for_start(runs, now)
        run = self._decisive(runs, now)
        if run is None:
            text = "no run that is fresh enough yet" if runs else "no run yet"
            self._tell_change(text, text, now)
            return self._not_there(now)
        self._see((run,), run, now)
        return self._judge_all((run,), now)[0]

    def _show(self) -> None:
        self._state.absent_since, self._state.is_absent = None, False

    def _see(self, runs: tuple[FlowRun, ...], decisive: FlowRun, now: float) -> None:
        self._show()
        if decisive != self._last_seen:
            self._last_seen = _plain_run(decisive)
        if self.config.kind == Kind.STARTED:
            self._last_runs = tuple(map(_plain_run, runs))
        self._tell_state(decisive, now)

    # -- the run of a start, or the runs that may be the one

    def _looked_for_start(self, runs: Sequence[FlowRun], now: float) -> WaitResult | None:
        known = tuple(_plain_run(run) for run in runs if run.run_id)
        self._possible = None
        if not known:
            return self._not_known_yet(runs, now)
        if missing := self._hidden(known):
            text = f"run {', '.join(missing)} was seen and is not shown any more"
            self._tell_change(text, text, now, warn=True)
            return self._not_there(now)
        if self.target.marker:
            known = tuple(self.target.marker.likeliest(known))
        self._remember_candidates(known)
        if self._travels_with_value and len(known) == 1 and runs[0].kind is Kind.RUN:
            self._pin_run(known[0])
        else:
            self._warn_of_candidates(known)
        self._see(known, slowest(known), now)
        verdicts = self._judge_all(known, now)
        is_settled = self.config.decide_at is None or now >= min(self.config.decide_at, self.config.deadline)
        return joint_verdict(verdicts, known) if is_settled else None

    def _not_known_yet(self, runs: Sequence[FlowRun], now: float) -> WaitResult | None:
        if not runs:
            text = f"no run of the start on flow {self.config.flow_id} yet"
            self._tell_change(text, text, now)
            return self._not_there(now)
        self._show()
        self._possible = runs[0].lifecycle
        is_queued = self._possible is Lifecycle.PENDING
        state = "a run that may be the one is queued" if is_queued else "several may be the one and are being read"
        text = f"no run of the start on flow {self.config.flow_id} is known yet: {state}"
        self._tell_change(text, text, now)
        return None

    def _hidden(self, known: Sequence[FlowRun]) -> list[str]:
        """Return those that may be the one and are not shown any more; none where a value tells which it is."""
        if self._travels_with_value:
            return []
        shown = {run.run_id for run in known}
        return [run_id for run_id in self._state.candidates if run_id not in shown]

    def _remember_candidates(self, known: Sequence[FlowRun]) -> None:
        ids = (str(run.run_id) for run in known)
        self._state.candidates = tuple(dict.fromkeys((*self._state.candidates, *ids)))

    @property
    def _travels_with_value(self) -> bool:
        return bool(self.config.marker and self.config.marker.get("correlation_key"))

    def _warn_of_candidates(self, known: Sequence[FlowRun]) -> None:
        ids = ", ".join(str(run.run_id) for run in known)
        if len(known) > 1:
            self._warn(
                f"runs {ids} of flow {self.config.flow_id} may each be the one that this task started; nothing tells "
                "them apart: waiting for all of them, the task succeeds only if all of them do"
            )
        elif self._travels_with_value:
            self._warn(
                f"run {ids} of flow {self.config.flow_id} does not show what it was called with; it is taken for the "
                "one that this task started because no other was created at that time"
            )

    def _pin_run(self, run: FlowRun) -> None:
        self._state.followed_run_id = run.run_id
        self._target = None

    def _not_there(self, now: float) -> WaitResult | None:
        """Decide on a run of a start that does not show: it may be late, and one that was seen may be hidden."""
        span, state = self.config.appear_within, self._state
        state.is_absent = True
        state.absent_since = now if state.absent_since is None else state.absent_since
        unseen = now - state.absent_since
        if span is None or unseen < span:
            return None
        if self.target.kind is Kind.STARTED and self._travels_with_value and not state.by_interval:
            state.by_interval, self._target = True, None
            return None
        start = f"no run of the start on flow {self.config.flow_id} has"
        seen = f"{describe(self._last_seen)} when it was last seen, and has not" if self._last_seen else start
        hint = f"; {self.config.absent_hint}" if self.config.absent_hint else ""
        return WaitResult(Outcome.UNOBSERVABLE, f"{seen} been shown for {unseen:.0f} s{hint}", self._last_summary())

    def _remember_active(self, runs: Sequence[FlowRun], now: float) -> None:
        active = self._state.active
        for run in runs:
            if run.is_active:
                active[run.run_id or ""] = now
        for stale in sorted(active, key=lambda run_id: active[run_id])[:-_REMEMBERED]:
            del active[stale]

    def _decisive(self, runs: Sequence[FlowRun], now: float) -> FlowRun | None:
        """Return the run that decides now: the newest one, with a guard the newest fresh one that has ended."""
        if not self.config.is_guarded:
            newest = runs[0] if runs else None
            self._pin(newest)
            return newest
        active: FlowRun | None = None
        for run in runs:
            if run.lifecycle is not Lifecycle.NOT_RUNNING:
                active = active or (run if self._started_in_time(run, now) else None)
            elif self._is_fresh(run, now):
                # A newer run that is still going may mend an earlier failure, never spoil an earlier success.
                return run if run.disposition is Disposition.SUCCEEDED else active or run
        return active

    def _pin(self, newest: FlowRun | None) -> None:
        # Else a flow that is started again and again would never be seen at rest.
        if self.config.kind == Kind.FLOW_RUNS and not self._state.followed_run_id and newest and newest.is_active:
            self._pin_run(newest)

    def _started_in_time(self, run: FlowRun, now: float) -> bool:
        if self.config.started_after is None:
            return True
        started = self._started(run, now)
        return started is not None and started >= self.config.started_after + self.vendor_offset

    def _is_fresh(self, run: FlowRun, now: float) -> bool:
        if not self._started_in_time(run, now):
            return False
        ended, active_at = self._time(run.completed_at, now), self._state.active.get(run.run_id or "")
        ignored = self.config.ignore_ends_until
        if ignored is not None and active_at is None and (ended is None or ended <= ignored):
            return False
        guard = self.config.completed_after
        if guard is None or (active_at is not None and active_at >= guard):
            return True
        # It ended later than it was created or seen active: some ends are missing, others cut to whole seconds.
        times = (ended, self._time(run.created_at, now))
        return any(time is not None and time >= guard + self.vendor_offset for time in times)

    def _started(self, run: FlowRun, now: float) -> float | None:
        started = self._time(run.started_at, now)
        return self._time(run.created_at, now) if started is None else started

    def _time(self, moment: datetime | None, now: float) -> float | None:
        """Return a time of the service's as Unix time on its own clock; None for one that it cannot have seen yet."""
        if moment is None:
            return None
        seconds = moment.astimezone(UTC).timestamp()
        return seconds if seconds <= now + self.vendor_offset + MAX_AHEAD_SECONDS else None

    def _judge_all(self, runs: Sequence[FlowRun], now: float) -> list[WaitResult | None]:
        if all(run.disposition is not Disposition.FAILED for run in runs):
            self._state.recoverable_since = None
        return [self._judge(run, now) for run in runs]

    def _judge(self, run: FlowRun, now: float) -> WaitResult | None:
        if run.lifecycle is Lifecycle.PAUSED:
            return self._paused(run, now)
        if run.lifecycle is Lifecycle.UNKNOWN:
            self._warn(f"status {run.vendor_status!r} is not known to this version; waiting on")
        if run.lifecycle is not Lifecycle.NOT_RUNNING:
            return None
        if run.disposition is Disposition.SUCCEEDED:
            return _verdict(Outcome.SUCCEEDED, run)
        if run.disposition is Disposition.FAILED:
            return self._failed(run, now)
        was_active = (run.run_id or "") in self._state.active
        if run.disposition is Disposition.CANCELED or was_active:
            return _verdict(Outcome.SKIPPED if self.config.on_canceled == "skip" else Outcome.CANCELED, run)
        return None

    def _paused(self, run: FlowRun, now: float) -> WaitResult | None:
        if self.config.completed_after is not None and now < self.config.completed_after:
            return None
        outcomes = {"succeed": Outcome.SUCCEEDED, "fail": Outcome.FAILED, "skip": Outcome.SKIPPED}
        outcome = outcomes.get(self.config.on_paused)
        return _verdict(outcome, run, "is paused") if outcome else None

    def _failed(self, run: FlowRun, now: float) -> WaitResult | None:
        state = self._state
        if run.may_recover:
            state.recoverable_since = now if state.recoverable_since is None else state.recoverable_since
            if now - state.recoverable_since < self.config.recovery_grace:
                return None
        return _verdict(Outcome.FAILED, run)

    # -- a look that brought none

    def _missed(self, error: FlowRunsError, now: float) -> WaitResult | None:
        state = self._state
        state.last_error = str(error)
        state.not_before = max(state.not_before, now + (get_requested_delay(error) or 0.0))
        # A token that worked before may have been revoked a moment before Airflow has the new one.
        if error.transient or (isinstance(error, AuthenticationError) and state.answered):
            return self._unseen(error, now)
        if isinstance(error, NotFoundError) and self.config.kind == Kind.STARTED:
            state.unreachable_since = None  # a good answer: it says that the run is not there
            self._warn(f"{error}; it may be hidden for a moment, trying again")
            return self._not_there(now)
        if isinstance(error, NotFoundError):
            return self._missing(str(error), now, error)
        return WaitResult(Outcome.REFUSED, str(error), self._last_summary(), error.to_record())

    @property
    def _was_seen(self) -> bool:
        """Whether what is looked for was there before: the run, or the flow that a wait on a flow asks about."""
        is_about_a_flow = self.config.kind not in {Kind.RUN, Kind.STARTED}
        return self._state.found or (self._state.answered and is_about_a_flow)

    def _missing(self, text: str, now: float, error: NotFoundError | None = None) -> WaitResult | None:
        state = self._state
        state.not_found_since = now if state.not_found_since is None else state.not_found_since
        missing, grace = now - state.not_found_since, self._missing_grace
        if missing < grace:
            why = "it was there before" if self._was_seen else "it may be too new to be seen"
            self._warn(f"{text}; {why}, trying again for {grace:.0f} s")
            return None
        record = error.to_record() if error else None
        if not self._was_seen:
            return WaitResult(Outcome.REFUSED, text, self._last_summary(), record)
        reason = (
            f"{self._subject()} was there before and has not been found for {missing:.0f} s; it may have been deleted, "
            f"alone or with its flow; last: {text}"
        )
        return WaitResult(Outcome.UNOBSERVABLE, reason, self._last_summary(), record)

    @property
    def _missing_grace(self) -> float:
        config = self.config
        return max(config.not_found_grace, config.gone_grace) if self._was_seen else config.not_found_grace

    def _subject(self) -> str:
        target = self.target
        kind = Kind.WORKFLOW if target.kind is Kind.WORKFLOW else Kind.FLOW
        return f"run {target.run_id}" if target.run_id else f"{kind} {target.flow_id}"

    def _unseen(self, error: FlowRunsError, now: float) -> WaitResult | None:
        state = self._state
        state.is_absent = False
        # Counted from the first failure, not from the last good look: nobody may have looked in between.
        state.unreachable_since = now if state.unreachable_since is None else state.unreachable_since
        unseen = now - state.unreachable_since
        if unseen < self.config.error_budget:
            self._tell_change(f"could not look, trying again: {error}", type(error).__name__, now, warn=True)
            return None
        # Nobody could look because the token is refused: that is what has to be mended.
        outcome = Outcome.REFUSED if isinstance(error, AuthenticationError) else Outcome.UNOBSERVABLE
        reason = f"no good answer for {unseen:.0f} s, the run may still be going; last: {error}"
        return WaitResult(outcome, reason, self._last_summary(), error.to_record())

    def _timed_out(self) -> WaitResult:
        config, state = self.config, self._state
        span = config.deadline - state.begun
        last_state = describe(self._last_seen) if self._last_seen else state.last_message or "nothing was seen"
        trouble = f"; the last look failed: {state.last_error}" if state.last_error else ""
        argument = "" if config.limited_by == "timeout" else f" ({config.limited_by})"
        reason = f"timed out after {span:.0f} s{argument}: {last_state}{trouble}"
        return WaitResult(Outcome.TIMED_OUT, reason, self._last_summary(), limited_by=config.limited_by)

    def _last_summary(self) -> dict[str, Any] | None:
        return self._last_seen.summary() if self._last_seen else None

    # -- time and talk

    def _wait(self, now: float) -> float:
        config, state = self.config, self._state
        wait = max(self._interval(now), state.not_before - now)
        ends = [config.deadline]
        if state.unreachable_since is not None:
            ends.append(self._blind_until(state.unreachable_since))
        if config.appear_within is not None and state.is_absent and state.absent_since is not None:
            ends.append(state.absent_since + config.appear_within)
        if config.decide_at is not None:
            ends.append(config.decide_at)
        if state.not_found_since is not None:
            ends.append(state.not_found_since + self._missing_grace)
        if state.recoverable_since is not None:
            ends.append(state.recoverable_since + config.recovery_grace)
        left = min((end - now for end in ends if end > now), default=SHORTEST_WAIT)
        return max(SHORTEST_WAIT, min(wait, left))

    def next_poll(self, now: float) -> float:
        """Return the seconds between two polls at this point of the wait, whatever else may end it sooner.

        :param now: Unix time of the last poll.
        """
        run = self._last_seen
        begun = self._started(run, now) if run and run.is_active else None
        run_age = None if begun is None else now + self.vendor_offset - begun
        durations = self.durations.of(run.flow_id) if run and self.durations else None
        return get_next_interval(self.config.interval, now - self._state.begun, run_age, durations)

    def _interval(self, now: float) -> float:
        config = self.config
        if not config.backoff:
            return self.next_poll(now)
        grown = config.interval * 2.0 ** min(self._state.polls - 1, 30)
        return min(grown, config.longest_interval) if config.longest_interval else grown

    def _tell_state(self, run: FlowRun, now: float) -> None:
        key = f"{run.run_id} {run.vendor_status}"
        if self._is_new(key, now):  # most looks bring nothing new, and words take time
            self._tell_change(describe(run), key, now)

    def _is_new(self, key: str, now: float) -> bool:
        return key != self._state.last_message_key or now - self._state.last_message_at >= HEARTBEAT

    def _tell_change(self, text: str, key: str, now: float, *, warn: bool = False) -> None:
        """Tell what is new: another ``key`` than last time, or nothing else for the length of a heartbeat."""
        state = self._state
        if self._is_new(key, now):
            self._messages += (LogMessage(text, warn),)
            state.last_message_key, state.last_message_at = key, now
        state.last_message = text

    def _warn(self, text: str) -> None:
        self.warn_once(text, text)


def slowest(runs: Sequence[FlowRun]) -> FlowRun:
    """Return the run that decides when all are waited for: one that goes on, else one that failed, else the newest.

    :param runs: at least one run, newest first.
    """
    unended = (run for run in runs if run.lifecycle is not Lifecycle.NOT_RUNNING)
    failed = (run for run in runs if run.disposition is not Disposition.SUCCEEDED)
    return next(unended, None) or next(failed, runs[0])


def joint_verdict(verdicts: Sequence[WaitResult | None], runs: Sequence[FlowRun]) -> WaitResult | None:
    """Return the end of a wait for several runs: None while one goes on, success only if all succeeded.

    :param verdicts: the end of each run, None for one that goes on.
    :param runs: the runs, in the same order.
    """
    ended = [result for result in verdicts if result]
    if len(ended) < len(verdicts):
        return None
    worst = min(ended, key=lambda result: _WORST_FIRST.index(result.outcome))
    if len(ended) == 1:
        return worst
    ids = ", ".join(str(run.run_id) for run in runs)
    reasons = "; ".join(result.reason for result in (worst, *(one for one in ended if one is not worst)))
    return replace(worst, reason=f"runs {ids} may each be the one that this task started: {reasons}"[:4_000])


def describe(run: FlowRun) -> str:
    """Return a run's state in a few words: which one, where it stands, how far it got."""
    kind = Kind.FLOW if run.kind is Kind.RUN else run.kind
    what = f"run {run.run_id}" if run.run_id else f"{kind} {run.flow_id}"
    state = run.lifecycle if run.disposition is Disposition.NONE else run.disposition
    vendor = f" ({run.vendor_status})" if state not in run.vendor_status.upper() else ""
    rows = run.rows()
    progress = f", {rows['extracted']} rows extracted, {rows['loaded']} loaded" if rows else ""
    return f"{what} is {state}{vendor}{progress}"


def _verdict(outcome: Outcome, run: FlowRun, what: str | None = None) -> WaitResult:
    words = {Outcome.FAILED: "failed", Outcome.CANCELED: "was cancelled", Outcome.SUCCEEDED: "succeeded"}
    subject = f"run {run.run_id}" if run.run_id else f"the last run of {run.kind} {run.flow_id}"
    state = what or ("was cancelled" if outcome is Outcome.SKIPPED else words[outcome])
    errors = [*run.errors, *(f"{res.name}: {text}" for res in run.resources for text in res.errors)]
    said = f": {'; '.join(errors)}" if errors and outcome is not Outcome.SUCCEEDED else ""
    return WaitResult(outcome, f"{subject} {state}{said}"[:4_000], run.summary())


def _plain_run(run: FlowRun) -> FlowRun:
    # What was sent may be megabytes, for as long as the wait lasts; what is taken for a start's run is a run as others.
    return replace(run, raw={}, kind=Kind.RUN if run.kind is Kind.STARTED else run.kind)


def _plain(record: Any) -> dict[str, Any]:
    # dataclasses.asdict copies deeply, which takes longer than a whole look.
    return {name: getattr(record, name) for name in record.__slots__}


def _known(kind: Any, saved: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in saved.items() if name in kind.__slots__}
