"""The one state machine that waits for a run; its states and transitions are in ``polling.transitions``.

It does no I/O and has no clock: its driver polls the target, hands in the response and the time, and sleeps as long as
the waiter says. A poking sensor, a trigger and a waiting operator differ only in who sleeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec
from msgspec.structs import replace

from airflow_provider_flowruns.model import saved
from airflow_provider_flowruns.model.errors import AuthenticationError, FlowRunsError, NotFoundError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle, RunSummary
from airflow_provider_flowruns.model.targets import (
    FlowStatusTarget,
    NewestRunsTarget,
    RunTarget,
    StartedRunTarget,
    StartMarker,
    Target,
    WorkflowStatusTarget,
)
from airflow_provider_flowruns.polling import messages
from airflow_provider_flowruns.polling.advice import advise
from airflow_provider_flowruns.polling.durations import DurationRange, RunDurations
from airflow_provider_flowruns.polling.freshness import explain_rejection, find_decisive, get_start, to_unix
from airflow_provider_flowruns.polling.intervals import get_next_interval, get_requested_delay
from airflow_provider_flowruns.polling.messages import HEARTBEAT_INTERVAL_SECONDS, LogMessage
from airflow_provider_flowruns.polling.wait_state import Outcome, SavedWait, WaitConfig, WaitResult, WaitState

#: No wait is shorter, whatever is left until the deadline: no path spins.
MIN_WAIT_SECONDS = 0.1
#: Maximum number of active runs of one flow that are remembered.
_MAX_ACTIVE_RUNS = 50
#: Maximum number of warnings that are remembered, so that they are not repeated.
_MAX_WARNED_KEYS = 10

#: Ends what a message is about when its run takes longer than usual.
_LATE = " late"

_IN_PROGRESS = (Lifecycle.RUNNING, Lifecycle.PENDING)
_WORST_FIRST = (Outcome.FAILED, Outcome.CANCELED, Outcome.SKIPPED, Outcome.SUCCEEDED)
_PAUSED_OUTCOMES = {"succeed": Outcome.SUCCEEDED, "fail": Outcome.FAILED, "skip": Outcome.SKIPPED}


class NextAction(msgspec.Struct, frozen=True):
    """What to do next: sleep and poll again, or stop.

    :param wait: seconds to sleep before the next poll.
    :param result: the end of the wait, None while it continues.
    :param messages: lines for the log.
    """

    wait: float = 0.0
    result: WaitResult | None = None
    messages: tuple[LogMessage, ...] = ()


class RunWaiter:
    """Waits for a run: :meth:`step` takes a poll's result and the time, and returns what to do next.

    :param config: what the wait is for.
    :param now: Unix time of its beginning.
    :param candidates: ids of runs that were seen before and may each be the run of the start.

    Its driver sets two attributes. ``durations`` may be set to what is known of the flows' run durations; polls are
    closer together around a usual end. ``vendor_offset`` is set before each step: the seconds by which the service's
    clock is ahead of Airflow's, as measured by then; guards are given on Airflow's clock, a run's times are on the
    service's.
    """

    __slots__ = (
        "_last_runs",
        "_last_seen",
        "_messages",
        "_possible_lifecycle",
        "_state",
        "_unchanged_until",
        "config",
        "durations",
        "target",
        "vendor_offset",
    )

    def __init__(self, config: WaitConfig, now: float, candidates: Sequence[str] = ()) -> None:
        self.config = config
        self.durations: RunDurations | None = None
        self.vendor_offset = 0.0
        #: What to poll next: as soon as a flow's newest run is seen active, or a start's run at all, that run.
        self.target: Target = config.target
        self._state = WaitState(now, absent_since=now, candidate_ids=tuple(candidates))
        self._messages: tuple[LogMessage, ...] = ()
        self._last_seen: FlowRun | None = None
        self._last_runs: tuple[FlowRun, ...] = ()
        self._possible_lifecycle: Lifecycle | None = None
        #: Unix time until which a poll that shows the same run in the same state needs no judgement and no message.
        self._unchanged_until = 0.0

    @property
    def deadline(self) -> float:
        """Unix time of its last poll: at the end of its time, or of its error budget."""
        since, config = self._state.unreachable_since, self.config
        if since is None:
            return config.deadline_at
        return min(config.deadline_at, since + config.error_budget_seconds)

    @property
    def error_budget(self) -> float:
        """Seconds without a usable response after which the wait gives up."""
        return self.config.error_budget_seconds

    @property
    def state(self) -> WaitState:
        """What the wait remembers; only its steps change it."""
        return self._state

    @property
    def run_id(self) -> str | None:
        """Id of the run that is waited for, None while that is not certain."""
        return self.target.run_id if isinstance(self.target, RunTarget) else None

    @property
    def last_seen(self) -> FlowRun | None:
        """The run that decided the last usable response, None when there was none in this process."""
        return self._last_seen

    @property
    def last_runs(self) -> tuple[FlowRun, ...]:
        """The task's own run as it was last seen in this process, or all runs that may be it; else empty."""
        return self._last_runs

    @property
    def may_be_shown(self) -> bool:
        """Whether the last response held runs that may be the one of the start, without saying whether one is."""
        return self._possible_lifecycle is not None

    @property
    def is_one_of_many(self) -> bool:
        """Whether those are more than one poll reads; many waits that poll together find theirs for less."""
        return self._possible_lifecycle is Lifecycle.UNKNOWN

    @property
    def is_run_absent(self) -> bool:
        """Whether the last poll brought a usable response without the run that is waited for."""
        return self._state.is_absent

    def may_end_within(self, seconds: float, now: float) -> bool:
        """Return whether a run that was seen may have ended when it is this old, as far as its flow's runs are known.

        :param seconds: age of the run.
        :param now: Unix time of the last step.
        """
        run, service_now = self._last_seen, now + self.vendor_offset
        if run is None:
            return False
        if not run.is_active:  # it has ended, but another run may still be the one of the start
            return self.config.decide_at is not None and now < self.config.decide_at <= now + seconds
        began_at = get_start(run, service_now)
        usual = self._get_usual(run)
        is_young = began_at is not None and service_now - began_at < seconds
        return is_young and (usual is None or usual.shortest < seconds)

    def step(self, polled: Sequence[FlowRun] | FlowRunsError, now: float) -> NextAction:
        """Take a poll's result and return what to do next.

        :param polled: the runs that were read, newest first, or the error that came instead.
        :param now: Unix time of the poll.
        """
        config, state = self.config, self._state
        state.poll_count += 1
        if now < self._unchanged_until and not isinstance(polled, FlowRunsError) and self._is_unchanged(polled, now):
            state.last_active_at[polled[0].run_id or ""] = now
            return NextAction(self._get_wait(now))
        self._unchanged_until = 0.0
        result = self._on_error(polled, now) if isinstance(polled, FlowRunsError) else self._on_runs(polled, now)
        if result and not config.can_fail and result.outcome not in {Outcome.SUCCEEDED, Outcome.SKIPPED}:
            run_id = result.run["run_id"] if result.run else None
            self.warn_once(f"{result.outcome} {run_id}", messages.failure_ignored(result.reason))
            result = None
        if result is None and now >= config.deadline_at:
            result = self._time_out(now)
        new_messages, self._messages = self._messages, ()
        if result:
            result = replace(result, vendor_offset=self.vendor_offset, advice=advise(result, config))
            return NextAction(0.0, result, new_messages)
        if not isinstance(polled, FlowRunsError):
            self._unchanged_until = self._get_unchanged_until(polled)
        return NextAction(self._get_wait(now), None, new_messages)

    def _get_unchanged_until(self, polled: Sequence[FlowRun]) -> float:
        """Return until when the same run brings nothing new; 0 where more than its state decides."""
        run, config = self._last_seen, self.config
        if run is None or run.lifecycle not in _IN_PROGRESS or not _is_only(run, polled):
            return 0.0
        if config.is_guarded or not isinstance(self.target, RunTarget | FlowStatusTarget | WorkflowStatusTarget):
            return 0.0
        return min(config.deadline_at, self._state.last_message_at + HEARTBEAT_INTERVAL_SECONDS)

    def _is_unchanged(self, polled: Sequence[FlowRun], now: float) -> bool:
        run = self._last_seen
        if run is None or not _is_only(run, polled):
            return False
        return self._is_late(run, now) == self._state.last_message_key.endswith(_LATE)

    def measure_delays(self, now: float) -> tuple[float, ...]:
        """Return the seconds since the end of the run; nothing for a run that ended before the wait began.

        :param now: Unix time of the last step.
        """
        run, service_now = self._last_seen, now + self.vendor_offset
        if run is None or run.lifecycle is not Lifecycle.NOT_RUNNING:
            return ()
        completed_at = to_unix(run.completed_at, service_now)
        if completed_at is None or completed_at < self._state.began_at + self.vendor_offset:
            return ()
        return (max(0.0, service_now - completed_at),)

    def warn_once(self, key: str, text: str) -> None:
        """Add a warning to the messages of the next step, unless this wait has given one with the same key before.

        :param key: what the warning is about.
        :param text: one line.
        """
        keys = self._state.warned_keys
        if key not in keys:
            self._state.warned_keys = (*keys, key)[-_MAX_WARNED_KEYS:]
            self._messages += (LogMessage(text, is_warning=True),)

    def to_json(self) -> str:
        """Return the config and the state as JSON text; :meth:`from_json` continues from there."""
        return saved.to_json(SavedWait(self.config, self._state, self._save_durations()))

    def _save_durations(self) -> dict[str, list[tuple[int, float]]] | None:
        flow_id = self._last_seen.flow_id if self._last_seen else self._flow_id
        known = self.durations.to_record(flow_id) if self.durations and flow_id else []
        return {flow_id: known} if flow_id and known else None

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild a waiter from :meth:`to_json`, also of another release with the same schema.

        :param text: the JSON text.
        :raises ValueError: it is no waiter, or has another schema.
        """
        wait = saved.from_json(text, SavedWait)
        waiter = cls(saved.share_defaults(wait.config), wait.state.began_at)
        waiter._state = saved.share_defaults(wait.state)
        if wait.state.can_match_by_time:
            waiter._match_by_time()
        if wait.state.followed_run_id:
            waiter._follow(wait.state.followed_run_id)
        if isinstance(wait.durations, dict):
            waiter.durations = RunDurations()
            for flow_id, known in wait.durations.items():
                waiter.durations.restore(flow_id, known)
        return waiter

    def share_durations(self, durations: RunDurations) -> None:
        """Know the durations that others know, and let them know its own.

        :param durations: shared with other waits, or with earlier waits of this process.
        """
        if self.durations is not None and self.durations is not durations:
            durations.merge(self.durations)
        self.durations = durations

    # -- a poll that brought a response

    def _on_runs(self, runs: Sequence[FlowRun], now: float) -> WaitResult | None:
        state = self._state
        state.unreachable_since, state.last_error, state.not_before_at = None, None, 0.0
        is_own = self.config.is_own_run
        if not runs and not is_own and self._was_found and isinstance(self.target, RunTarget):
            return self._on_not_found("the response holds no run", now)
        state.not_found_since, state.has_been_answered = None, True
        if not state.has_been_found:
            state.has_been_found = any(run.run_id or not is_own for run in runs)
        self._remember_active(runs, now)
        if isinstance(self.target, StartedRunTarget):
            return self._on_runs_of_start(self.target, runs, now)
        run = self._get_decisive(runs, now)
        if run is None:
            self._report_no_run(runs, now)
            return self._on_absent(now)
        self._record((run,), run, now)
        return self._judge_all((run,), now)[0]

    def _report_no_run(self, runs: Sequence[FlowRun], now: float) -> None:
        key = f"{runs[0].run_id} {runs[0].vendor_status} does not count" if runs else "no run"
        if not self._is_news(key, now):
            return
        if runs:
            text = messages.no_fresh_run(runs[0], explain_rejection(runs[0], self.config, self.vendor_offset, now))
        else:
            text = messages.no_run_yet(self.config.target)
        self._report(text, key, now)

    def _record(self, runs: tuple[FlowRun, ...], decisive: FlowRun, now: float) -> None:
        self._mark_present()
        if decisive is not self._last_seen and (not decisive.record or decisive != self._last_seen):
            self._last_seen = _without_record(decisive)
        if self.config.is_own_run:
            self._last_runs = tuple(map(_without_record, runs))
        key = self._get_key(decisive, now)
        if self._is_news(key, now):  # most polls bring nothing new, and describing a run takes time
            is_change = key != self._state.last_message_key
            self._report(self._describe(decisive, now), key, now)
            if is_change and (choice := messages.explain_choice(decisive, self.config)):
                self._messages += (LogMessage(choice),)

    def _get_key(self, run: FlowRun, now: float) -> str:
        # A run that takes longer than usual is news once.
        return f"{run.run_id} {run.vendor_status}{_LATE if self._is_late(run, now) else ''}"

    def _describe(self, run: FlowRun, now: float) -> str:
        return messages.describe(run, now + self.vendor_offset, self._get_usual(run))

    def _get_usual(self, run: FlowRun) -> DurationRange | None:
        return self.durations.get_range(run.flow_id, without=run) if self.durations else None

    def _is_late(self, run: FlowRun, now: float) -> bool:
        if (usual := self._get_usual(run)) is None or not run.is_active:
            return False
        seconds = messages.get_duration(run, now + self.vendor_offset)
        return seconds is not None and seconds > usual.longest

    def _mark_present(self) -> None:
        self._state.absent_since, self._state.is_absent = None, False

    # -- the run of a start, or the runs that may be it

    def _on_runs_of_start(self, target: StartedRunTarget, runs: Sequence[FlowRun], now: float) -> WaitResult | None:
        marker = target.marker
        known = tuple(_without_record(run) for run in runs if run.run_id)
        self._possible_lifecycle = None
        if not known:
            return self._on_run_unknown(runs, now)
        if hidden := self._get_hidden(known, marker):
            text = messages.runs_hidden(hidden)
            self._report(text, text, now, is_warning=True)
            return self._on_absent(now)
        known = tuple(marker.most_likely(known))
        self._remember_candidates(known)
        if marker.correlation_key and len(known) == 1 and runs[0].kind is Kind.RUN:
            self._follow(str(known[0].run_id))
        else:
            self._warn_of_candidates(known, marker)
        self._record(known, find_slowest(known), now)
        results = self._judge_all(known, now)
        decide_at = self.config.decide_at
        is_settled = decide_at is None or now >= min(decide_at, self.config.deadline_at)
        return join_results(results, known) if is_settled else None

    def _on_run_unknown(self, runs: Sequence[FlowRun], now: float) -> WaitResult | None:
        if not runs:
            text = messages.no_run_of_start_yet(self._flow_id)
            self._report(text, text, now)
            return self._on_absent(now)
        self._mark_present()
        self._possible_lifecycle = runs[0].lifecycle
        is_queued = self._possible_lifecycle is Lifecycle.PENDING
        text = messages.run_of_start_unknown(self._flow_id, is_queued=is_queued)
        self._report(text, text, now)
        return None

    def _get_hidden(self, known: Sequence[FlowRun], marker: StartMarker) -> list[str]:
        """Return the candidates that are no longer shown; none where a value identifies the run."""
        if marker.correlation_key:
            return []
        shown = {run.run_id for run in known}
        return [run_id for run_id in self._state.candidate_ids if run_id not in shown]

    def _remember_candidates(self, known: Sequence[FlowRun]) -> None:
        ids = (str(run.run_id) for run in known)
        self._state.candidate_ids = tuple(dict.fromkeys((*self._state.candidate_ids, *ids)))

    def _warn_of_candidates(self, known: Sequence[FlowRun], marker: StartMarker) -> None:
        if len(known) > 1:
            self._warn(messages.runs_alike(known, self._flow_id))
        elif marker.correlation_key:
            self._warn(messages.run_matched_by_time(known, self._flow_id))

    def _follow(self, run_id: str) -> None:
        self._state.followed_run_id = run_id
        self.target = RunTarget(self.target.service, run_id, self._flow_id)

    def _match_by_time(self) -> None:
        target = self.config.target
        if isinstance(target, StartedRunTarget):
            self._state.can_match_by_time = True
            self.target = replace(target, marker=replace(target.marker, can_match_by_time=True))

    @property
    def _flow_id(self) -> str | None:
        return getattr(self.config.target, "flow_id", None)

    def _on_absent(self, now: float) -> WaitResult | None:
        """Decide on an own run that is not shown: it may be late, and one that was seen may be hidden."""
        span, state, target = self.config.appear_within_seconds, self._state, self.target
        state.is_absent = True
        state.absent_since = now if state.absent_since is None else state.absent_since
        absent_seconds = now - state.absent_since
        if span is None or absent_seconds < span:
            return None
        if isinstance(target, StartedRunTarget) and target.marker.correlation_key and not state.can_match_by_time:
            self._match_by_time()
            return None
        reason = messages.run_absent(self._last_seen, self._flow_id, absent_seconds, self.config.absent_hint)
        return WaitResult(Outcome.UNOBSERVABLE, reason, self._last_summary())

    def _remember_active(self, runs: Sequence[FlowRun], now: float) -> None:
        active = self._state.last_active_at
        for run in runs:
            if run.is_active:
                active[run.run_id or ""] = now
        if len(active) > _MAX_ACTIVE_RUNS:
            for stale in sorted(active, key=lambda run_id: active[run_id])[:-_MAX_ACTIVE_RUNS]:
                del active[stale]

    # -- which run decides

    def _get_decisive(self, runs: Sequence[FlowRun], now: float) -> FlowRun | None:
        """Return the run that decides now: the newest one, with a guard the newest fresh one that has ended."""
        if not self.config.is_guarded:
            newest = runs[0] if runs else None
            self._follow_if_active(newest)
            return newest
        return find_decisive(runs, self.config, self._state.last_active_at, now, self.vendor_offset)

    def _follow_if_active(self, newest: FlowRun | None) -> None:
        # Else a flow that is started again and again would never be seen at rest.
        if isinstance(self.target, NewestRunsTarget) and newest and newest.is_active and newest.run_id:
            self._follow(newest.run_id)

    # -- what a run's state means

    def _judge_all(self, runs: Sequence[FlowRun], now: float) -> list[WaitResult | None]:
        if all(run.disposition is not Disposition.FAILED for run in runs):
            self._state.recoverable_since = None
        return [self._judge(run, now) for run in runs]

    def _judge(self, run: FlowRun, now: float) -> WaitResult | None:
        if run.lifecycle is Lifecycle.PAUSED:
            return self._judge_paused(run, now)
        if run.lifecycle is Lifecycle.UNKNOWN:
            self._warn(messages.unknown_status(run))
        if run.lifecycle is not Lifecycle.NOT_RUNNING:
            return None
        if run.disposition is Disposition.SUCCEEDED:
            return _to_result(Outcome.SUCCEEDED, run)
        if run.disposition is Disposition.FAILED:
            return self._judge_failed(run, now)
        was_active = (run.run_id or "") in self._state.last_active_at
        if run.disposition is Disposition.CANCELED or was_active:
            return _to_result(Outcome.SKIPPED if self.config.on_canceled == "skip" else Outcome.CANCELED, run)
        return None

    def _judge_paused(self, run: FlowRun, now: float) -> WaitResult | None:
        if self.config.completed_after_at is not None and now < self.config.completed_after_at:
            return None
        outcome = _PAUSED_OUTCOMES.get(self.config.on_paused)
        return _to_result(outcome, run, "is paused") if outcome else None

    def _judge_failed(self, run: FlowRun, now: float) -> WaitResult | None:
        state = self._state
        if run.may_recover:
            state.recoverable_since = now if state.recoverable_since is None else state.recoverable_since
            if now - state.recoverable_since < self.config.recovery_grace_seconds:
                return None
        return _to_result(Outcome.FAILED, run)

    # -- a poll that brought an error

    def _on_error(self, error: FlowRunsError, now: float) -> WaitResult | None:
        state = self._state
        state.last_error = str(error)
        state.not_before_at = max(state.not_before_at, now + (get_requested_delay(error) or 0.0))
        # A token that worked before may have been revoked a moment before Airflow has the new one.
        if error.transient or (isinstance(error, AuthenticationError) and state.has_been_answered):
            return self._on_unreachable(error, now)
        if isinstance(error, NotFoundError) and self.config.is_own_run:
            state.unreachable_since = None  # a usable response: it says that the run is not there
            self._warn(messages.own_run_hidden(error))
            return self._on_absent(now)
        if isinstance(error, NotFoundError):
            return self._on_not_found(str(error), now, error)
        return WaitResult(Outcome.REFUSED, str(error), self._last_summary(), error.to_record())

    @property
    def _was_found(self) -> bool:
        """Whether what is polled was found before: the run, or the flow that a wait for a flow is about."""
        is_about_flow = not (self.config.is_own_run or isinstance(self.config.target, RunTarget))
        return self._state.has_been_found or (self._state.has_been_answered and is_about_flow)

    def _on_not_found(self, text: str, now: float, error: NotFoundError | None = None) -> WaitResult | None:
        state = self._state
        state.not_found_since = now if state.not_found_since is None else state.not_found_since
        missing_seconds, grace, was_found = now - state.not_found_since, self._missing_grace, self._was_found
        if missing_seconds < grace:
            self._warn(messages.not_found(text, grace, was_found=was_found))
            return None
        record = error.to_record() if error else None
        if not was_found:
            return WaitResult(Outcome.REFUSED, text, self._last_summary(), record)
        reason = messages.gone(self.target, missing_seconds, text)
        return WaitResult(Outcome.UNOBSERVABLE, reason, self._last_summary(), record)

    @property
    def _missing_grace(self) -> float:
        grace, gone_grace = self.config.not_found_grace_seconds, self.config.gone_grace_seconds
        return max(grace, gone_grace) if self._was_found else grace

    def _on_unreachable(self, error: FlowRunsError, now: float) -> WaitResult | None:
        state = self._state
        state.is_absent = False
        is_first = state.unreachable_since is None
        # Counted from the first failure, not from the last response: there may have been no poll in between.
        state.unreachable_since = now if state.unreachable_since is None else state.unreachable_since
        unreachable_seconds = now - state.unreachable_since
        if unreachable_seconds < self.config.error_budget_seconds:
            # One failure between two responses is no news. Lines of hundreds of waits that share a request would fill
            # the triggerer's pipe for logs, and block it.
            if not (is_first and state.has_been_answered):
                self._report(messages.unreachable(error), type(error).__name__, now, is_warning=True)
            return None
        # If the token is refused, that is what the user has to fix.
        outcome = Outcome.REFUSED if isinstance(error, AuthenticationError) else Outcome.UNOBSERVABLE
        reason = messages.unobservable(unreachable_seconds, error)
        return WaitResult(outcome, reason, self._last_summary(), error.to_record())

    def _time_out(self, now: float) -> WaitResult:
        config, state = self.config, self._state
        last_state = self._describe(self._last_seen, now) if self._last_seen else state.last_message
        seconds = config.deadline_at - state.began_at
        reason = messages.timed_out(seconds, config.limited_by, last_state, state.last_error)
        return WaitResult(Outcome.TIMED_OUT, reason, self._last_summary(), limited_by=config.limited_by)

    def _last_summary(self) -> RunSummary | None:
        return self._last_seen.summary() if self._last_seen else None

    # -- when to poll next

    def _get_wait(self, now: float) -> float:
        config, state = self.config, self._state
        interval = self._get_doubled_interval() if config.is_backing_off else self.next_poll(now)
        wait = max(interval, state.not_before_at - now)
        ends = [config.deadline_at]
        if state.unreachable_since is not None:
            ends.append(state.unreachable_since + config.error_budget_seconds)
        if config.appear_within_seconds is not None and state.is_absent and state.absent_since is not None:
            ends.append(state.absent_since + config.appear_within_seconds)
        if config.decide_at is not None:
            ends.append(config.decide_at)
        if state.not_found_since is not None:
            ends.append(state.not_found_since + self._missing_grace)
        if state.recoverable_since is not None:
            ends.append(state.recoverable_since + config.recovery_grace_seconds)
        for end in ends:
            if 0.0 < end - now < wait:
                wait = end - now
        return max(MIN_WAIT_SECONDS, wait)

    def next_poll(self, now: float) -> float:
        """Return the seconds between two polls at this point of the wait, whatever else may end it sooner.

        :param now: Unix time of the last poll.
        """
        run, service_now = self._last_seen, now + self.vendor_offset
        interval = self.config.interval_seconds
        poll_rate = self.durations.get_poll_rate(run.flow_id, interval) if run and self.durations else None
        started_at = get_start(run, service_now) if poll_rate and run and run.is_active else None
        run_age = None if started_at is None else service_now - started_at
        return get_next_interval(interval, now - self._state.began_at, run_age, poll_rate)

    def _get_doubled_interval(self) -> float:
        config = self.config
        interval = config.interval_seconds * 2.0 ** min(self._state.poll_count - 1, 30)
        return min(interval, config.max_interval_seconds) if config.max_interval_seconds else interval

    # -- what to log

    def _is_news(self, key: str, now: float) -> bool:
        state = self._state
        return key != state.last_message_key or now - state.last_message_at >= HEARTBEAT_INTERVAL_SECONDS

    def _report(self, text: str, key: str, now: float, *, is_warning: bool = False) -> None:
        """Log what is new: another ``key`` than last time, or nothing logged for a heartbeat's interval."""
        state = self._state
        if self._is_news(key, now):
            self._messages += (LogMessage(text, is_warning),)
            state.last_message_key, state.last_message_at = key, now
        state.last_message = text

    def _warn(self, text: str) -> None:
        self.warn_once(text, text)


