"""The commands ``runs`` and ``run``."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_flowruns.cli.commands import MAX_SEARCHED_RUNS
from airflow_provider_flowruns.cli.connections import open_hook
from airflow_provider_flowruns.cli.exit_codes import ExitCode
from airflow_provider_flowruns.cli.output import (
    clean_line,
    describe_state,
    format_duration,
    format_time,
    get_seconds,
    print_line,
    print_note,
    print_pairs,
    print_records,
    print_table,
)
from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.steps import RunStep
from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget
from airflow_provider_flowruns.services.parsing import parse_word
from airflow_provider_flowruns.services.validation import validate_limit, validate_time

#: Number of newest runs that are searched first; most searches find enough among them.
_FIRST_SEARCH = 100
_AGO = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def show_runs(args: Namespace) -> int:
    """Print the newest runs of a flow.

    :param args: the command's arguments.
    """
    limit = validate_limit(args.limit, argument="--limit", maximum=MAX_SEARCHED_RUNS)
    since = _parse_since(args.since)
    with open_hook(args.conn_id) as hook:
        target = NewestRunsTarget(hook.conn_type, hook.api.validate_flow_id(args.flow))
        runs, is_complete = _search(hook, target, limit, since, args.status)
    if args.output == "table":
        columns = ("RUN", "STATE", "TRIGGER", "CREATED", "TOOK", "ROWS LOADED", "ERROR")
        print_table(columns, [_build_row(run) for run in runs])
    else:
        print_records([run.summary() for run in runs], args.output)
    if not runs and is_complete:
        print_note("note: no run of the flow matches" if args.since or args.status else "note: the flow has no run yet")
    if not is_complete:
        print_note(f"note: only the newest {MAX_SEARCHED_RUNS:,} runs of the flow were searched")
    return ExitCode.OK


def _parse_since(text: str | None) -> datetime | None:
    if text is None:
        return None
    if ago := _AGO.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    return validate_time(text, argument="--since")


def _search(
    hook: FlowRunsHook[Any], target: NewestRunsTarget, limit: int, since: datetime | None, status: str | None
) -> tuple[list[FlowRun], bool]:
    """Return the newest runs that are wanted, and whether there can be no others among older runs of the flow."""
    is_filtered = since is not None or status is not None
    for count in (_FIRST_SEARCH, MAX_SEARCHED_RUNS) if is_filtered else (limit,):
        size = max(count, limit)
        newest = hook.client.execute(hook.api.poll(NewestRunsTarget(target.service, target.flow_id, size)))
        found = [run for run in newest if _is_wanted(run, since, status)][:limit]
        is_complete = not is_filtered or len(found) == limit or len(newest) < size or _reaches_back_to(since, newest)
        if is_complete:
            break
    return found, is_complete


def _is_wanted(run: FlowRun, since: datetime | None, status: str | None) -> bool:
    words = {parse_word(word) for word in (run.vendor_status, *run.vendor_status.split("/"))}
    has_status = status is None or parse_word(status) in {*words, str(run.lifecycle), str(run.disposition)}
    return has_status and (since is None or (run.created_at is not None and run.created_at >= since))


def _reaches_back_to(since: datetime | None, runs: Sequence[FlowRun]) -> bool:
    return since is not None and any(run.created_at and run.created_at < since for run in runs)


def _build_row(run: FlowRun) -> list[str]:
    rows, errors = run.rows(), list(_iterate_errors(run))
    return [
        run.run_id or "",
        describe_state(run),
        run.trigger or "",
        format_time(run.created_at),
        format_duration(get_seconds(run)),
        f"{rows['loaded']:,}" if rows else "",
        errors[0] if errors else "",
    ]


def _iterate_errors(run: FlowRun) -> Iterator[str]:
    yield from run.errors
    for resource in run.resources:
        yield from (f"{resource.name}: {text}" for text in resource.errors)


def show_run(args: Namespace) -> int:
    """Print one run.

    :param args: the command's arguments.
    """
    with open_hook(args.conn_id) as hook:
        target = build_run_target(hook, args.run_id, args.flow)
        run: FlowRun = hook.client.execute(hook.api.poll(target))[0]
        steps = hook.api.list_steps(run)
    if args.output == "table":
        print_pairs(_describe_run(run))
        if steps:
            print_line("")
            print_table(("STEP", "TITLE", "STATE", "TOOK", "ERROR"), [_build_step_row(step) for step in steps])
    else:
        print_records({**run.summary(), "steps": [step.summary() for step in steps]}, args.output)
    return ExitCode.OK


def build_run_target(hook: FlowRunsHook[Any], run_id: str, flow_id: str | None) -> RunTarget:
    """Return the target for a run that a command names.

    :param hook: the hook for its connection.
    :param run_id: the run's id.
    :param flow_id: its flow's id, None if it was not given.
    :raises InvalidArgumentError: an id is not valid, or the service needs the run's flow to find it.
    """
    flow = hook.api.validate_flow_id(flow_id) if flow_id is not None else None
    target = RunTarget(hook.conn_type, hook.api.validate_run_id(run_id), flow)
    try:
        next(hook.api.poll(target))  # only describes the first request
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{error}; name it with --flow") from None
    return target


def _describe_run(run: FlowRun) -> Iterator[tuple[str, str]]:
    yield "run", run.run_id or ""
    yield "flow", run.flow_id or ""
    yield "state", describe_state(run)
    yield "attempt", str(run.attempt or "")
    yield "trigger", run.trigger or ""
    yield "created", format_time(run.created_at)
    yield "started", format_time(run.started_at)
    yield "ended", format_time(run.completed_at)
    yield "took", format_duration(get_seconds(run))
    if rows := run.rows():
        yield "rows", f"{rows['extracted']:,} extracted, {rows['loaded']:,} loaded"
    for resource in run.resources:
        yield f"  {clean_line(resource.name)}", f"{resource.extracted:,} extracted, {resource.loaded:,} loaded"
    for error in _iterate_errors(run):
        yield "error", error
    yield "link", run.url or ""


def _build_step_row(step: RunStep) -> list[str]:
    error = (step.error or "").partition("\n")[0]
    return [step.name, step.title or "", step.status, format_duration(step.seconds), error]
