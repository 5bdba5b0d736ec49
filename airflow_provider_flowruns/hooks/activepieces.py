"""Hook for Activepieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.services.activepieces import DEFAULT_LIMIT, ActivepiecesApi

if TYPE_CHECKING:
    from airflow_provider_flowruns.services.model import Flow, FlowRun


class ActivepiecesHook(FlowRunsHook[ActivepiecesApi]):
    """
    Reads flows and flow runs of Activepieces, in the cloud or self-hosted.

    Every method raises an :class:`~airflow_provider_flowruns.exceptions.ApiError` when the service gives no usable
    answer, ``InvalidArgument`` before any request when an argument cannot be right, and ``ConfigurationError`` when the
    connection cannot (lists need its ``project_id``).

    :param activepieces_conn_id: Airflow connection of type ``activepieces``.
    """

    conn_name_attr = "activepieces_conn_id"
    default_conn_name = "activepieces_default"
    conn_type = "activepieces"
    hook_name = "Activepieces"

    def __init__(self, activepieces_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.activepieces_conn_id = activepieces_conn_id

    def get_flow_run(self, run_id: str) -> FlowRun:
        """
        Return one run; its ``raw`` holds the data of all steps (``GET /api/v1/flow-runs/{id}``).

        :param run_id: 21 letters and digits.
        """
        return self._send(self.api.get_flow_run(run_id))

    def list_flow_runs(
        self,
        *,
        flow_id: str | None = None,
        status: Iterable[str] | str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        limit: int | str = DEFAULT_LIMIT,
    ) -> Iterator[FlowRun]:
        """
        Yield the project's production runs, newest first (``GET /api/v1/flow-runs``).

        :param flow_id: only runs of this flow.
        :param status: only runs in this status, or one of these, in the service's words.
        :param created_after: leave out runs created before this time.
        :param created_before: leave out runs created after this time.
        :param limit: runs a page, 1 to 1000.
        """
        return self._iterate(
            self.api.list_flow_runs(
                flow_id=flow_id,
                status=status,
                created_after=created_after,
                created_before=created_before,
                limit=limit,
            )
        )

    def list_flows(self, *, limit: int | str = DEFAULT_LIMIT) -> Iterator[Flow]:
        """
        Yield the project's flows (``GET /api/v1/flows``).

        :param limit: flows a page, 1 to 1000.
        """
        return self._iterate(self.api.list_flows(limit=limit))
