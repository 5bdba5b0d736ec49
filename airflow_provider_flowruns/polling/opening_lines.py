"""What a wait says before its first poll: what it waits for, until when, how often it polls and where."""

from __future__ import annotations

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
    return (
        f"Waiting for {_describe_target(config, title)}",
        f"Until {format_moment(config.deadline_at)} ({config.limited_by}), {_describe_interval(config, mode)}; {mode}; "
        f"fails after {format_seconds(config.error_budget_seconds)} without a response (error_budget)",
    )


def describe_takeover(config: WaitConfig, title: str, first_poll_seconds: float) -> tuple[str, ...]:
    """Return the lines with which the triggerer continues a wait.

    :param config: what the wait is for.
    :param title: the service's title.
    :param first_poll_seconds: seconds until the triggerer's first poll.
    """
    return (
        f"The triggerer waits for {_describe_target(config, title)}",
        f"Until {format_moment(config.deadline_at)} ({config.limited_by}), {_describe_interval(config, '')}; "
        f"next poll in {format_seconds(first_poll_seconds)}",
    )


def _describe_target(config: WaitConfig, title: str) -> str:
    target = config.target
    match target:
        case RunTarget():
            flow = f" of flow {target.flow_id}" if target.flow_id else ""
            return f"the end of {title} run {target.run_id}{flow}{_describe_guards(config)}"
        case StartedRunTarget():
            return f"the end of the run that this task started on {title} flow {target.flow_id}"
        case NewestRunsTarget() | FlowStatusTarget() | WorkflowStatusTarget():
            if config.is_guarded:
                return f"a run of {title} {target}{_describe_guards(config)}"
            return f"the last run of {title} {target}, whatever its age (no completed_after)"


def _describe_guards(config: WaitConfig) -> str:
    guards = [
        f" that {verb} at {format_moment(at)} or later ({argument})"
        for verb, at, argument in (
            ("ended", config.completed_after_at, "completed_after"),
            ("started", config.started_after_at, "started_after"),
        )
        if at is not None
    ]
    if config.ignore_ends_until_at is not None:
        guards.append(f" after {format_moment(config.ignore_ends_until_at)}, when an earlier attempt of it ended")
    return " and".join(guards)


def _describe_interval(config: WaitConfig, mode: str) -> str:
    interval = format_seconds(config.interval_seconds)
    if config.is_backing_off:
        most = config.max_interval_seconds
        return f"polls every {interval}, doubling each time{f' up to {format_seconds(most)}' if most else ''}"
    return f"polls every {interval} or {'later' if 'reschedule' in mode else 'sooner'}"
