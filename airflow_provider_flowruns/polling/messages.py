"""What a wait says: the texts of its log lines, and of the reasons with which it ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import NewestRunsTarget, Target
from airflow_provider_flowruns.polling.durations import DurationRange
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitConfig, WaitResult
from airflow_provider_flowruns.polling.wording import format_moment, format_range, format_seconds

#: Seconds between two log lines of a wait in which nothing changes.
HEARTBEAT_INTERVAL_SECONDS = 600.0
#: A reason goes into an exception and a trigger's event; the task's log has the service's errors in full.
_MAX_REASON_CHARS, _MAX_ERRORS, _MAX_ERROR_CHARS = 2_000, 5, 300

_ENDED_AS = {Outcome.FAILED: "failed", Outcome.CANCELED: "was cancelled", Outcome.SUCCEEDED: "succeeded"}


class LogMessage(msgspec.Struct, frozen=True, gc=False):
    """A line for the log: a change, or a heartbeat.

    :param text: one line.
    :param is_warning: whether to log it as a warning.
    """

    text: str
    is_warning: bool = False


def describe(run: FlowRun, now: float | None = None, usual: DurationRange | None = None) -> str:
    """Return a run's state in a few words: which one, its state, how long it has taken, its progress.

    :param run: the run.
    :param now: the current time on the service's clock, None when it is not known.
    :param usual: how long runs of its flow take, None when it is not known.
    """
    state = run.lifecycle if run.disposition is Disposition.NONE else run.disposition
    vendor = [run.vendor_status] if state not in run.vendor_status.upper() else []
    # The window may cut the end of a line, so what matters most comes first.
    details = ", ".join([*vendor, *_describe_time(run, now, usual), *_describe_progress(run), *_describe_end_time(run)])
    return f"{_name(run)} is {state}{f' ({details})' if details else ''}"


def _name(run: FlowRun) -> str:
    kind = Kind.FLOW if run.kind is Kind.RUN else run.kind
    return f"run {run.run_id}" if run.run_id else f"{kind} {run.flow_id}"


def _describe_time(run: FlowRun, now: float | None, usual: DurationRange | None) -> list[str]:
    if run.lifecycle is Lifecycle.NOT_RUNNING and run.disposition is Disposition.NONE:
        return ["no run of it has ended yet"]
    seconds = get_duration(run, now)
    if seconds is None:
        return []
    if run.lifecycle is Lifecycle.PENDING:
        return [f"queued for {format_seconds(seconds)}"]
    duration = f"{'in progress for' if run.is_active else 'took'} {format_seconds(seconds)}"
    return [f"{duration}, {compare(seconds, usual, is_over=not run.is_active)}" if usual else duration]


def _describe_end_time(run: FlowRun) -> list[str]:
    if run.disposition is Disposition.NONE or run.completed_at is None:
        return []
    return [f"ended {format_moment(run.completed_at.timestamp())}"]


def get_duration(run: FlowRun, now: float | None) -> float | None:
    """Return how many seconds a run took, or has taken so far; None if that is not known.

    :param run: the run.
    :param now: the current time on the service's clock, None when it is not known.
    """
    started_at = run.started_at or run.created_at
    ended_at = now if run.is_active else run.completed_at.timestamp() if run.completed_at else None
    if started_at is None or ended_at is None or started_at.timestamp() > ended_at:
        return None
    return ended_at - started_at.timestamp()


def compare(seconds: float, usual: DurationRange, *, is_over: bool) -> str:
    """Return how a run's duration compares with that of the flow's other runs.

    :param seconds: the run's duration, or its duration so far.
    :param usual: how long runs of the flow take.
    :param is_over: whether the run has ended.
    """
    text = format_range(usual.shortest, usual.longest)
    bounds = text.removeprefix("about ")
    if seconds > usual.longest:
        return f"longer than the usual {bounds}"
    return f"shorter than the usual {bounds}" if is_over and seconds < usual.shortest else f"usually {text}"


def _describe_progress(run: FlowRun) -> list[str]:
    if step := run.current_step():
        return [f"at step {(step.title or step.name)!r}"]
    rows = run.rows()
    return [f"{format_count(rows['extracted'], 'row')} extracted", f"{rows['loaded']:,} loaded"] if rows else []


def explain_choice(run: FlowRun, config: WaitConfig) -> str:
    """Return why a run decides a wait for a flow's last run; empty for any other wait.

    :param run: the run that decides.
    :param config: what the wait is for.
    """
    is_about_flow = isinstance(config.target, NewestRunsTarget) or run.kind in {Kind.FLOW, Kind.WORKFLOW}
    if not is_about_flow or config.is_own_run or (not run.is_active and run.disposition is Disposition.NONE):
        return ""
    if run.is_active:
        return f"{_name(run)} counts when it ends"
    return f"{_name(run)} counts, {'it is fresh enough' if config.is_guarded else 'whatever its age'}"


def no_run_yet(target: Target) -> str:
    """Return that there is no run at all."""
    return f"{target} has no run yet"


def no_fresh_run(newest: FlowRun, reason: str) -> str:
    """Return that no run is fresh enough.

    :param newest: the newest run.
    :param reason: why it does not count.
    """
    return f"no fresh run yet: the newest, {_name(newest)}, {reason}"


def describe_end(run: FlowRun, outcome: Outcome, state: str | None = None) -> str:
    """Return how a run ended, with the service's own error texts.

    :param run: the run that decided the wait.
    :param outcome: how the wait ended.
    :param state: what the run did, where the outcome does not say it.
    """
    subject = f"run {run.run_id}" if run.run_id else f"the last run of {run.kind} {run.flow_id}"
    state = state or ("was cancelled" if outcome is Outcome.SKIPPED else _ENDED_AS[outcome])
    errors = [*run.errors, *(f"{resource.name}: {text}" for resource in run.resources for text in resource.errors)]
    details = f": {_shorten(errors)}" if errors and outcome is not Outcome.SUCCEEDED else ""
    return f"{subject} {state}{details}"[:_MAX_REASON_CHARS]


def _shorten(errors: Sequence[str]) -> str:
    shown = [text if len(text) <= _MAX_ERROR_CHARS else f"{text[:_MAX_ERROR_CHARS]}..." for text in errors]
    more = len(shown) - _MAX_ERRORS
    return "; ".join([*shown[:_MAX_ERRORS], *([f"and {format_count(more, 'more error')}"] if more > 0 else [])])


def describe_joint_end(runs: Sequence[FlowRun], results: Iterable[WaitResult]) -> str:
    """Return how several runs ended of which each may be the task's own.

    :param runs: the runs.
    :param results: how each of them ended, the one that decides first.
    """
    reasons = "; ".join(result.reason for result in results)
    text = f"runs {list_ids(runs)} may each be the one that this task started: {reasons}"
    return text[:_MAX_REASON_CHARS]


def list_ids(runs: Iterable[FlowRun]) -> str:
    """Return the ids of some runs, separated by commas."""
    return ", ".join(str(run.run_id) for run in runs)


# -- the run of a start


def no_run_of_start_yet(flow_id: str | None) -> str:
    """Return that no run of the start is shown."""
    return f"no run of the start on flow {flow_id} yet"


def run_of_start_unknown(flow_id: str | None, *, is_queued: bool) -> str:
    """Return that one of the flow's runs may be the one of the start.

    :param flow_id: the flow.
    :param is_queued: whether that run is still in the service's queue.
    """
    state = "a run that may be the one is queued" if is_queued else "several may be the one and are being read"
    return f"no run of the start on flow {flow_id} is known yet: {state}"


def runs_hidden(run_ids: Iterable[str]) -> str:
    """Return that runs which may be the one of the start are no longer in the responses."""
    return f"run {', '.join(run_ids)} was seen before and is no longer shown"


def runs_alike(runs: Sequence[FlowRun], flow_id: str | None) -> str:
    """Return that several runs may each be the one of the start."""
    return (
        f"runs {list_ids(runs)} of flow {flow_id} may each be the one that this task started; nothing tells them "
        "apart: waiting for all of them, the task succeeds only if all of them do"
    )


def run_matched_by_time(runs: Sequence[FlowRun], flow_id: str | None) -> str:
    """Return that a run is taken for the one of the start because of its time of creation."""
    return (
        f"run {list_ids(runs)} of flow {flow_id} does not show what it was called with; it is taken for the one that "
        "this task started because no other was created at that time"
    )


def run_absent(last_seen: FlowRun | None, flow_id: str | None, seconds: float, hint: str) -> str:
    """Return that the run of a start has been absent for too long.

    :param last_seen: the run as it was last seen, None when it never was.
    :param flow_id: the flow that was started.
    :param seconds: how long it has been absent.
    :param hint: what to do.
    """
    start = f"no run of the start on flow {flow_id} has"
    subject = f"{describe(last_seen)} when it was last seen, and has not" if last_seen else start
    return f"{subject} been shown for {format_seconds(seconds)}{f'; {hint}' if hint else ''}"


# -- polls that bring no run


def not_found(text: str, grace_seconds: float, *, was_found: bool) -> str:
    """Return that something is not found, and why that may change.

    :param text: the service's words.
    :param grace_seconds: how long it may stay so.
    :param was_found: whether it was found before.
    """
    why = "it was found before" if was_found else "it may be too new"
    return f"{text}; {why}, trying again for {format_seconds(grace_seconds)}"


def gone(target: Target, seconds: float, text: str) -> str:
    """Return that something is not found any more.

    :param target: what was polled.
    :param seconds: how long it has not been found.
    :param text: the service's words.
    """
    return (
        f"{target} was found before and has not been found for {format_seconds(seconds)}; it may have been deleted, "
        f"alone or with its flow; last: {text}"
    )


def own_run_hidden(error: Exception) -> str:
    """Return that the task's own run is not found, which may pass."""
    return f"{error}; it may be hidden for a moment, trying again"


def unreachable(error: Exception) -> str:
    """Return that a poll failed and is repeated."""
    return f"the poll failed, trying again: {error}"


def unobservable(seconds: float, error: Exception) -> str:
    """Return that all polls have failed for as long as the error budget allows."""
    return f"no usable response for {format_seconds(seconds)}, the run may still be in progress; last: {error}"


# -- the end of a wait's time


def timed_out(seconds: float, limited_by: str, last_state: str, last_error: str | None) -> str:
    """Return that the run did not end in time.

    :param seconds: how long the wait was.
    :param limited_by: the task's argument that set its deadline.
    :param last_state: the run's state as it was last seen, empty when it never was.
    :param last_error: why the last poll failed, None when it did not.
    """
    trouble = f"; the last poll failed: {last_error}" if last_error else ""
    return f"timed out after {format_seconds(seconds)} ({limited_by}): {last_state or 'no run was seen'}{trouble}"


def failure_ignored(reason: str) -> str:
    """Return that a wait continues although it would have ended."""
    return f"{reason}; still waiting (silent_fail)"


def unknown_status(run: FlowRun) -> str:
    """Return that a run's status is unknown to this release."""
    return f"status {run.vendor_status!r} is unknown to this release; still waiting"
