"""What the conformance kit needs to know of a service: its classes, its fake, and one of its records."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_flowruns.model.targets import NewestRunsTarget
from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow, SandboxRun, SandboxService
from airflow_provider_flowruns.sandbox.runs import Outcome
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.services.base import Service
from airflow_provider_flowruns.services.info import ServiceInfo


@dataclass(frozen=True)
class SensorKind:
    """A sensor, and how its arguments name what it waits for.

    :param sensor: its class.
    :param unknown_id: an id in the service's form that no flow and no run has.
    :param flow_argument: the argument that takes the id of a flow, None if there is none.
    :param run_argument: the argument that takes the id of a run, None for a sensor on a last run.
    :param add_method: the method of the fake that adds what the sensor waits for.
    """

    sensor: type[FlowRunSensor[Any]]
    unknown_id: str
    flow_argument: str | None = None
    run_argument: str | None = None
    add_method: str = "add_flow"

    @property
    def name(self) -> str:
        """Name of the sensor's class."""
        return self.sensor.__name__

    @property
    def info(self) -> ServiceInfo:
        """The service's entry."""
        return self.sensor.info

    @property
    def service(self) -> str:
        """Name of the service."""
        return self.info.name

    @property
    def by_run(self) -> bool:
        """Whether the sensor waits for one run."""
        return self.run_argument is not None

    def add_flow(self, sandbox: Sandbox) -> Any:
        """Return a new flow of the fake.

        :param sandbox: the running sandbox.
        """
        return getattr(sandbox.get_service(self.service), self.add_method)()

    def arguments(self, flow_id: Any, run_id: Any) -> dict[str, Any]:
        """Return the sensor's arguments for a run of a flow.

        :param flow_id: the flow's id.
        :param run_id: the run's id.
        """
        ids = {self.flow_argument: flow_id, self.run_argument: run_id}
        return {name: value for name, value in ids.items() if name is not None}

    def unknown(self, sandbox: Sandbox) -> dict[str, Any]:
        """Return the sensor's arguments for something that does not exist.

        :param sandbox: the running sandbox.
        """
        return self.arguments(self.add_flow(sandbox).id if self.by_run else self.unknown_id, self.unknown_id)

    def get_read_path(self, flow: SandboxFlow[Any], run: SandboxRun) -> str:
        """Return a pattern for the path of the requests that read a run, which contains the first id of the arguments.

        :param flow: the run's flow.
        :param run: the run.
        """
        return rf"/{re.escape(str(flow.id if self.flow_argument else run.id))}(/|$)"


@dataclass(frozen=True, kw_only=True)
class RecordForm:
    """How the service writes runs, for the tests of reading.

    :param api: the service's API.
    :param target: the target for the newest runs of a flow.
    :param build_row: returns the record of a run that has succeeded, created the later, the higher its number; keyword
        arguments replace its fields. The run's id is its field ``id``, as for ``require_id``.
    :param build_bodies: returns the bodies of the responses to a poll, of which the last one has these records.
    :param contradictions: fields that make a record say two things at a time.
    :param status_fields: the fields of a record that hold its status.
    :param more: members of a body that say that the list has more pages; none where a full page says it.
    :param name: tells several forms of one service apart.
    """

    api: Service
    target: NewestRunsTarget
    build_row: Callable[..., dict[str, Any]]
    build_bodies: Callable[[list[Any]], list[Any]]
    status_fields: tuple[str, ...]
    contradictions: Sequence[Mapping[str, Any]] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceAdapter:
    """A service under test.

    :param service: its API.
    :param sensors: its sensors; the first one is also that of the fault table, so its polls must have an id in
        their path.
    :param fake: its fake; None for a service of the sandbox itself.
    :param operator: makes an operator that starts a flow, from the flow and further arguments; None if there is none.
    :param start_path: pattern for the path of the ``POST`` that starts a run; needed with ``operator``.
    :param cancelable: in which state the service can cancel a run.
    :param forms: how it writes runs.
    :param shorten: called with pytest's ``monkeypatch`` before each test, to shorten waits in the service's own
        modules.
    """

    service: type[Service]
    sensors: tuple[SensorKind, ...] = ()
    fake: type[SandboxService[Any]] | None = None
    operator: Callable[..., Any] | None = None
    start_path: str = ""
    cancelable: Outcome = "RUNNING"
    forms: tuple[RecordForm, ...] = ()
    shorten: Callable[[Any], None] = field(default=lambda monkeypatch: None)

    def __post_init__(self) -> None:
        """Check that starts can meet faults.

        :raises ValueError: there is an operator without ``start_path``.
        """
        if self.operator and not self.start_path:
            raise ValueError("operator needs start_path, by which the requests that start a run are told from others")

    @property
    def info(self) -> ServiceInfo:
        """The service's entry."""
        return self.service.info
