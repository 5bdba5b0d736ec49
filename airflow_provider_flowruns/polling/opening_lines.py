"""What a wait says before its first poll: what it waits for, until when, how often it polls and where."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_flowruns.model.targets import (
    FlowStatusTarget,
    NewestRunsTarget,
    RunTarget,
    StartedRunTarget,
    WorkflowStatusTarget,
)
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.polling.wording import format_moment, format_seconds


def describe_wait(config: WaitConfig, title: str, mode: str) -> tuple[str, ...]:
    """Return the lines with which a wait begins.

    :param config: what the wait is for.
    :param title: the service's title.
    :param mode: how the task waits, as the arguments that say so: ``mode="poke"``, ``deferrable=True``.
    """
    budget = format_seconds(config.error_budget_seconds)
    return (
        f"Waiting for {_describe_target(config, title)}",
        *_describe_guards(config),
        f"Waits until {format_moment(config.deadline_at)} ({config.limited_by}), with {mode}",
        f"{_describe_interval(config, mode)}; fails after {budget} without a response (error_budget)",
    )


def describe_takeover(config: WaitConfig, title: str, first_poll_seconds: float) -> str:
    """Return the line with which the triggerer continues a wait.

    :param config: what the wait is for.
    :param title: the service's title.
    :param first_poll_seconds: seconds until the triggerer's first poll.
    """
    # Without the deadline, which the task has logged: the line has to fit.
    return (
        f"The triggerer waits for {_describe_target(config, title)}; next poll in {format_seconds(first_poll_seconds)}"
    )


def _describe_target(config: WaitConfig, title: str) -> str:
    target = config.target
    match target:
        case RunTarget():
            return f"{title} run {target.run_id}{f' of flow {target.flow_id}' if target.flow_id else ''}"
        case StartedRunTarget():
            return f"the run that this task started on {title} flow {target.flow_id}"
        case NewestRunsTarget() | FlowStatusTarget() | WorkflowStatusTarget():
            return f"{'a' if config.is_guarded else 'the last'} run of {title} {target}"


def _describe_guards(config: WaitConfig) -> Iterator[str]:
    for verb, at, argument in (
        ("ended", config.completed_after_at, "completed_after"),
        ("started", config.started_after_at, "started_after"),
    ):
        if at is not None:
            yield f"Only a run that {verb} {format_moment(at)} or later counts ({argument})"
    if config.ignore_ends_until_at is not None:
        yield f"Only an end after {format_moment(config.ignore_ends_until_at)} counts: an earlier attempt ended then"
    if not config.is_guarded and not isinstance(config.target, RunTarget | StartedRunTarget):
        yield "The last run counts whatever its age (no completed_after)"


def _describe_interval(config: WaitConfig, mode: str) -> str:
    interval = format_seconds(config.interval_seconds)
    if config.is_backing_off:
        most = config.max_interval_seconds
        return f"Polls every {interval}, doubling each time{f' up to {format_seconds(most)}' if most else ''}"
    return f"Polls every {interval} or {'later' if 'reschedule' in mode else 'sooner'}"
