"""Start flows of TableFlow, and write their tables, for its operators; imported when a task runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.exceptions import ExtractToFailed
from airflow_provider_flowruns.model.calls import Part
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.runs import Flow, RunSummary
from airflow_provider_flowruns.operators.extract_to import prepare_extract_to
from airflow_provider_flowruns.operators.file_arguments import parse_file_metadata, parse_files, parse_guidance
from airflow_provider_flowruns.operators.files import build_file_parts
from airflow_provider_flowruns.polling.messages import describe
from airflow_provider_flowruns.services.payload import parse_object
from airflow_provider_flowruns.services.tableflow import shows_start
from airflow_provider_flowruns.tasks.started_run import StartedRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.hooks.tableflow import TableFlowHook
    from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
    from airflow_provider_flowruns.tasks.starting import RunStarter


def start_flow(task: TableFlowRunFlowOperator, flow_id: str, starter: RunStarter) -> StartedRun:
    """Send a task's files and start its flow.

    :param task: the operator.
    :param flow_id: the flow's id.
    :param starter: sends the start once, and saves what is known of the run.
    :raises InvalidArgumentError: an argument is invalid, or does not fit the flow.
    :raises ApiError: the service rejected a request.
    """
    metadata = parse_object(task.metadata, argument="metadata", reserved=task.correlation_key)
    about_files = parse_files(task.files), parse_file_metadata(task.file_metadata), parse_guidance(task.guidance)
    files = build_file_parts(_find_flow(task.hook, flow_id), *about_files)
    marker = starter.new_marker(task.correlation_key)
    texts = [Part("metadata", json.dumps({**metadata, marker.correlation_key: marker.correlation}))]
    if task.name:
        texts.append(Part("name", str(task.name)))  # rendered natively, a name of digits is a number
    call = task.hook.api.run_flow(flow_id, (*files, *texts))
    return starter.start(StartedRun(flow_id, marker), call)


def extract_tables(task: TableFlowRunFlowOperator, summary: RunSummary, context: Context) -> list[dict[str, Any]]:
    """Write the tables of a task's run, and return a manifest of each file.

    :param task: the operator, whose run has succeeded.
    :param summary: the run's summary.
    :param context: Airflow's context of the task.
    :raises ExtractToFailed: they cannot be written, and trying again would not change that.
    """
    run = task.read_again(summary)
    try:
        if not task.is_certainly_own(run, shows_start):
            raise ExtractToFailed(
                f"TableFlow {describe(run)} does not show that this task started it, so its tables may be those of "
                "another start: read them with TableFlowGetTableRowsOperator if there is no other start"
            )
        return task.write_tables(prepare_extract_to(task.extract_to), run, context)
    except ExtractToFailed:
        # It is due to the run: a cleared task starts a new one.
        task.waiting.save_delivered()
        raise
    except InvalidArgumentError as error:
        # A cleared task, with the argument corrected, takes the same run.
        raise ExtractToFailed(f"TableFlow {describe(run)}; its tables cannot be written: {error}") from error


def _find_flow(hook: TableFlowHook, flow_id: str) -> Flow:
    flows: dict[str, Flow] = {flow.flow_id: flow for flow in hook.list_flows()}
    if flow_id not in flows:
        raise InvalidArgumentError(f"flow_id {flow_id!r} is not among the workspace's active flows: {', '.join(flows)}")
    return flows[flow_id]
