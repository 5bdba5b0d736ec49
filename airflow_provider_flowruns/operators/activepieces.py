"""Operators on Activepieces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.arguments import check_range_when_known, check_when_known
from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
from airflow_provider_flowruns.operators.base import ReadOperator, summaries
from airflow_provider_flowruns.services.activepieces import DEFAULT_LIMIT, MAX_LIMIT, checked_flow_id, checked_run_id
from airflow_provider_flowruns.services.reading import checked_limit

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ActivepiecesGetFlowRunOperator(ReadOperator):
    """
    Return the summary of one flow run as it stands.

    Reads ``GET /api/v1/flow-runs/{id}``; the data of the run's steps stays out of XCom. Raises ``InvalidArgument`` for
    an id that cannot be one, and an ``ApiError`` when there is no usable answer.

    :param run_id: the run's id, 21 letters and digits, templated.
    :param activepieces_conn_id: Airflow connection of type ``activepieces``, templated.
    """

    template_fields: Sequence[str] = ("run_id", "activepieces_conn_id")
    hook_class = ActivepiecesHook

    def __init__(
        self, *, run_id: str, activepieces_conn_id: str = ActivepiecesHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.activepieces_conn_id = activepieces_conn_id
        check_when_known(run_id, checked_run_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the run's summary."""
        with self.hook as hook:
            summary: dict[str, Any] = hook.get_flow_run(self.run_id).summary()
            return summary


class ActivepiecesListFlowRunsOperator(ReadOperator):
    """
    Return the project's production runs, newest first, as a list of run summaries.

    Reads ``GET /api/v1/flow-runs``, which needs the connection's ``project_id``. A bad argument raises
    ``InvalidArgument`` before any request; a request without a usable answer raises an ``ApiError``.

    :param flow_id: only runs of this flow, templated.
    :param status: only runs in this status, or one of these, in the service's words, templated.
    :param created_after: leave out runs created before this time; datetime or ISO-8601 text, templated.
    :param created_before: leave out runs created after this time; datetime or ISO-8601 text, templated.
    :param limit: runs returned at most, 1 to 1000, templated.
    :param activepieces_conn_id: Airflow connection of type ``activepieces``, templated.
    """

    template_fields: Sequence[str] = (
        "flow_id",
        "status",
        "created_after",
        "created_before",
        "limit",
        "activepieces_conn_id",
    )
    hook_class = ActivepiecesHook

    def __init__(
        self,
        *,
        flow_id: str | None = None,
        status: Sequence[str] | str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        limit: int | str = DEFAULT_LIMIT,
        activepieces_conn_id: str = ActivepiecesHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.status = status
        self.created_after = created_after
        self.created_before = created_before
        self.limit = limit
        self.activepieces_conn_id = activepieces_conn_id
        check_when_known(flow_id, checked_flow_id)
        check_when_known(limit, partial(checked_limit, most=MAX_LIMIT))
        check_range_when_known(created_after, created_before, "created_after", "created_before")

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the runs' summaries."""
        with self.hook as hook:
            runs = hook.list_flow_runs(
                flow_id=self.flow_id,
                status=self.status,
                created_after=self.created_after,
                created_before=self.created_before,
                limit=self.limit,
            )
            return summaries(runs, checked_limit(self.limit, most=MAX_LIMIT))
