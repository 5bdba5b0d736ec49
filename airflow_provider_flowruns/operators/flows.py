"""Base of the operators that list flows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from airflow_provider_flowruns.operators.base import ReadOperator
from airflow_provider_flowruns.tasks.base import HookT
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.xcom_size import collect_for_xcom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.runs import Flow, FlowSummary


class ListFlowsOperator(ReadOperator[HookT]):
    """Base of the operators that list flows.

    The result is a list of ``{"service", "flow_id", "name", "enabled"}``; ``enabled`` is None where the service does
    not say it. A request without a usable response raises an ``ApiError``.

    :raises ResultTooLarge: as soon as the flows take more bytes of JSON than ``[flowruns] max_xcom_bytes`` (default
        1 MiB).
    """

    @abstractmethod
    def list_flows(self) -> Iterable[Flow]:
        """Return the flows."""

    @explains_errors
    def execute(self, context: Context) -> list[FlowSummary]:
        """Return the flows' summaries."""
        with self.hook as hook:
            way_out = f"use {type(hook).__name__}.list_flows in a task of your own, or raise the limit"
            return collect_for_xcom((flow.summary() for flow in self.list_flows()), "flow", way_out)
