"""Operators on Acme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.operators.run import RunOperator
from airflow_provider_flowruns.services.payload import parse_object
from airflow_provider_flowruns.tasks.arguments import check_when_known, get_known_part

from acme_flowruns.info import ACME
from acme_flowruns.service import AcmeApi

if TYPE_CHECKING:
    from airflow_provider_flowruns.tasks.started_run import StartedRun
    from airflow_provider_flowruns.tasks.starting import RunStarter

    from acme_flowruns.hooks import AcmeHook  # noqa: F401 (the base class quotes it)


class AcmeRunFlowOperator(RunOperator["AcmeHook"]):
    """Start a flow, wait for its run, and return the run's summary.

    :param flow_id: the flow's id, templated.
    :param payload: JSON object for the flow, templated.
    :param acme_conn_id: Airflow connection of type ``acme``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "payload", "acme_conn_id")
    info = ACME

    def __init__(
        self,
        *,
        flow_id: str,
        payload: Mapping[str, Any] | str | None = None,
        acme_conn_id: str = ACME.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.payload = payload
        self.acme_conn_id = acme_conn_id
        check_when_known(flow_id, AcmeApi.validate_flow_id)
        check_when_known(get_known_part(payload), partial(parse_object, argument="payload"))

    def start_run(self, starter: RunStarter) -> StartedRun:
        """Start the flow, with a key by which its run is found if the response is lost."""
        from airflow_provider_flowruns.tasks.started_run import StartedRun

        flow_id = AcmeApi.validate_flow_id(self.flow_id)
        marker = starter.new_marker("key")
        call = self.hook.api.run_flow(flow_id, self.payload, marker.correlation)
        return starter.start(StartedRun(flow_id, marker), call)
