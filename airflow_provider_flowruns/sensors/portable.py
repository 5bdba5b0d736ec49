"""Sensors on Portable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.sensors.base import FlowRunSensor, FlowSensor, FreshSensor
from airflow_provider_flowruns.services.catalog import PORTABLE
from airflow_provider_flowruns.services.portable_arguments import (
    validate_flow_id,
    validate_run_id,
    validate_workflow_id,
)
from airflow_provider_flowruns.tasks.arguments import check_when_known

if TYPE_CHECKING:
    from airflow_provider_flowruns.hooks.portable import PortableHook  # noqa: F401 (base classes quote it)
    from airflow_provider_flowruns.model.targets import Target


class PortableFlowSensor(FlowSensor["PortableHook"]):
    """Wait until a flow's last run has ended, and return its summary.

    Reads the flow's status (``GET /v2/flows/{id}/status``); with ``completed_after`` or ``started_after`` its newest
    run attempts instead (``GET /v2/flows/{id}/run``), because a status cannot tell two runs apart.

    :param flow_id: the flow's number, templated.
    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "portable_conn_id", *FlowSensor.template_fields)
    info = PORTABLE

    def __init__(self, *, flow_id: int | str, portable_conn_id: str = PORTABLE.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.portable_conn_id = portable_conn_id
        check_when_known(flow_id, validate_flow_id)

    def target(self) -> Target:
        """Return the flow's status or, with a guard, its newest attempts."""
        from airflow_provider_flowruns.model.targets import FlowStatusTarget, NewestRunsTarget

        flow_id = validate_flow_id(self.flow_id)
        return NewestRunsTarget("portable", flow_id) if self.is_guarded else FlowStatusTarget("portable", flow_id)


class PortableFlowRunSensor(FlowRunSensor["PortableHook"]):
    """Wait until one run attempt has ended, and return its summary.

    Looks for it among the flow's run attempts, newest first (``GET /v2/flows/{id}/run``).

    :param flow_id: the flow's number, templated.
    :param run_id: the run attempt's number, templated.
    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "run_id", "portable_conn_id")
    info = PORTABLE

    def __init__(
        self,
        *,
        flow_id: int | str,
        run_id: int | str,
        portable_conn_id: str = PORTABLE.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.run_id = run_id
        self.portable_conn_id = portable_conn_id
        check_when_known(flow_id, validate_flow_id)
        check_when_known(run_id, validate_run_id)

    def target(self) -> Target:
        """Return the run attempt."""
        from airflow_provider_flowruns.model.targets import RunTarget

        return RunTarget("portable", validate_run_id(self.run_id), validate_flow_id(self.flow_id))


class PortableWorkflowSensor(FreshSensor["PortableHook"]):
    """Wait until a workflow's last run has ended, and return its summary.

    Reads the workflow's status (``GET /v2/workflows/{id}/status``). Portable gives a workflow's runs no identity, so
    ``completed_after`` is decided on the status's ``completedAt`` alone.

    :param workflow_id: the workflow's number, templated.
    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = ("workflow_id", "portable_conn_id", *FreshSensor.template_fields)
    info = PORTABLE

    def __init__(
        self, *, workflow_id: int | str, portable_conn_id: str = PORTABLE.default_conn_id, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.portable_conn_id = portable_conn_id
        check_when_known(workflow_id, validate_workflow_id)

    def target(self) -> Target:
        """Return the workflow's status."""
        from airflow_provider_flowruns.model.targets import WorkflowStatusTarget

        return WorkflowStatusTarget("portable", validate_workflow_id(self.workflow_id))
