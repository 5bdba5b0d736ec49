"""Read the flows of a connection with their newest runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from airflow_provider_flowruns.cli.connections import open_hook
from airflow_provider_flowruns.cli.flows import list_flows
from airflow_provider_flowruns.client.retry import ONCE
from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.model.errors import (
    ApiError,
    FlowRunsError,
    NotFoundError,
    PermissionDeniedError,
    UnexpectedResponseError,
)
from airflow_provider_flowruns.model.runs import Flow, FlowRun
from airflow_provider_flowruns.model.targets import NewestRunsTarget
from airflow_provider_flowruns.triggers.faults import describe_fault

log = logging.getLogger(__name__)

#: Number of newest runs of each flow.
RUNS_SHOWN = 30
#: Number of flows whose runs are read; each costs a request.
MAX_FLOWS = 50
#: After this time no further flow is requested.
MAX_READING_SECONDS = 30.0
#: Errors that concern one flow; all others would repeat themselves at the next one.
_ERRORS_OF_A_FLOW = (NotFoundError, PermissionDeniedError, UnexpectedResponseError)


class FlowHistory(NamedTuple):
    """A flow and its newest runs.

    :param flow: the flow.
    :param runs: its newest runs, newest first; None if they were not read.
    :param error: why they could not be read, None otherwise.
    """

    flow: Flow
    runs: Sequence[FlowRun] | None
    error: str | None = None


class ConnectionHistory(NamedTuple):
    """What was read of a connection.

    :param histories: its flows.
    :param read_at: when the reading ended.
    :param error: what ended it early, None otherwise.
    :param is_complete: whether there are no further flows.
    """

    histories: Sequence[FlowHistory]
    read_at: datetime
    error: str | None = None
    is_complete: bool = True


def read_history(conn_id: str) -> ConnectionHistory:
    """Return the flows of a connection with their newest runs. What fails is part of the result.

    :param conn_id: id of the connection.
    """
    histories: list[FlowHistory] = []
    is_complete, error = True, None
    try:
        with open_hook(conn_id) as hook:
            flows = list(islice(list_flows(hook), MAX_FLOWS + 1))
            is_complete = len(flows) <= MAX_FLOWS
            _read_runs(hook, flows[:MAX_FLOWS], histories)
    except FlowRunsError as caught:
        error = str(caught)
    except Exception as caught:
        error = describe_fault(caught)
        log.warning("Connection %r is not shown: %s", conn_id, error)
    return ConnectionHistory(histories, datetime.now(UTC), error, is_complete)


def _read_runs(hook: FlowRunsHook[Any], flows: Sequence[Flow], histories: list[FlowHistory]) -> None:
    histories += [FlowHistory(flow, None) for flow in flows]
    ends_at = time.monotonic() + MAX_READING_SECONDS
    for number, flow in enumerate(flows):
        if time.monotonic() > ends_at:
            return
        histories[number] = _read_flow(hook, flow)


def _read_flow(hook: FlowRunsHook[Any], flow: Flow) -> FlowHistory:
    try:
        target = NewestRunsTarget(hook.conn_type, hook.api.validate_flow_id(flow.flow_id), RUNS_SHOWN)
        runs = hook.client.execute(hook.api.poll(target), ONCE)
    except ApiError as error:
        if not isinstance(error, _ERRORS_OF_A_FLOW):
            raise
        return FlowHistory(flow, (), str(error))
    return FlowHistory(flow, runs[:RUNS_SHOWN])
