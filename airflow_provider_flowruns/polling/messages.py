"""What a wait says: the texts of its log lines, and of the reasons with which it ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind
from airflow_provider_flowruns.model.targets import Target
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult

#: Seconds between two log lines of a wait in which nothing changes.
HEARTBEAT_INTERVAL_SECONDS = 600.0
#: A reason goes into an exception and a trigger's event.
_MAX_REASON_CHARS = 4_000

_ENDED_AS = {Outcome.FAILED: "failed", Outcome.CANCELED: "was cancelled", Outcome.SUCCEEDED: "succeeded"}


class LogMessage(msgspec.Struct, frozen=True, gc=False):
    """A line for the log: a change, or a heartbeat.

    :param text: one line.
    :param is_warning: whether to log it as a warning.
    """

    text: str
    is_warning: bool = False


def describe(run: FlowRun) -> str:
    """Return a run's state in a few words: which one, its state, its progress."""
    kind = Kind.FLOW if run.kind is Kind.RUN else run.kind
    subject = f"run {run.run_id}" if run.run_id else f"{kind} {run.flow_id}"
    state = run.lifecycle if run.disposition is Disposition.NONE else run.disposition
    vendor = f" ({run.vendor_status})" if state not in run.vendor_status.upper() else ""
    rows = run.rows()
    progress = f", {rows['extracted']} rows extracted, {rows['loaded']} loaded" if rows else ""
    return f"{subject} is {state}{vendor}{progress}"


def describe_end(run: FlowRun, outcome: Outcome, state: str | None = None) -> str:
    """Return how a run ended, with the service's own error texts.

    :param run: the run that decided the wait.
    :param outcome: how the wait ended.
    :param state: what the run did, where the outcome does not say it.
    """
    subject = f"run {run.run_id}" if run.run_id else f"the last run of {run.kind} {run.flow_id}"
    state = state or ("was cancelled" if outcome is Outcome.SKIPPED else _ENDED_AS[outcome])
    errors = [*run.errors, *(f"{resource.name}: {text}" for resource in run.resources for text in resource.errors)]
    details = f": {'; '.join(errors)}" if errors and outcome is not Outcome.SUCCEEDED else ""
    return f"{subject} {state}{details}"[:_MAX_REASON_CHARS]


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
    return f"{subject} been shown for {seconds:.0f} s{f'; {hint}' if hint else ''}"


# -- polls that bring no run


def not_found(text: str, grace_seconds: float, *, was_found: bool) -> str:
    """Return that something is not found, and why that may change.

    :param text: the service's words.
    :param grace_seconds: how long it may stay so.
    :param was_found: whether it was found before.
    """
    why = "it was found before" if was_found else "it may be too new"
    return f"{text}; {why}, trying again for {grace_seconds:.0f} s"


def gone(target: Target, seconds: float, text: str) -> str:
    """Return that something is not found any more.

    :param target: what was polled.
    :param seconds: how long it has not been found.
    :param text: the service's words.
    """
    return (
        f"{target} was found before and has not been found for {seconds:.0f} s; it may have been deleted, alone or "
        f"with its flow; last: {text}"
    )


def own_run_hidden(error: Exception) -> str:
    """Return that the task's own run is not found, which may pass."""
    return f"{error}; it may be hidden for a moment, trying again"


def unreachable(error: Exception) -> str:
    """Return that a poll failed and is repeated."""
    return f"the poll failed, trying again: {error}"


def unobservable(seconds: float, error: Exception) -> str:
    """Return that all polls have failed for as long as the error budget allows."""
    return f"no usable response for {seconds:.0f} s, the run may still be in progress; last: {error}"


# -- the end of a wait's time


def timed_out(seconds: float, limited_by: str, last_state: str, last_error: str | None) -> str:
    """Return that the run did not end in time.

    :param seconds: how long the wait was.
    :param limited_by: the argument that set its deadline.
    :param last_state: the run's state as it was last seen, empty when it never was.
    :param last_error: why the last poll failed, None when it did not.
    """
    argument = "" if limited_by == "timeout" else f" ({limited_by})"
    trouble = f"; the last poll failed: {last_error}" if last_error else ""
    return f"timed out after {seconds:.0f} s{argument}: {last_state or 'no run was seen'}{trouble}"


def failure_ignored(reason: str) -> str:
    """Return that a wait continues although it would have ended."""
    return f"{reason}; still waiting (silent_fail)"


def unknown_status(run: FlowRun) -> str:
    """Return that a run's status is unknown to this release."""
    return f"status {run.vendor_status!r} is unknown to this release; still waiting"
