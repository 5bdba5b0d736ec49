"""TableFlow as its API shows itself: document flows, runs started with uploaded files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn, Unpack

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from airflow_provider_flowruns.sandbox.answers import Refused, json_answer, whole_number
from airflow_provider_flowruns.sandbox.exchange import current_exchange
from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.runs import RunOptions, RunPlan, SandboxRun, Timeline, Vocabulary
from airflow_provider_flowruns.sandbox.service import SandboxService
from airflow_provider_flowruns.sandbox.world import World, random_id

WORDS = Vocabulary(
    waiting="processing",
    running="processing",
    succeeded="completed",
    failed="failed",
    canceled=None,
    paused="review",
    ended=frozenset({"completed", "failed"}),
    by_hand="manual",
    by_api="api",
    by_schedule="manual",
)
ID_LENGTH = 16
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
MAX_PARTS = 1000
CHUNK = 64 * 1024
MAX_TEXT = 64 * 1024
"""A part that is not a file may have so many bytes."""
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
MESSAGES = {"review": "Waiting for a reviewer", "completed": "All steps are done"}


@dataclass(frozen=True)
class UploadedPart:
    """One part of the form with which a run was started.

    :param name: name of the form field.
    :param filename: name of the file, or None for a plain value.
    :param content_type: what the client said it is.
    :param size: bytes.
    :param sha256: hexadecimal digest of the bytes.
    :param text: the value of a part that is not a file; files are not kept.
    """

    name: str
    filename: str | None
    content_type: str
    size: int
    sha256: str
    text: str | None


class TableFlowRun(SandboxRun):
    """A run of TableFlow. Its status is processing, review, completed, failed, or a made-up word.

    ``parts`` are the parts of the form with which it was started, ``run_name`` and ``metadata`` what they said.
    """

    parts: tuple[UploadedPart, ...] = ()
    run_name: str | None = None
    metadata: Mapping[str, Any] = MappingProxyType({})

    def rerun(self, timeline: Timeline | None = None, **options: Unpack[RunOptions]) -> None:
        """Let the run go once more with the same id, as somebody may do in TableFlow's own pages.

        :param timeline: as for :meth:`SandboxFlow.add_run`, counted from now.
        :param options: see :class:`RunOptions`.
        :raises ValueError: for an impossible timeline.
        """
        plan = RunPlan.build(self.words, timeline, options)
        with self.owner.world.lock:
            self.restart(self.owner.world.clock(), plan)

    def error(self, now: float) -> str | None:
        """Give the text of the error, which only a failed run has."""
        if self.point(now).status != "failed" or self.plan.errors is None:
            return None
        return "; ".join(self.plan.errors or DEFAULT_ERRORS)

    def history(self, now: float) -> list[dict[str, Any]]:
        """List the statuses taken on by now, without repetitions."""
        entries: list[dict[str, Any]] = []
        for at, status in self.points(now):
            if not entries or entries[-1]["status"] != status:
                entries.append({"status": status, "time": int(at), "message": self._message(status, now)})
        return entries

    def _message(self, status: str, now: float) -> str:
        if status == "processing":
            return f"Run began, trigger: {self.trigger}"
        if status == "failed":
            return self.error(now) or "The run failed"
        return MESSAGES.get(status, f"The run is now {status}")

    def input_files(self) -> dict[str, dict[str, Any]]:
        """Describe the uploaded files by form field."""
        return {
            part.name: {"file_name": part.filename, "file_type": part.content_type, "file_size": part.size}
            for part in self.parts
            if part.filename is not None
        }


class TableFlowFlow(SandboxFlow[TableFlowRun]):
    """A document flow of TableFlow.

    :param file_fields: the file fields of the flow's input, as the service lists them.
    """

    def __init__(self, service: TableFlow, flow_id: str, name: str, file_fields: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(
            world=service.world,
            words=WORDS,
            service=TableFlow.name,
            flow_id=flow_id,
            name=name,
            index=service.run_index,
            forget=service.forget,
        )
        self.file_fields = [dict(field) for field in file_fields]

    def new_run(self, created: float, trigger: str, plan: RunPlan) -> TableFlowRun:
        """Make a run with a random id."""
        return TableFlowRun(self, random_id(ID_LENGTH), created, trigger, plan)


class TableFlow(SandboxService[TableFlowFlow]):
    """The TableFlow API below ``/tableflow``."""

    name = "tableflow"
    words = WORDS

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.workspace_id = random_id(ID_LENGTH)

    def add_flow(
        self,
        name: str = "Invoices",
        flow_id: str | None = None,
        file_fields: Sequence[Mapping[str, Any]] = DEFAULT_FILE_FIELDS,
    ) -> TableFlowFlow:
        """Add a flow.

        :param name: display name.
        :param flow_id: its id of 16 letters and digits; None makes one.
        :param file_fields: the files it takes, each ``{"key", "name", "required", "file_types",
            "max_file_size"}``. Default: one required file, ``document``.
        :raises ValueError: when there is one with this id already.
        """
        return self.add(TableFlowFlow(self, flow_id or random_id(ID_LENGTH), name, file_fields))

    # What follows is for the sandbox's own modules.

    @property
    def run_index(self) -> dict[str, TableFlowRun]:
        """The service's runs by id."""
        return self._index

    def routes(self) -> list[web.RouteDef]:
        """List the routes of the TableFlow API."""
        return [
            self.route("GET", "/v2/flows", self._list_flows),
            self.route("GET", "/v2/flows/runs", self._list_runs),
            self.route("GET", "/v2/flows/runs/{id}", self._get_run),
            self.route("GET", "/v2/flows/{id}/runs", self._list_flow_runs),
            web.post(f"/{self.name}/v2/flows/{{id}}/run", self._run_flow),
            self.route("*", "/{rest:.*}", self._unknown_path),
        ]

    def _authorize(self, request: web.Request) -> None:
        if self.bearer(request) != self.token:
            raise Refused(401, {"error": "Unauthorized", "message": "The API key is missing or not valid"})

    def _find_flow(self, request: web.Request) -> TableFlowFlow:
        self._authorize(request)
        if (flow := self._flows.get(request.match_info["id"])) is None:
            _not_found("There is no such flow")
        return flow

    def _list_flows(self, request: web.Request, now: float) -> web.Response:
        self._authorize(request)
        return json_answer([self._definition(flow) for flow in self._flows.values()])

    def _list_runs(self, request: web.Request, now: float) -> web.Response:
        self._authorize(request)
        flow_id, status = request.query.get("flow_id"), request.query.get("status")
        limit = whole_number(request.query.get("limit"), "limit", DEFAULT_LIMIT, 1, MAX_LIMIT, _bad_request)
        offset = whole_number(request.query.get("offset"), "offset", 0, 0, None, _bad_request)
        rows = [
            (run, flow)
            for flow in self._flows.values()
            if flow_id in {None, flow.id}
            for run in flow.visible_runs(now)
            if status in {None, run.point(now).status}
        ]
        rows.sort(key=lambda row: row[0].created, reverse=True)
        after = offset + limit
        return json_answer(
            {
                "flow_runs": [self._row(run, flow, now) for run, flow in rows[offset:after]],
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
        return json_answer([self._row(run, flow, now) for run in reversed(flow.visible_runs(now))])

    def _get_run(self, request: web.Request, now: float) -> web.Response:
        self._authorize(request)
        run = self.run_index.get(request.match_info["id"])
        if run is None or not run.visible(now):
            _not_found("There is no such flow run")
        flow = self._flows[run.flow_id]
        flow.advance(now)
        return json_answer(self._row(run, flow, now) | {"flow": self._definition(flow)})

    async def _run_flow(self, request: web.Request) -> web.StreamResponse:
        with self.world.lock:
            flow = self._find_flow(request)
        parts = await _read_parts(request)
        _check_files(parts, flow.file_fields)
        values = {part.name: part.text for part in parts if part.filename is None}
        metadata = _metadata(values)
        with self.world.lock:
            now = self.world.clock()
            run = flow.start(now)
            run.parts, run.run_name, run.metadata = parts, values.get("name"), metadata
            return json_answer(self._row(run, flow, now))

    def _unknown_path(self, request: web.Request, now: float) -> NoReturn:
        self._authorize(request)
        _not_found("There is nothing at this address")

    def _definition(self, flow: TableFlowFlow) -> dict[str, Any]:
        return {
            "id": flow.id,
            "workspace_id": self.workspace_id,
            "name": flow.name,
            "description": "",
            "active": True,
            "file_input_config": {"file_fields": flow.file_fields},
            "steps": list(STEPS),
        }

    def _row(self, run: TableFlowRun, flow: TableFlowFlow, now: float) -> dict[str, Any]:
        point, end = run.point(now), run.end(now)
        milliseconds = 0 if end is None else round((end - run.created) * 1000)
        attempt = {"attempt": run.attempt, "status": point.status, "start_time": int(run.created)}
        return {
            "id": run.id,
            "flow_id": flow.id,
            "workspace_id": self.workspace_id,
            "name": run.run_name,
            "status": point.status,
            "status_history": run.history(now),
            "error": run.error(now),
            "metadata": dict(run.metadata),
            "trigger_method": run.trigger,
            "start_time": int(run.created),
            "end_time": None if end is None else int(end),
            "duration": milliseconds,
            "drive_files": {},
            "flow_attempts": [attempt],
            "current_attempt": run.attempt,
            "input_files": run.input_files(),
            "steps": [{"step_id": step["id"], "status": point.status} for step in STEPS],
            "created_at": int(run.created),
            "updated_at": int(point.at),
        }


def _not_found(message: str) -> NoReturn:
    raise Refused(404, {"error": "Not Found", "message": message})


def _bad_request(message: str) -> NoReturn:
    raise Refused(400, {"error": "Bad Request", "message": message})


async def _read_parts(request: web.Request) -> tuple[UploadedPart, ...]:
    """Read the form piece by piece; no file is ever held in memory."""
    if not request.content_type.startswith("multipart/"):
        return ()
    parts: list[UploadedPart] = []
    try:
        async for part in current_exchange().multipart():
            if not isinstance(part, BodyPartReader) or part.name is None or len(parts) == MAX_PARTS:
                _bad_request("The form is not one of named parts")
            parts.append(await _read_part(part, part.name))
    except (ValueError, HttpProcessingError):
        _bad_request("The form cannot be read")
    return tuple(parts)


async def _read_part(part: BodyPartReader, name: str) -> UploadedPart:
    digest, size, text = hashlib.sha256(), 0, bytearray()
    while chunk := await part.read_chunk(CHUNK):
        digest.update(chunk)
        size += len(chunk)
        if part.filename is None:
            text += chunk
            if len(text) > MAX_TEXT:
                _bad_request(f"The value of '{name}' is too long")
    return UploadedPart(
        name=name,
        filename=part.filename,
        content_type=part.headers.get("Content-Type", ""),
        size=size,
        sha256=digest.hexdigest(),
        text=None if part.filename is not None else text.decode("utf-8", "replace"),
    )


def _check_files(parts: Sequence[UploadedPart], fields: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a form that lacks a required file. A field takes several files as ``key_1``, ``key_2``, ..."""
    sent = {part.name for part in parts if part.filename is not None}
    for field in fields:
        pattern = re.compile(re.escape(str(field["key"])) + r"(_[1-9]\d*)?")
        if field.get("required") and not any(pattern.fullmatch(name) for name in sent):
            _bad_request(f"The file '{field['key']}' is missing")


def _metadata(values: Mapping[str, str | None]) -> Mapping[str, Any]:
    """Read the run's metadata, and check that of the files."""
    found: Mapping[str, Any] = {}
    for name, text in values.items():
        if name == "metadata" or name.endswith("_metadata"):
            value = _json_object(name, text or "")
            found = value if name == "metadata" else found
    return found


def _json_object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        _bad_request(f"'{name}' is not a JSON object")
    return value
