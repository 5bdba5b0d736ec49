"""Operators on Portable."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.arguments import check_range_when_known, check_when_known
from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.operators.base import ReadOperator, summaries
from airflow_provider_flowruns.services.portable import DEFAULT_LIMIT, MAX_LIMIT, checked_flow_id, checked_sort
from airflow_provider_flowruns.services.reading import checked_limit

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class PortableGetRunAttemptsOperator(ReadOperator):
    """
    Return the run attempts of a flow, as a list of run summaries in the order asked for.

    Reads ``GET /v2/flows/{id}/run``. A bad argument raises ``InvalidArgument`` before any request, at DAG parse where
    its value is known by then; a request without a usable answer raises an ``ApiError``.

    :param flow_id: the flow's number, templated.
    :param limit: attempts returned at most, 1 to 1000, templated.
    :param sort: ``DESC`` (newest first) or ``ASC``, by the time of creation, templated.
    :param start_time: leave out attempts before this time; datetime or ISO-8601 text, templated.
    :param end_time: leave out attempts after this time; datetime or ISO-8601 text, templated.
    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "limit", "sort", "start_time", "end_time", "portable_conn_id")
    hook_class = PortableHook

    def __init__(
        self,
        *,
        flow_id: int | str,
        limit: int | str = DEFAULT_LIMIT,
        sort: str = "DESC",
        start_time: datetime | str | None = None,
        end_time: datetime | str | None = None,
        portable_conn_id: str = PortableHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.limit = limit
        self.sort = sort
        self.start_time = start_time
        self.end_time = end_time
        self.portable_conn_id = portable_conn_id
        check_when_known(flow_id, checked_flow_id)
        check_when_known(limit, partial(checked_limit, most=MAX_LIMIT))
        check_when_known(sort, checked_sort)
        check_range_when_known(start_time, end_time, "start_time", "end_time")

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the run attempts' summaries."""
        with self.hook as hook:
            attempts = hook.get_run_attempts(
                self.flow_id, limit=self.limit, sort=self.sort, start_time=self.start_time, end_time=self.end_time
            )
            return summaries(attempts, checked_limit(self.limit, most=MAX_LIMIT))