def find_slowest(runs: Sequence[FlowRun]) -> FlowRun:
    """Return the run that decides for all: one that has not ended, else one that failed, else the newest.

    :param runs: at least one run, newest first.
    """
    active = (run for run in runs if run.lifecycle is not Lifecycle.NOT_RUNNING)
    failed = (run for run in runs if run.disposition is not Disposition.SUCCEEDED)
    return next(active, None) or next(failed, runs[0])


def join_results(results: Sequence[WaitResult | None], runs: Sequence[FlowRun]) -> WaitResult | None:
    """Return the end of a wait for several runs: None while one is active, success only if all succeeded.

    :param results: the end of the wait for each run, None for one that is active.
    :param runs: the runs, in the same order.
    """
    ended = [result for result in results if result]
    if len(ended) < len(results):
        return None
    worst = min(ended, key=lambda result: _WORST_FIRST.index(result.outcome))
    if len(ended) == 1:
        return worst
    others = (result for result in ended if result is not worst)
    return replace(worst, reason=messages.describe_joint_end(runs, (worst, *others)))


def _to_result(outcome: Outcome, run: FlowRun, state: str | None = None) -> WaitResult:
    return WaitResult(outcome, messages.describe_end(run, outcome, state), run.summary())


def _is_only(run: FlowRun, polled: Sequence[FlowRun]) -> bool:
    return len(polled) == 1 and polled[0] is run


def _without_record(run: FlowRun) -> FlowRun:
    # What was sent may be megabytes, kept as long as the wait; a run taken for the start's is a run like any other.
    if run.kind is Kind.STARTED:
        return replace(run, record=None, kind=Kind.RUN)
    return replace(run, record=None) if run.record else run
