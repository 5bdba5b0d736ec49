"""Sensors on Activepieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.sensors.base import FlowRunSensor, FlowSensor
from airflow_provider_flowruns.services.activepieces_arguments import validate_flow_id, validate_run_id
from airflow_provider_flowruns.services.catalog import ACTIVEPIECES
from airflow_provider_flowruns.tasks.arguments import check_when_known

if TYPE_CHECKING:
    from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook  # noqa: F401 (base classes quote it)
    from airflow_provider_flowruns.model.targets import Target


class ActivepiecesFlowRunSensor(FlowRunSensor["ActivepiecesHook"]):
    """Wait until one flow run has ended, and return its summary.

    Reads the run (``GET /api/v1/flow-runs/{id}``). A run that is not there yet is given two minutes to appear.

    :param run_id: the run's id, 21 letters and digits, templated.
    :param activepieces_conn_id: Airflow connection of type ``activepieces``, templated.
    """

    template_fields: Sequence[str] = ("run_id", "activepieces_conn_id")
    info = ACTIVEPIECES

    def __init__(self, *, run_id: str, activepieces_conn_id: str = ACTIVEPIECES.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.activepieces_conn_id = activepieces_conn_id
        check_when_known(run_id, validate_run_id)

    def target(self) -> Target:
        """Return the run."""
        from airflow_provider_flowruns.model.targets import RunTarget

        return RunTarget("activepieces", validate_run_id(self.run_id))


class ActivepiecesFlowSensor(FlowSensor["ActivepiecesHook"]):
    """Wait until a flow's last run has ended, and return its summary.

    Reads the flow's newest production runs (``GET /api/v1/flow-runs``, which needs the connection's ``project_id``).
    Without a guard it waits for the first run that it sees active, even if a newer one starts.

    :param flow_id: the flow's id, 21 letters and digits, templated.
    :param activepieces_conn_id: Airflow connection of type ``activepieces``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "activepieces_conn_id", *FlowSensor.template_fields)
    info = ACTIVEPIECES

    def __init__(
        self, *, flow_id: str, activepieces_conn_id: str = ACTIVEPIECES.default_conn_id, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.activepieces_conn_id = activepieces_conn_id
        check_when_known(flow_id, validate_flow_id)

    def target(self) -> Target:
        """Return the flow's newest runs."""
        from airflow_provider_flowruns.model.targets import NewestRunsTarget

        return NewestRunsTarget("activepieces", validate_flow_id(self.flow_id))
