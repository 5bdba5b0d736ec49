"""The command ``why``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from airflow_provider_flowruns.cli.errors import CommandError
from airflow_provider_flowruns.cli.exit_codes import ExitCode
from airflow_provider_flowruns.cli.output import format_duration, format_time, print_line, print_pairs
from airflow_provider_flowruns.cli.saved_triggers import DeferredTask, read_task_instances
from airflow_provider_flowruns.model import saved
from airflow_provider_flowruns.model.targets import RunTarget, StartedRunTarget, Target
from airflow_provider_flowruns.polling.wait_state import SavedWait, WaitConfig, WaitState
from airflow_provider_flowruns.services.registry import get_service

TRIGGER_CLASS = "airflow_provider_flowruns.triggers.flow_run.FlowRunTrigger"


def show_waits(args: Namespace) -> int:
    """Print what a deferred task waits for; for a mapped task, what each of its deferred instances does.

    :param args: the command's arguments.
    """
    where = f"task {args.task_id} of {args.dag_id} in DAG run {args.dag_run_id}"
    instances = read_task_instances(args.dag_id, args.dag_run_id, args.task_id)
    if not instances:
        raise CommandError(f"Airflow's database has no {where}: check the three ids")
    deferred = [task for task in instances if task.trigger_class is not None]
    if not deferred:
        states = ", ".join(dict.fromkeys(task.state or "without a state" for task in instances))
        raise CommandError(f"{where} is not deferred: it is {states}")
    for number, task in enumerate(deferred):
        print_line("" if number else f"{where} is deferred:")
        print_pairs(_describe(task))
    return ExitCode.OK


def _describe(task: DeferredTask) -> Iterator[tuple[str, str]]:
    if task.map_index >= 0:
        yield "map index", str(task.map_index)
    yield "deferred", f"{format_time(task.created_at)}, try {task.try_number}"
    yield "triggerer", task.triggerer or "none has taken the trigger over: is a triggerer running?"
    if task.trigger_class != TRIGGER_CLASS:
        yield "trigger", f"{task.trigger_class}, which is not of this package"
        return
    try:
        wait = saved.from_json(str(task.arguments.get("waiter")), SavedWait)
    except ValueError as error:
        raise CommandError(str(error)) from None
    yield from _describe_wait(wait.config, wait.state, task)


def _describe_wait(config: WaitConfig, state: WaitState, task: DeferredTask) -> Iterator[tuple[str, str]]:
    now = datetime.now(UTC).timestamp()
    yield "waits for", describe_target(config.target, state)
    yield "connection", str(task.arguments.get("conn_id"))
    yield "accepts", "\n".join(describe_guards(config))
    yield "paused run", config.on_paused
    yield "cancelled run", config.on_canceled
    yield "until", _describe_deadline(config, now)
    yield "gives up", f"after {format_duration(config.error_budget_seconds)} without a usable response"
    yield "polls", f"at most {format_duration(config.interval_seconds)} apart"
    yield "if killed", "cancels the run" if task.arguments.get("cancel_on_kill") else ""
    # The triggerer keeps what it sees to itself: this is older than the deferral.
    yield "when deferred", state.last_message or "no run had been seen"
    yield "last error", state.last_error or ""
    yield "see now", _suggest(config.target, state, str(task.arguments.get("conn_id")))


def describe_target(target: Target, state: WaitState) -> str:
    """Return what a wait is for, in words.

    :param target: what it polls at first.
    :param state: what it remembered when it was saved.
    """
    title = get_service(target.service).info.title
    if isinstance(target, StartedRunTarget) and not state.followed_run_id:
        return f"the run of {title} flow {target.flow_id} that the task started, whose id was not known yet"
    if state.followed_run_id:
        return f"run {state.followed_run_id} of {title} {target}"
    flow = f" of flow {target.flow_id}" if isinstance(target, RunTarget) and target.flow_id else ""
    kind = "" if isinstance(target, RunTarget) else "the last run of "
    return f"{kind}{title} {target}{flow}"


def describe_guards(config: WaitConfig) -> Iterator[str]:
    """Yield what a run has to be to count, one condition a line.

    :param config: the configuration of the wait.
    """
    if config.completed_after_at is not None:
        yield f"a run that ended at {_format_unix(config.completed_after_at)} or later (completed_after)"
    if config.started_after_at is not None:
        yield f"a run that started at {_format_unix(config.started_after_at)} or later (started_after)"
    if config.ignore_ends_until_at is not None:
        yield f"an end of the run after {_format_unix(config.ignore_ends_until_at)}: an earlier attempt does not count"


def _describe_deadline(config: WaitConfig, now: float) -> str:
    left = config.deadline_at - now
    rest = f"in {format_duration(round(left))}" if left > 0 else f"{format_duration(round(-left))} ago"
    return f"{_format_unix(config.deadline_at)}, {rest} ({config.limited_by})"


def _suggest(target: Target, state: WaitState, conn_id: str) -> str:
    """Return the command that shows the state of the run or flow now."""
    run_id: str | None = target.run_id if isinstance(target, RunTarget) else state.followed_run_id
    flow_id: Any = getattr(target, "flow_id", None)
    if run_id:
        return f"run {run_id}{f' --flow {flow_id}' if flow_id else ''} --conn-id {conn_id}"
    return f"runs {flow_id} --conn-id {conn_id}" if flow_id else ""


def _format_unix(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(seconds, UTC))
