"""The TableFlow API: document flows, and runs that are started with uploaded files."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from aiohttp import web

from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.responses import build_json_response
from airflow_provider_flowruns.sandbox.runs import RunPlan
from airflow_provider_flowruns.sandbox.service import SandboxService
from airflow_provider_flowruns.sandbox.state import SandboxState, make_random_id
from airflow_provider_flowruns.sandbox.tableflow_errors import raise_not_found, raise_unauthorized
from airflow_provider_flowruns.sandbox.tableflow_extraction_routes import ExtractionRoutes
from airflow_provider_flowruns.sandbox.tableflow_forms import check_files, parse_metadata, read_parts
from airflow_provider_flowruns.sandbox.tableflow_input import parse_limit, parse_offset
from airflow_provider_flowruns.sandbox.tableflow_runs import ID_LENGTH, STATUS_NAMES, TableFlowRun

DEFAULT_FILE_FIELDS: tuple[Mapping[str, Any], ...] = (
    {
        "key": "document",
        "name": "Document",
        "required": True,
        "file_types": [".pdf", ".xlsx", ".csv"],
        "max_file_size": 10 * 1024 * 1024,
    },
)
DEFAULT_STEPS: tuple[Mapping[str, Any], ...] = (
    {
        "id": "step_1",
        "title": "Read document",
        "description": "Reads the tables of the document",
        "type": "extraction",
        "order": 1,
        "config": {},
    },
    {
        "id": "step_2",
        "title": "Compare totals",
        "description": "Compares the totals of the tables",
        "type": "reconciliation",
        "order": 2,
        "config": {},
    },
)


class TableFlowFlow(SandboxFlow[TableFlowRun]):
    """A document flow of TableFlow.

    :param service: the service that has the flow.
    :param flow_id: its id.
    :param name: its name.
    :param file_fields: the flow's file fields, in the format of the API.
    :param steps: the flow's steps, in the format of the API.
    """

    def __init__(
        self,
        service: TableFlow,
        flow_id: str,
        name: str,
        file_fields: Sequence[Mapping[str, Any]],
        steps: Sequence[Mapping[str, Any]],
    ) -> None:
        super().__init__(
            state=service.state,
            status_names=STATUS_NAMES,
            service=TableFlow.name,
            flow_id=flow_id,
            name=name,
            runs_by_id=service.runs_by_id,
            on_delete=service.remove_flow,
        )
        self.file_fields = [dict(field) for field in file_fields]
        self.steps = [dict(step) for step in steps]
        self.template_ids = {step["id"]: make_random_id(ID_LENGTH) for step in steps if step["type"] == "extraction"}
        self._tableflow = service

    @property
    def workspace_id(self) -> str:
        """Id of the flow's workspace."""
        return self._tableflow.workspace_id

    @property
    def runs_by_extraction_id(self) -> MutableMapping[str, TableFlowRun]:
        """The service's runs by the ids of their extractions."""
        return self._tableflow.runs_by_extraction_id

    # Internal to the sandbox: callers hold the lock

    def create_run(self, created: float, trigger: str, plan: RunPlan) -> TableFlowRun:
        """Create a run with a random id."""
        return TableFlowRun(self, make_random_id(ID_LENGTH), created, trigger, plan)


