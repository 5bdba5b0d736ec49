"""Operators on TableFlow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.arguments import check_when_known
from airflow_provider_flowruns.hooks.tableflow import TableFlowHook
from airflow_provider_flowruns.operators.base import ReadOperator, summaries
from airflow_provider_flowruns.services.reading import checked_limit
from airflow_provider_flowruns.services.tableflow import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    checked_flow_id,
    checked_run_id,
    checked_status,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class TableFlowGetFlowRunOperator(ReadOperator):
    """
    Return the summary of one flow run as it stands.

    Reads ``GET /v2/flows/runs/{id}``. Raises ``InvalidArgument`` for an id that cannot be one, and an ``ApiError`` when
    there is no usable answer.

    :param run_id: the run's id, templated.
    :param tableflow_conn_id: Airflow connection of type ``tableflow``, templated.
    """

    template_fields: Sequence[str] = ("run_id", "tableflow_conn_id")
    hook_class = TableFlowHook

    def __init__(self, *, run_id: str, tableflow_conn_id: str = TableFlowHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.tableflow_conn_id = tableflow_conn_id
        check_when_known(run_id, checked_run_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the run's summary."""
        with self.hook as hook:
            summary: dict[str, Any] = hook.get_flow_run(self.run_id).summary()
            return summary


class TableFlowListFlowRunsOperator(ReadOperator):
    """
    Return the workspace's flow runs, newest first, as a list of run summaries.

    Reads ``GET /v2/flows/runs``. A bad argument raises ``InvalidArgument`` before any request; a request without a
    usable answer raises an ``ApiError``.

    :param flow_id: only runs of this flow, templated.
    :param status: only runs in this status: processing, review, completed or failed, templated.
    :param limit: runs returned at most, 1 to 1000, templated.
    :param tableflow_conn_id: Airflow connection of type ``tableflow``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "status", "limit", "tableflow_conn_id")
    hook_class = TableFlowHook

    def __init__(
        self,
        *,
        flow_id: str | None = None,
        status: str | None = None,
        limit: int | str = DEFAULT_LIMIT,
        tableflow_conn_id: str = TableFlowHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.status = status
        self.limit = limit
        self.tableflow_conn_id = tableflow_conn_id
        check_when_known(flow_id, checked_flow_id)
        check_when_known(status, checked_status)
        check_when_known(limit, partial(checked_limit, most=MAX_LIMIT))

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the runs' summaries."""
        with self.hook as hook:
            runs = hook.list_flow_runs(flow_id=self.flow_id, status=self.status, limit=self.limit)
            return summaries(runs, checked_limit(self.limit, most=MAX_LIMIT))
