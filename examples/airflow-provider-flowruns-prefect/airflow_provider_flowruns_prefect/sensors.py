"""Sensors on Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget, Target
from airflow_provider_flowruns.sensors.base import FlowRunSensor, FlowSensor
from airflow_provider_flowruns.tasks.arguments import check_when_known
from airflow_provider_flowruns_prefect.info import PREFECT
from airflow_provider_flowruns_prefect.service import PrefectApi

if TYPE_CHECKING:
    from airflow_provider_flowruns_prefect.hooks import PrefectHook  # noqa: F401 (the base classes quote it)


class PrefectFlowRunSensor(FlowRunSensor["PrefectHook"]):
    """Wait until a flow run has ended, and return its summary.

    :param run_id: the run's id, templated.
    :param prefect_conn_id: Airflow connection of type ``prefect``, templated.
    """

    template_fields: Sequence[str] = ("run_id", "prefect_conn_id")
    info = PREFECT

    def __init__(self, *, run_id: str, prefect_conn_id: str = PREFECT.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.prefect_conn_id = prefect_conn_id
        check_when_known(run_id, PrefectApi.validate_run_id)

    def target(self) -> Target:
        """Return the run."""
        return RunTarget(PREFECT.name, PrefectApi.validate_run_id(self.run_id))


class PrefectDeploymentSensor(FlowSensor["PrefectHook"]):
    """Wait until the newest run of a deployment has ended, and return its summary.

    The newest run is the one that was due last. Runs that a schedule has created for later do not count.

    :param deployment_id: the deployment's id, templated.
    :param prefect_conn_id: Airflow connection of type ``prefect``, templated.
    """

    template_fields: Sequence[str] = ("deployment_id", "prefect_conn_id", *FlowSensor.template_fields)
    info = PREFECT

    def __init__(self, *, deployment_id: str, prefect_conn_id: str = PREFECT.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deployment_id = deployment_id
        self.prefect_conn_id = prefect_conn_id
        check_when_known(deployment_id, PrefectApi.validate_flow_id)

    def target(self) -> Target:
        """Return the deployment's newest runs."""
        return NewestRunsTarget(PREFECT.name, PrefectApi.validate_flow_id(self.deployment_id))
