"""The TableFlow API: document flows, and runs that are started with uploaded files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.request_recorder import get_request_recorder
from airflow_provider_flowruns.sandbox.responses import ApiError, build_json_response, parse_integer
from airflow_provider_flowruns.sandbox.runs import RunPlan, SandboxRun, StatusNames
from airflow_provider_flowruns.sandbox.service import SandboxService
from airflow_provider_flowruns.sandbox.state import SandboxState, make_random_id

STATUS_NAMES = StatusNames(
    waiting="processing",
    running="processing",
    succeeded="completed",
    failed="failed",
    canceled=None,
    paused="review",
    ended=frozenset({"completed", "failed"}),
    manual_trigger="manual",
    api_trigger="api",
    schedule_trigger="manual",
)
ID_LENGTH = 16
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
MAX_PARTS = 1000
CHUNK_BYTES = 64 * 1024
MAX_TEXT_BYTES = 64 * 1024
"""Maximum size of a form part that is not a file."""
DEFAULT_ERRORS = ("Step 'Read document' failed: no table was found on page 1",)
DEFAULT_FILE_FIELDS: tuple[Mapping[str, Any], ...] = (
    {
        "key": "document",
        "name": "Document",
        "required": True,
        "file_types": [".pdf", ".xlsx", ".csv"],
        "max_file_size": 10 * 1024 * 1024,
    },
)
STEPS: tuple[Mapping[str, Any], ...] = (
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
STATUS_MESSAGES = {"review": "Waiting for a reviewer", "completed": "All steps are done"}


@dataclass(frozen=True)
class UploadedPart:
    """One part of the form that started a run.

    :param name: name of the form field.
    :param filename: name of the file, or None for a plain value.
    :param content_type: content type as sent.
    :param size: size in bytes.
    :param sha256: hexadecimal digest of the content.
    :param text: the value of a part that is not a file; the content of files is not kept.
    """

    name: str
    filename: str | None
    content_type: str
    size: int
    sha256: str
    text: str | None


class TableFlowRun(SandboxRun):
    """A run of TableFlow. Its status is processing, review, completed, failed, or an unknown status of the timeline.

    ``parts`` are the parts of the form that started it; ``run_name`` and ``metadata`` are taken from them.
    """

    parts: tuple[UploadedPart, ...] = ()
    run_name: str | None = None
    metadata: Mapping[str, Any] = MappingProxyType({})

    def get_error(self, now: float) -> str | None:
        """Return the error text; only a failed run has one."""
        if self.get_status_change(now).status != "failed" or self.plan.errors is None:
            return None
        return "; ".join(self.plan.errors or DEFAULT_ERRORS)

    def list_status_history(self, now: float) -> list[dict[str, Any]]:
        """Return the statuses until now, without repetitions."""
        entries: list[dict[str, Any]] = []
        for at, status in self.list_status_changes(now):
            if not entries or entries[-1]["status"] != status:
                entries.append({"status": status, "time": int(at), "message": self._build_message(status, now)})
        return entries

    def _build_message(self, status: str, now: float) -> str:
        if status == "processing":
            return f"Run started, trigger: {self.trigger}"
        if status == "failed":
            return self.get_error(now) or "The run failed"
        return STATUS_MESSAGES.get(status, f"The run is now {status}")

    def build_input_files(self) -> dict[str, dict[str, Any]]:
        """Return a description of each uploaded file, by form field."""
        return {
            part.name: {"file_name": part.filename, "file_type": part.content_type, "file_size": part.size}
            for part in self.parts
            if part.filename is not None
        }


class TableFlowFlow(SandboxFlow[TableFlowRun]):
    """A document flow of TableFlow.

    :param service: the service that has the flow.
    :param flow_id: its id.
    :param name: its name.
    :param file_fields: the flow's file fields, in the format of the API.
    """

    def __init__(self, service: TableFlow, flow_id: str, name: str, file_fields: Sequence[Mapping[str, Any]]) -> None:
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

    def create_run(self, created: float, trigger: str, plan: RunPlan) -> TableFlowRun:
        """Create a run with a random id."""
        return TableFlowRun(self, make_random_id(ID_LENGTH), created, trigger, plan)


class TableFlow(SandboxService[TableFlowFlow]):
    """The TableFlow API below ``/tableflow``."""

    name = "tableflow"

    def __init__(self, state: SandboxState) -> None:
        super().__init__(state)
        self.workspace_id = make_random_id(ID_LENGTH)

    def add_flow(
        self,
        name: str = "Invoices",
        flow_id: str | None = None,
        file_fields: Sequence[Mapping[str, Any]] = DEFAULT_FILE_FIELDS,
    ) -> TableFlowFlow:
        """Add a flow.

        :param name: display name.
        :param flow_id: its id of 16 letters and digits; None generates one.
        :param file_fields: the files it accepts, each ``{"key", "name", "required", "file_types",
            "max_file_size"}``. Default: one required file, ``document``.
        :raises ValueError: the id is already in use.
        """
        return self.store_flow(TableFlowFlow(self, flow_id or make_random_id(ID_LENGTH), name, file_fields))

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
            self.build_route("*", "/{rest:.*}", self._reject_unknown_path),
        ]

    def _check_token(self, request: web.Request) -> None:
        if self.get_token(request) != self.token:
            raise ApiError(401, {"error": "Unauthorized", "message": "The API key is missing or not valid"})

    def _find_flow(self, request: web.Request) -> TableFlowFlow:
        self._check_token(request)
        if (flow := self._flows.get(request.match_info["id"])) is None:
            _raise_not_found("There is no such flow")
        return flow

    def _list_flows(self, request: web.Request, now: float) -> web.Response:
        self._check_token(request)
        return build_json_response([self._build_flow(flow) for flow in self._flows.values()])

    def _list_runs(self, request: web.Request, now: float) -> web.Response:
        self._check_token(request)
        flow_id, status = request.query.get("flow_id"), request.query.get("status")
        limit = parse_integer(request.query.get("limit"), "limit", DEFAULT_LIMIT, 1, MAX_LIMIT, _raise_bad_request)
        offset = parse_integer(request.query.get("offset"), "offset", 0, 0, None, _raise_bad_request)
        rows = [
            (run, flow)
            for flow in self._flows.values()
            if flow_id in {None, flow.id}
            for run in flow.list_visible_runs(now)
            if status in {None, run.get_status_change(now).status}
        ]
        rows.sort(key=lambda row: row[0].created, reverse=True)
        after = offset + limit
        return build_json_response(
            {
                "flow_runs": [self._build_run(run, flow, now) for run, flow in rows[offset:after]],
                "pagination": {
                    "total": len(rows),
                    "limit": limit,
                    "offset": offset,
                    "next_offset": after if after < len(rows) else None,
                    "filter": {"flow_id": flow_id, "status": status},
                },
            }
        )

    def _list_flow_runs(self, request: web.Request, now: float) -> web.Response:
        flow = self._find_flow(request)
        return build_json_response([self._build_run(run, flow, now) for run in reversed(flow.list_visible_runs(now))])

    def _get_run(self, request: web.Request, now: float) -> web.Response:
        self._check_token(request)
        run = self.runs_by_id.get(request.match_info["id"])
        if run is None or not run.is_visible(now):
            _raise_not_found("There is no such flow run")
        flow = self._flows[run.flow_id]
        flow.advance(now)
        return build_json_response(self._build_run(run, flow, now) | {"flow": self._build_flow(flow)})

    async def _run_flow(self, request: web.Request) -> web.StreamResponse:
        with self.state.lock:
            flow = self._find_flow(request)
        parts = await _read_parts(request)
        _check_files(parts, flow.file_fields)
        values = {part.name: part.text for part in parts if part.filename is None}
        metadata = _parse_metadata(values)
        with self.state.lock:
            now = self.state.clock()
            run = flow.start_run(now)
            run.parts, run.run_name, run.metadata = parts, values.get("name"), metadata
            return build_json_response(self._build_run(run, flow, now))

    def _reject_unknown_path(self, request: web.Request, now: float) -> NoReturn:
        self._check_token(request)
        _raise_not_found("There is nothing at this address")

    def _build_flow(self, flow: TableFlowFlow) -> dict[str, Any]:
        return {
            "id": flow.id,
            "workspace_id": self.workspace_id,
            "name": flow.name,
            "description": "",
            "active": True,
            "file_input_config": {"file_fields": flow.file_fields},
            "steps": list(STEPS),
        }

    def _build_run(self, run: TableFlowRun, flow: TableFlowFlow, now: float) -> dict[str, Any]:
        change, ended_at = run.get_status_change(now), run.get_ended_at(now)
        milliseconds = 0 if ended_at is None else round((ended_at - run.created) * 1000)
        attempt = {"attempt": run.attempt, "status": change.status, "start_time": int(run.created)}
        return {
            "id": run.id,
            "flow_id": flow.id,
            "workspace_id": self.workspace_id,
            "name": run.run_name,
            "status": change.status,
            "status_history": run.list_status_history(now),
            "error": run.get_error(now),
            "metadata": dict(run.metadata),
            "trigger_method": run.trigger,
            "start_time": int(run.created),
            "end_time": None if ended_at is None else int(ended_at),
            "duration": milliseconds,
            "drive_files": {},
            "flow_attempts": [attempt],
            "current_attempt": run.attempt,
            "input_files": run.build_input_files(),
            "steps": [{"step_id": step["id"], "status": change.status} for step in STEPS],
            "created_at": int(run.created),
            "updated_at": int(change.at),
        }


def _raise_not_found(message: str) -> NoReturn:
    raise ApiError(404, {"error": "Not Found", "message": message})


def _raise_bad_request(message: str) -> NoReturn:
    raise ApiError(400, {"error": "Bad Request", "message": message})


async def _read_parts(request: web.Request) -> tuple[UploadedPart, ...]:
    """Read the form part by part; files are never held in memory."""
    if not request.content_type.startswith("multipart/"):
        return ()
    parts: list[UploadedPart] = []
    try:
        async for part in get_request_recorder().open_multipart():
            if not isinstance(part, BodyPartReader) or part.name is None or len(parts) == MAX_PARTS:
                _raise_bad_request("The form has a part without a name, or too many parts")
            parts.append(await _read_part(part, part.name))
    except (ValueError, HttpProcessingError):
        _raise_bad_request("The form is malformed")
    return tuple(parts)


async def _read_part(part: BodyPartReader, name: str) -> UploadedPart:
    digest, size, text = hashlib.sha256(), 0, bytearray()
    while chunk := await part.read_chunk(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if part.filename is None:
            text += chunk
            if len(text) > MAX_TEXT_BYTES:
                _raise_bad_request(f"The value of '{name}' is too long")
    return UploadedPart(
        name=name,
        filename=part.filename,
        content_type=part.headers.get("Content-Type", ""),
        size=size,
        sha256=digest.hexdigest(),
        text=None if part.filename is not None else text.decode("utf-8", "replace"),
    )


def _check_files(parts: Sequence[UploadedPart], fields: Sequence[Mapping[str, Any]]) -> None:
    """Reject a form without a required file. A field accepts several files as ``key_1``, ``key_2``, ..."""
    sent = {part.name for part in parts if part.filename is not None}
    for field in fields:
        pattern = re.compile(re.escape(str(field["key"])) + r"(_[1-9]\d*)?")
        if field.get("required") and not any(pattern.fullmatch(name) for name in sent):
            _raise_bad_request(f"The file '{field['key']}' is missing")


def _parse_metadata(values: Mapping[str, str | None]) -> Mapping[str, Any]:
    """Return the run's metadata, and validate that of the files."""
    metadata: Mapping[str, Any] = {}
    for name, text in values.items():
        if name == "metadata" or name.endswith("_metadata"):
            value = _parse_json_object(name, text or "")
            metadata = value if name == "metadata" else metadata
    return metadata


def _parse_json_object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        _raise_bad_request(f"'{name}' is not a JSON object")
    return value
