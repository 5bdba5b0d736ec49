"""Hook for TableFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.services.catalog import TABLEFLOW
from airflow_provider_flowruns.services.tableflow import DEFAULT_LIMIT, TableFlowApi

if TYPE_CHECKING:
    from airflow_provider_flowruns.model.runs import Flow, FlowRun


class TableFlowHook(FlowRunsHook[TableFlowApi]):
    """Reads flows and flow runs of TableFlow.

    Every method raises an :class:`~airflow_provider_flowruns.exceptions.ApiError` if there is no usable response, and
    before any request ``InvalidArgumentError`` for an invalid argument or ``ConfigurationError`` for an invalid
    connection.

    :param tableflow_conn_id: Airflow connection of type ``tableflow``.
    """

    info = TABLEFLOW

    def __init__(self, tableflow_conn_id: str = TABLEFLOW.default_conn_id) -> None:
        super().__init__()
        self.tableflow_conn_id = tableflow_conn_id

    def get_flow_run(self, run_id: str) -> FlowRun:
        """Return one flow run (``GET /v2/flows/runs/{id}``).

        :param run_id: the run's id, letters and digits.
        """
        return self._send(self.api.get_flow_run(run_id))

    def list_flow_runs(
        self, *, flow_id: str | None = None, status: str | None = None, limit: int | str = DEFAULT_LIMIT
    ) -> Iterator[FlowRun]:
        """Yield the workspace's flow runs, newest first (``GET /v2/flows/runs``).

        :param flow_id: only runs of this flow.
        :param status: only runs in this status: processing, review, completed or failed.
        :param limit: runs a page, 1 to 1000.
        """
        return self._iterate(self.api.list_flow_runs(flow_id=flow_id, status=status, limit=limit))

    def list_flows(self) -> tuple[Flow, ...]:
        """Return the workspace's active flows (``GET /v2/flows``)."""
        return self._send(self.api.list_flows())
