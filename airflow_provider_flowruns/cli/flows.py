"""The command ``flows``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable
from typing import Any, NamedTuple

from airflow_provider_flowruns.cli.connections import open_hook
from airflow_provider_flowruns.cli.errors import CommandError
from airflow_provider_flowruns.cli.exit_codes import ExitCode
from airflow_provider_flowruns.cli.output import (
    describe_state,
    format_duration,
    format_time,
    get_seconds,
    print_error,
    print_records,
    print_table,
)
from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.model.errors import ApiError
from airflow_provider_flowruns.model.runs import Flow, FlowRun
from airflow_provider_flowruns.model.targets import NewestRunsTarget


class FlowWithRun(NamedTuple):
    """A flow and its newest run.

    :param flow: the flow.
    :param run: its newest run, None when it has none or that could not be read.
    :param error: why it could not be read, None otherwise.
    """

    flow: Flow
    run: FlowRun | None
    error: ApiError | None = None


def show_flows(args: Namespace) -> int:
    """Print the flows that a connection sees, each with its last run.

    :param args: the command's arguments.
    """
    with open_hook(args.conn_id) as hook:
        rows = [_read_last_run(hook, flow) for flow in list(list_flows(hook))]
    if args.output == "table":
        print_table(("FLOW", "NAME", "LAST RUN", "STATE", "CREATED", "TOOK"), [_build_row(row) for row in rows])
    else:
        print_records([_build_record(row) for row in rows], args.output)
    failures = [row for row in rows if row.error]
    for row in failures[:1]:
        print_error(
            f"the last run of {len(failures)} of {format_count(len(rows), 'flow')} could not be read: {row.error}"
        )
    return ExitCode.ERROR if failures else ExitCode.OK


def list_flows(hook: FlowRunsHook[Any]) -> Iterable[Flow]:
    """Return the flows that a connection sees; some services send them page by page, while they are consumed.

    :param hook: the hook for the connection.
    :raises CommandError: the hook, of another package, cannot list flows.
    """
    list_all = getattr(hook, "list_flows", None)
    if list_all is None:
        raise CommandError(f"the hook for {hook.info.title} cannot list flows")
    flows: Iterable[Flow] = list_all()
    return flows


def _read_last_run(hook: FlowRunsHook[Any], flow: Flow) -> FlowWithRun:
    _show_progress(f"reading the last run of flow {flow.flow_id} ...")
    try:
        runs = hook.client.execute(hook.api.poll(NewestRunsTarget(hook.conn_type, flow.flow_id, 1)))
    except ApiError as error:
        return FlowWithRun(flow, None, error)
    finally:
        _show_progress("")
    return FlowWithRun(flow, runs[0] if runs else None)


def _show_progress(text: str) -> None:
    """Show what is being done on the last line of a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _build_row(row: FlowWithRun) -> list[str]:
    run = row.run
    return [
        row.flow.flow_id,
        f"{row.flow.name or ''}{' (disabled)' if row.flow.enabled is False else ''}",
        (run.run_id or "") if run else "",
        describe_state(run) if run else "not readable" if row.error else "no run yet",
        format_time(run.created_at) if run else "",
        format_duration(get_seconds(run)) if run else "",
    ]


def _build_record(row: FlowWithRun) -> dict[str, Any]:
    last_run = dict(row.run.summary()) if row.run else None
    return {**row.flow.summary(), "last_run": last_run, "error": str(row.error) if row.error else None}
