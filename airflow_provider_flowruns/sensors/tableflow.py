"""Sensors on TableFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.sensors.base import FlowRunSensor, FlowSensor
from airflow_provider_flowruns.services.catalog import TABLEFLOW
from airflow_provider_flowruns.services.tableflow_arguments import validate_flow_id, validate_run_id
from airflow_provider_flowruns.tasks.arguments import check_when_known

if TYPE_CHECKING:
    from airflow_provider_flowruns.hooks.tableflow import TableFlowHook  # noqa: F401 (base classes quote it)
    from airflow_provider_flowruns.model.targets import Target


class TableFlowFlowRunSensor(FlowRunSensor["TableFlowHook"]):
    """Wait until one flow run has ended, and return its summary.

    Reads the run (``GET /v2/flows/runs/{id}``). A run in ``review`` waits for a person, see ``on_paused``.

    :param run_id: the run's id, templated.
    :param tableflow_conn_id: Airflow connection of type ``tableflow``, templated.
    """

    template_fields: Sequence[str] = ("run_id", "tableflow_conn_id")
    info = TABLEFLOW

    def __init__(self, *, run_id: str, tableflow_conn_id: str = TABLEFLOW.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.tableflow_conn_id = tableflow_conn_id
        check_when_known(run_id, validate_run_id)

    def target(self) -> Target:
        """Return the run."""
        from airflow_provider_flowruns.model.targets import RunTarget

        return RunTarget("tableflow", validate_run_id(self.run_id))


class TableFlowFlowSensor(FlowSensor["TableFlowHook"]):
    """Wait until a flow's last run has ended, and return its summary.

    Reads the flow's newest runs (``GET /v2/flows/runs``). Without a guard it waits for the first run that it
    sees active, even if a newer one starts. The run that was accepted is read once more by its id, because the list
    does not show all its details; if that fails, the log warns.

    :param flow_id: the flow's id, templated.
    :param tableflow_conn_id: Airflow connection of type ``tableflow``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "tableflow_conn_id", *FlowSensor.template_fields)
    info = TABLEFLOW

    def __init__(self, *, flow_id: str, tableflow_conn_id: str = TABLEFLOW.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.tableflow_conn_id = tableflow_conn_id
        check_when_known(flow_id, validate_flow_id)

    def target(self) -> Target:
        """Return the flow's newest runs."""
        from airflow_provider_flowruns.model.targets import NewestRunsTarget

        return NewestRunsTarget("tableflow", validate_flow_id(self.flow_id))