class TableFlow(SandboxService[TableFlowFlow]):
    """The TableFlow API below ``/tableflow``."""

    name = "tableflow"

    def __init__(self, state: SandboxState) -> None:
        super().__init__(state)
        self.workspace_id = make_random_id(ID_LENGTH)
        # Weak: a run that its flow has dropped takes its extractions along.
        self.runs_by_extraction_id: MutableMapping[str, TableFlowRun] = WeakValueDictionary()

    def add_flow(
        self,
        name: str = "Invoices",
        flow_id: str | None = None,
        file_fields: Sequence[Mapping[str, Any]] = DEFAULT_FILE_FIELDS,
        steps: Sequence[Mapping[str, Any]] = DEFAULT_STEPS,
    ) -> TableFlowFlow:
        """Add a flow.

        :param name: display name.
        :param flow_id: its id of 16 letters and digits; None generates one.
        :param file_fields: the files it accepts, each ``{"key", "name", "required", "file_types",
            "max_file_size"}``. Default: one required file, ``document``.
        :param steps: its steps, each ``{"id", "title", "type", ...}``. Each attempt of a run has one extraction for
            every step of the type ``extraction``. Default: an extraction and a reconciliation.
        :raises ValueError: the id is already in use.
        """
        return self.store_flow(TableFlowFlow(self, flow_id or make_random_id(ID_LENGTH), name, file_fields, steps))

    # Internal to the sandbox

    @property
    def runs_by_id(self) -> dict[str, TableFlowRun]:
        """The service's runs by id."""
        return self._runs_by_id

    def build_routes(self) -> list[web.RouteDef]:
        """Return the routes of the TableFlow API."""
        return [
            self.build_route("GET", "/v2/flows", self._list_flows),
            self.build_route("GET", "/v2/flows/runs", self._list_runs),
            self.build_route("GET", "/v2/flows/runs/{id}", self._get_run),
            self.build_route("GET", "/v2/flows/{id}/runs", self._list_flow_runs),
            web.post(f"/{self.name}/v2/flows/{{id}}/run", self._run_flow),
            *ExtractionRoutes(self).build_routes(),
            self.build_route("*", "/{rest:.*}", self._reject_unknown_path),
        ]

    def check_token(self, request: web.Request) -> None:
        """Reject a request without the service's token."""
        if self.get_token(request) != self.token:
            raise_unauthorized()

    def _find_flow(self, request: web.Request) -> TableFlowFlow:
        self.check_token(request)
        if (flow := self._flows.get(request.match_info["id"])) is None:
            raise_not_found("There is no such flow")
        return flow

    def _list_flows(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        return build_json_response([self._build_flow(flow) for flow in self._flows.values()])

    def _list_runs(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        flow_id, status = request.query.get("flow_id"), request.query.get("status")
        limit, offset = parse_limit(request), parse_offset(request)
        runs = [
            run
            for flow in self._flows.values()
            if flow_id in {None, flow.id}
            for run in flow.list_visible_runs(now)
            if status in {None, run.get_status_change(now).status}
        ]
        runs.sort(key=lambda run: run.created, reverse=True)
        after = offset + limit
        return build_json_response(
            {
                "flow_runs": [run.build_row(now) for run in runs[offset:after]],
                "pagination": {
                    "total": len(runs),
                    "limit": limit,
                    "offset": offset,
                    "next_offset": after if after < len(runs) else None,
                    "filter": {"flow_id": flow_id, "status": status},
                },
            }
        )

    def _list_flow_runs(self, request: web.Request, now: float) -> web.Response:
        flow = self._find_flow(request)
        return build_json_response([run.build_row(now) for run in reversed(flow.list_visible_runs(now))])

    def _get_run(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        run = self.runs_by_id.get(request.match_info["id"])
        if run is None or not run.is_visible(now):
            raise_not_found("There is no such flow run")
        flow = self._flows[run.flow_id]
        flow.advance(now)
        return build_json_response(run.build_row(now) | {"flow": self._build_flow(flow)})

    async def _run_flow(self, request: web.Request) -> web.StreamResponse:
        with self.state.lock:
            flow = self._find_flow(request)
        parts = await read_parts(request)
        check_files(parts, flow.file_fields)
        values = {part.name: part.text for part in parts if part.filename is None}
        metadata = parse_metadata(values)
        with self.state.lock:
            now = self.state.clock()
            run = flow.start_run(now)
            run.parts, run.run_name, run.metadata = parts, values.get("name"), metadata
            return build_json_response(run.build_row(now))

    def _reject_unknown_path(self, request: web.Request, now: float) -> NoReturn:
        self.check_token(request)
        raise_not_found("There is nothing at this address")

    def _build_flow(self, flow: TableFlowFlow) -> dict[str, Any]:
        return {
            "id": flow.id,
            "workspace_id": self.workspace_id,
            "name": flow.name,
            "description": "",
            "active": True,
            "file_input_config": {"file_fields": flow.file_fields},
            "steps": flow.steps,
        }
