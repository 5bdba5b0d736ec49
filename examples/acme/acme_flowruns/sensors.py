"""Sensors on Acme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget, Target
from airflow_provider_flowruns.sensors.base import FlowRunSensor, FlowSensor
from airflow_provider_flowruns.tasks.arguments import check_when_known

from acme_flowruns.info import ACME
from acme_flowruns.service import AcmeApi

if TYPE_CHECKING:
    from acme_flowruns.hooks import AcmeHook  # noqa: F401 (the base classes quote it)


class AcmeFlowRunSensor(FlowRunSensor["AcmeHook"]):
    """Wait until a run has ended, and return its summary.

    :param run_id: the run's id, templated.
    :param acme_conn_id: Airflow connection of type ``acme``, templated.
    """

    template_fields: Sequence[str] = ("run_id", "acme_conn_id")
    info = ACME

    def __init__(self, *, run_id: str, acme_conn_id: str = ACME.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.acme_conn_id = acme_conn_id
        check_when_known(run_id, AcmeApi.validate_run_id)

    def target(self) -> Target:
        """Return the run."""
        return RunTarget(ACME.name, AcmeApi.validate_run_id(self.run_id))


class AcmeFlowSensor(FlowSensor["AcmeHook"]):
    """Wait until a flow's last run has ended, and return its summary.

    :param flow_id: the flow's id, templated.
    :param acme_conn_id: Airflow connection of type ``acme``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "acme_conn_id", *FlowSensor.template_fields)
    info = ACME

    def __init__(self, *, flow_id: str, acme_conn_id: str = ACME.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.acme_conn_id = acme_conn_id
        check_when_known(flow_id, AcmeApi.validate_flow_id)

    def target(self) -> Target:
        """Return the flow's newest runs."""
        return NewestRunsTarget(ACME.name, AcmeApi.validate_flow_id(self.flow_id))
