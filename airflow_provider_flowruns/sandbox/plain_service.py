"""A base for services of other packages: flows and runs without features of their own, and a token.

A subclass names its statuses and its routes, and writes what it shows. Flows, runs as a function of time, plans,
faults and the ledger are those of the sandbox.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, ClassVar

from aiohttp import web

from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.request_recorder import get_request_recorder
from airflow_provider_flowruns.sandbox.responses import ApiError
from airflow_provider_flowruns.sandbox.runs import RunPlan, SandboxRun, StatusNames
from airflow_provider_flowruns.sandbox.service import SandboxService


class PlainRun(SandboxRun):
    """A run; ``sent`` is the body of the request that started it."""

    sent: Any = None


class PlainFlow(SandboxFlow[PlainRun]):
    """A flow of a service of another package.

    :param service: the service that has the flow.
    :param flow_id: its id.
    :param name: its name.
    """

    def __init__(self, service: PlainService, flow_id: str, name: str) -> None:
        super().__init__(
            state=service.state,
            status_names=service.status_names,
            service=service.name,
            flow_id=flow_id,
            name=name,
            runs_by_id=service.runs_by_id,
            on_delete=service.remove_flow,
        )
        self._make_id = service.make_id

    def create_run(self, created: float, trigger: str, plan: RunPlan) -> PlainRun:
        """Create a run with a new id."""
        return PlainRun(self, self._make_id(), created, trigger, plan)


class PlainService(SandboxService[PlainFlow]):
    """A service of another package, for ``Sandbox(further_services=[...])``.

    A subclass gives :attr:`name`, :attr:`status_names` and ``build_routes``. The handlers of its routes call
    :meth:`check_token`, find what a request is about with the other methods, and return ``build_json_response(...)``
    or raise an ``ApiError``.
    """

    status_names: ClassVar[StatusNames]

    @property
    def runs_by_id(self) -> dict[str, PlainRun]:
        """The service's runs by id."""
        return self._runs_by_id

    def make_id(self) -> str:
        """Return an id that is not in use, for a flow or a run."""
        return uuid.uuid4().hex

    def add_flow(self, name: str = "Orders", flow_id: str | None = None) -> PlainFlow:
        """Add a flow.

        :param name: display name.
        :param flow_id: its id; None generates one.
        :raises ValueError: the id is already in use.
        """
        return self.store_flow(PlainFlow(self, flow_id or self.make_id(), name))

    # For handlers, which hold the lock

    def check_token(self, request: web.Request) -> None:
        """Reject a request without the service's token.

        :param request: the request.
        :raises ApiError: 401.
        """
        if self.get_token(request) != self.token:
            raise ApiError(401, {"message": "Unauthorized"})

    def read_json_body(self) -> Any:
        """Return the JSON body of the request that is being handled.

        :raises ApiError: 400 if it is not JSON.
        """
        try:
            return json.loads(get_request_recorder().body)
        except ValueError:
            raise ApiError(400, {"message": "The body is not JSON"}) from None

    def find_flow(self, flow_id: str) -> PlainFlow:
        """Return a flow by its id.

        :param flow_id: the id as sent.
        :raises ApiError: 404.
        """
        flow = self._flows.get(flow_id)
        if flow is None:
            raise ApiError(404, {"message": "There is no such flow"})
        return flow

    def find_run(self, run_id: str, now: float) -> PlainRun:
        """Return a run that is visible, by its id.

        :param run_id: the id as sent.
        :param now: epoch seconds.
        :raises ApiError: 404.
        """
        run = self.runs_by_id.get(run_id)
        if run is None or not run.is_visible(now):
            raise ApiError(404, {"message": "There is no such run"})
        run.owner.advance(now)
        return run

    def list_runs(self, now: float) -> list[PlainRun]:
        """Return the visible runs of all flows, newest first.

        :param now: epoch seconds.
        """
        runs = [run for flow in self._flows.values() for run in flow.list_visible_runs(now)]
        return sorted(runs, key=lambda run: run.created, reverse=True)

    def start_run(self, flow: PlainFlow, now: float, sent: Any = None) -> PlainRun:
        """Start a run with the flow's next plan, and record it in the ledger.

        :param flow: the flow.
        :param now: epoch seconds.
        :param sent: the body of the request.
        """
        run = flow.start_run(now)
        run.sent = sent
        return run

    def cancel_run(self, run: PlainRun, now: float) -> None:
        """Cancel a run that has not ended, and record it in the ledger.

        :param run: the run.
        :param now: epoch seconds.
        """
        if run.get_ended_at(now) is None:
            run.cancel(now)
            self.state.ledger.record_canceled(self.name, run.flow_id, run.id, now)
