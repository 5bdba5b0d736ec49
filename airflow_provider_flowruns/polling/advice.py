"""What a user can do about a wait that did not succeed: which argument to change, and where to look."""

from __future__ import annotations

from airflow_provider_flowruns.model.errors import FlowRunsError, NotFoundError, from_record
from airflow_provider_flowruns.model.runs import Lifecycle
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitConfig, WaitResult
from airflow_provider_flowruns.polling.wording import format_moment, format_seconds


def advise(result: WaitResult, config: WaitConfig) -> str:
    """Return what to do about the end of a wait; empty after a success, or where the reason itself says it.

    :param result: the end of the wait.
    :param config: what the wait was for.
    """
    match result.outcome:
        case Outcome.FAILED if result.run and result.run["lifecycle"] == Lifecycle.PAUSED:
            return "let someone continue the run in the service and clear this task, or set on_paused='wait'"
        case Outcome.FAILED:
            return "open the run in the service, mend what it reports, then clear this task"
        case Outcome.CANCELED:
            return "ask who cancelled the run, then clear this task; on_canceled='skip' if that is nothing to fail for"
        case Outcome.TIMED_OUT:
            return _advise_on_timeout(result, config)
        case Outcome.UNOBSERVABLE if result.error:
            return _advise_on_errors(from_record(result.error), config)
    return ""


def _advise_on_errors(error: FlowRunsError, config: WaitConfig) -> str:
    if isinstance(error, NotFoundError):
        return "see in the service whether it was deleted; if not, clear this task, which looks again"
    return (
        "see whether the service is up and reachable from worker and triggerer, then clear this task, or raise "
        f"error_budget ({format_seconds(config.error_budget_seconds)})"
    )


def _advise_on_timeout(result: WaitResult, config: WaitConfig) -> str:
    argument = config.limited_by
    if result.run is not None:
        return f"see in the service whether the run is stuck; if it only needs longer, raise {argument}"
    guards = [
        f"{verb} {format_moment(at)} or later ({name})"
        for verb, name, at in (
            ("ended", "completed_after", config.completed_after_at),
            ("started", "started_after", config.started_after_at),
        )
        if at is not None
    ]
    if guards:
        return f"see in the service why no run {' and '.join(guards)}; if it is only late, raise {argument}"
    return f"see in the service why no run came; if it is only late, raise {argument}"
