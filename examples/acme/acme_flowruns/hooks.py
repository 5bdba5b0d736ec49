"""The hook for Acme."""

from __future__ import annotations

from typing import Any

from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.model.runs import FlowRun

from acme_flowruns.info import ACME
from acme_flowruns.service import AcmeApi


class AcmeHook(FlowRunsHook[AcmeApi]):
    """Reads flow runs of Acme.

    :param acme_conn_id: Airflow connection of type ``acme``.
    """

    info = ACME

    def __init__(self, acme_conn_id: str = ACME.default_conn_id) -> None:
        super().__init__()
        self.acme_conn_id = acme_conn_id

    def get_run(self, run_id: str) -> FlowRun:
        """Return one run.

        :param run_id: the run's id.
        """
        return self._send(self.api.get_run(run_id))

    def run_flow(self, flow_id: str, payload: Any = None) -> FlowRun:
        """Start a flow and return its new run.

        :param flow_id: the flow's id.
        :param payload: JSON object for the flow.
        """
        return self._send(self.api.run_flow(flow_id, payload))
