"""Hook for Portable."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.services.catalog import PORTABLE
from airflow_provider_flowruns.services.portable_arguments import DEFAULT_LIMIT

if TYPE_CHECKING:
    from airflow_provider_flowruns.model.choices import SortOrder
    from airflow_provider_flowruns.model.runs import Flow, FlowRun
    from airflow_provider_flowruns.services.portable import PortableApi  # noqa: F401 (the base class quotes it)


class PortableHook(FlowRunsHook["PortableApi"]):
    """Reads flows, workflows and run attempts of Portable.

    Every method raises an :class:`~airflow_provider_flowruns.exceptions.ApiError` if there is no usable response, and
    before any request ``InvalidArgumentError`` for an invalid argument or ``ConfigurationError`` for an invalid
    connection.

    :param portable_conn_id: Airflow connection of type ``portable``.
    """

    info = PORTABLE

    def __init__(self, portable_conn_id: str = PORTABLE.default_conn_id) -> None:
        super().__init__()
        self.portable_conn_id = portable_conn_id

    def get_flow_status(self, flow_id: int | str) -> FlowRun:
        """Return the last run of a flow, which has no run id here (``GET /v2/flows/{id}/status``).

        :param flow_id: the flow's number.
        """
        return self._send(self.api.get_flow_status(flow_id))

    def get_workflow_status(self, workflow_id: int | str) -> FlowRun:
        """Return the last run of a workflow, which has no run id (``GET /v2/workflows/{id}/status``).

        :param workflow_id: the workflow's number.
        """
        return self._send(self.api.get_workflow_status(workflow_id))

    def get_run_attempts(
        self,
        flow_id: int | str,
        *,
        limit: int | str = DEFAULT_LIMIT,
        sort: SortOrder = "DESC",
        start_time: datetime | str | None = None,
        end_time: datetime | str | None = None,
    ) -> Iterator[FlowRun]:
        """Yield the run attempts of a flow, asking for the next page when it is needed (``GET /v2/flows/{id}/run``).

        :param flow_id: the flow's number.
        :param limit: attempts a page, 1 to 1000.
        :param sort: ``DESC`` (newest first) or ``ASC``.
        :param start_time: leave out attempts before this time.
        :param end_time: leave out attempts after this time.
        """
        return self._iterate(
            self.api.get_run_attempts(flow_id, limit=limit, sort=sort, start_time=start_time, end_time=end_time)
        )

    def run_flow(self, flow_id: int | str) -> None:
        """Start a flow (``POST /v2/flows/{id}/run``); the service does not say which run that becomes.

        Sent again only if it provably was not carried out. After a ``ServiceConnectionError`` or ``ServerError`` check
        whether the flow is running before starting it again.

        :param flow_id: the flow's number.
        """
        self._send(self.api.run_flow(flow_id))

    def cancel_flow(self, flow_id: int | str) -> None:
        """Cancel whatever a flow is running; does nothing when it is idle (``POST /v2/flows/{id}/cancel``).

        :param flow_id: the flow's number.
        """
        self._send(self.api.cancel_flow(flow_id))

    def list_flows(self) -> tuple[Flow, ...]:
        """Return all flows of the account (``GET /v2/flows``)."""
        return self._send(self.api.list_flows())
