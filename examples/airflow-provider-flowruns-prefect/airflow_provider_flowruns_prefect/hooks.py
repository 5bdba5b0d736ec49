"""The hook for Prefect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns_prefect.info import PREFECT

if TYPE_CHECKING:
    from airflow_provider_flowruns.model.runs import Flow, FlowRun
    from airflow_provider_flowruns_prefect.service import PrefectApi  # noqa: F401 (the base class quotes it)


class PrefectHook(FlowRunsHook["PrefectApi"]):
    """Runs deployments of Prefect, and reads them and their flow runs.

    :param prefect_conn_id: Airflow connection of type ``prefect``.
    """

    info = PREFECT

    def __init__(self, prefect_conn_id: str = PREFECT.default_conn_id) -> None:
        super().__init__()
        self.prefect_conn_id = prefect_conn_id

    def get_flow_run(self, run_id: str) -> FlowRun:
        """Return one flow run.

        :param run_id: the run's id, a UUID.
        """
        return self._send(self.api.get_flow_run(run_id))

    def list_flow_runs(self, deployment_id: str | None = None, *, limit: int | str = 200) -> Iterator[FlowRun]:
        """Yield the flow runs that are due by now, newest first.

        :param deployment_id: only runs of this deployment.
        :param limit: runs a page, 1 to 200.
        """
        return self._iterate(self.api.list_flow_runs(deployment_id, limit=limit))

    def list_flows(self) -> Iterator[Flow]:
        """Yield the deployments, by name."""
        return self._iterate(self.api.list_flows())

    def run_deployment(
        self, deployment_id: str, parameters: Any = None, *, tags: Sequence[str] = (), key: str | None = None
    ) -> FlowRun:
        """Start a deployment and return its run.

        :param deployment_id: the deployment's id.
        :param parameters: JSON object with the parameters that differ from the deployment's own.
        :param tags: tags of the run.
        :param key: idempotency key; a run that has it already is returned, and none is started.
        """
        return self._send(self.api.run_flow(deployment_id, parameters, tags=tags, key=key))
