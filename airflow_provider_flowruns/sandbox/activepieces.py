"""The Activepieces API: flows, runs and webhooks, with the quirks of the real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

from aiohttp import web

from airflow_provider_flowruns.sandbox.activepieces_input import (
    ID_PATTERN,
    INVALID_ID_MESSAGE,
    build_invalid_option_message,
    build_trigger_output,
    list_query_values,
    parse_body_id,
    parse_body_ids,
    parse_json_body,
    parse_limit,
    parse_path_id,
    parse_query_id,
    parse_query_time,
    parse_query_values,
    raise_bad_request,
    raise_not_found,
)
from airflow_provider_flowruns.sandbox.activepieces_runs import (
    STATUS_NAMES,
    STATUSES,
    ActivepiecesRun,
    build_full_row,
    build_list_row,
    build_retry_row,
)
from airflow_provider_flowruns.sandbox.cursor_paging import CursorKey, CursorPage, get_page
from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.responses import ApiError, build_json_response
from airflow_provider_flowruns.sandbox.runs import RunPlan
from airflow_provider_flowruns.sandbox.service import SandboxService
from airflow_provider_flowruns.sandbox.state import SandboxState, format_time, make_random_id

ID_LENGTH = 21
STRATEGIES = ("FROM_FAILED_STEP", "ON_LATEST_VERSION")

AUTHENTICATION_MESSAGE = "Cannot read properties of undefined (reading 'type')"
"""The real server's error message for an invalid token on its flow and run routes."""


class ActivepiecesFlow(SandboxFlow[ActivepiecesRun]):
    """A flow of Activepieces.

    These settings can be changed at any time:

    * ``enabled``: whether the flow is enabled; the webhook of a disabled flow responds with 404. Default: True.
    * ``shows_trigger_output``: whether runs show the request that their webhook received. Default: True.

    :param service: the service that has the flow.
    :param flow_id: its id.
    :param name: its name.
    :param created: epoch seconds at which the flow was created.
    """

    def __init__(self, service: Activepieces, flow_id: str, name: str, created: float) -> None:
        super().__init__(
            state=service.state,
            status_names=STATUS_NAMES,
            service=Activepieces.name,
            flow_id=flow_id,
            name=name,
            runs_by_id=service.runs_by_id,
            on_delete=service.remove_flow,
        )
        self.created = created
        self.enabled = True
        self.shows_trigger_output = True
        self.version_id = make_random_id(ID_LENGTH)
        self._external_id = make_random_id(ID_LENGTH)
        self._activepieces = service

    @property
    def project_id(self) -> str:
        """Id of the flow's project."""
        return self._activepieces.project_id

    # Internal to the sandbox: callers hold the lock

    def create_run(self, created: float, trigger: str, plan: RunPlan) -> ActivepiecesRun:
        """Create a run with a random id."""
        return ActivepiecesRun(self, make_random_id(ID_LENGTH), created, trigger, plan)

    def build_version(self) -> dict[str, Any]:
        """Return the published version of the flow, as shown in runs and flows."""
        created = format_time(self.created)
        step = {
            "name": "step_1",
            "skip": False,
            "type": "CODE",
            "valid": True,
            "settings": {"input": {}, "sourceCode": {"code": "export const code = async () => 3;"}},
            "displayName": "Fetch orders",
        }
        trigger = {
            "name": "trigger",
            "type": "PIECE_TRIGGER",
            "valid": True,
            "settings": {"pieceName": "@activepieces/piece-webhook", "triggerName": "catch_webhook", "input": {}},
            "nextAction": step,
            "displayName": "Catch Webhook",
        }
        return {
            "id": self.version_id,
            "created": created,
            "updated": created,
            "flowId": self.id,
            "displayName": self.name,
            "schemaVersion": "20",
            "trigger": trigger,
            "connectionIds": [],
            "agentIds": [],
            "updatedBy": None,
            "valid": True,
            "state": "LOCKED",
            "backupFiles": None,
            "notes": [],
        }

    @property
    def status(self) -> str:
        """The flow's status in the API."""
        return "ENABLED" if self.enabled else "DISABLED"

    def build_row(self) -> dict[str, Any]:
        """Return the flow as the API does."""
        return {
            "id": self.id,
            "created": format_time(self.created),
            "updated": format_time(self.created),
            "projectId": self.project_id,
            "externalId": self._external_id,
            "ownerId": None,
            "folderId": None,
            "status": self.status,
            "publishedVersionId": self.version_id,
            "metadata": None,
            "operationStatus": "NONE",
            "timeSavedPerRun": None,
            "templateId": None,
            "version": self.build_version(),
            "triggerSource": {"schedule": None},
        }


class Activepieces(SandboxService[ActivepiecesFlow]):
    """The Activepieces API below ``/activepieces/api/v1``, with one project.

    ``supports_run_id_filter`` can be set to False to make lists ignore ``flowRunIds``, as servers before 0.70.2 do.
    """

    name = "activepieces"

    def __init__(self, state: SandboxState) -> None:
        super().__init__(state)
        self.project_id = make_random_id(ID_LENGTH)
        self.supports_run_id_filter = True
        self._created = state.clock()

    def add_flow(self, name: str = "Orders", flow_id: str | None = None) -> ActivepiecesFlow:
        """Add a published, enabled flow that is triggered by a webhook.

        :param name: display name.
        :param flow_id: its id of 21 letters and digits; None generates one.
        :raises ValueError: the id is malformed or already in use.
        """
        if flow_id is not None and not ID_PATTERN.fullmatch(flow_id):
            raise ValueError(f"flow_id must have 21 letters and digits, not {flow_id!r}.")
        with self.state.lock:
            # Flows with the same time of creation would get lost between the pages of a list.
            created = max([self.state.clock(), *(flow.created + 0.001 for flow in self._flows.values())])
            return self.store_flow(ActivepiecesFlow(self, flow_id or make_random_id(ID_LENGTH), name, created))

    def get_connection_extra(self) -> dict[str, Any]:
        """Return the project's id."""
        return {"project_id": self.project_id}

    # Internal to the sandbox

    @property
    def runs_by_id(self) -> dict[str, ActivepiecesRun]:
        """The service's runs by id."""
        return self._runs_by_id

    def build_routes(self) -> list[web.RouteDef]:
        """Return the routes of the Activepieces API."""
        return [
            self.build_route("GET", "/api/v1/projects", self._list_projects),
            self.build_route("GET", "/api/v1/flows", self._list_flows),
            self.build_route("GET", "/api/v1/flows/{id}", self._get_flow),
            self.build_route("GET", "/api/v1/flow-runs", self._list_runs),
            self.build_route("POST", "/api/v1/flow-runs/cancel", self._cancel_runs),
            self.build_route("GET", "/api/v1/flow-runs/{id}", self._get_run),
            self.build_route("POST", "/api/v1/flow-runs/{id}/retry", self._retry_run),
            self.build_route("*", "/api/v1/webhooks/{flow_id}", self._run_flow),
            self.build_route("*", "/{rest:.*}", self._reject_unknown_path),
        ]

    # Projects and flows

    def _list_projects(self, request: web.Request, now: float) -> web.Response:
        token = self.get_token(request)
        if token is not None and token != self.token:
            is_api_key = token.startswith("sk-")
            message = "invalid api key" if is_api_key else "invalid access token or session expired"
            code = "AUTHENTICATION" if is_api_key else "INVALID_BEARER_TOKEN"
            raise ApiError(401, {"code": code, "params": {"message": message}})
        self._check_permission(request)
        project = {
            "id": self.project_id,
            "created": format_time(self._created),
            "updated": format_time(self._created),
            "displayName": "Sandbox",
            "externalId": None,
        }
        return self._build_page_response(CursorPage([project], None), lambda row: row)

    def _list_flows(self, request: web.Request, now: float) -> web.Response:
        project_id = parse_query_id(request, "projectId")
        limit = parse_limit(request)
        self._check_token(request)
        self._check_project(project_id)
        self._check_permission(request)
        flows = sorted(self._flows.values(), key=lambda flow: flow.created, reverse=True)
        page = get_page(flows, limit, request.query.get("cursor"), FLOW_CURSOR_KEY)
        return self._build_page_response(page, ActivepiecesFlow.build_row)

    def _get_flow(self, request: web.Request, now: float) -> web.Response:
        flow_id = parse_path_id(request, "id")
        self._check_token(request)
        if (flow := self._flows.get(flow_id)) is None:
            raise_not_found("flow", flow_id)
        self._check_permission(request)
        return build_json_response(flow.build_row())

    # Runs

    def _list_runs(self, request: web.Request, now: float) -> web.Response:
        project_id = parse_query_id(request, "projectId")
        limit = parse_limit(request)
        statuses = parse_query_values(request, "status", STATUSES.__contains__, build_invalid_option_message(STATUSES))
        flow_ids = parse_query_values(request, "flowId", ID_PATTERN.fullmatch, INVALID_ID_MESSAGE)
        run_ids = parse_query_values(request, "flowRunIds", ID_PATTERN.fullmatch, INVALID_ID_MESSAGE)
        self._check_token(request)
        self._check_project(project_id)
        self._check_permission(request)
        tags = set(list_query_values(request, "tags"))
        rows = [
            run
            for run in self._list_runs_in_window(request, now)
            if (not flow_ids or run.flow_id in flow_ids)
            and (not run_ids or not self.supports_run_id_filter or run.id in run_ids)
            and (not statuses or run.get_status_change(now).status in statuses)
            and tags <= set(run.tags)
            and run.archived_at is None
        ]
        page = get_page(rows, limit, request.query.get("cursor"), RUN_CURSOR_KEY)
        return self._build_page_response(page, lambda run: build_list_row(run, now))

    def _list_runs_in_window(self, request: web.Request, now: float) -> list[ActivepiecesRun]:
        """Return the production runs in the requested time window, newest first."""
        after, before = parse_query_time(request, "createdAfter"), parse_query_time(request, "createdBefore")
        runs = [
            run
            for flow in self._flows.values()
            for run in flow.list_visible_runs(now)
            if run.environment == "PRODUCTION"
            and (after is None or after <= run.created)
            and (before is None or run.created <= before)
        ]
        runs.sort(key=lambda run: run.created)
        runs.reverse()
        return runs

    def _get_run(self, request: web.Request, now: float) -> web.Response:
        return build_json_response(build_full_row(self._find_run(request, now), now))

    def _find_run(self, request: web.Request, now: float) -> ActivepiecesRun:
        """Return the run named in the path. As on the real server, the permission is checked after the lookup."""
        run_id = parse_path_id(request, "id")
        self._check_token(request)
        run = self._runs_by_id.get(run_id)
        if run is None or not run.is_visible(now):
            raise_not_found("flow_run", run_id)
        self._check_permission(request)
        found: ActivepiecesRun = run
        found.owner.advance(now)
        return found

    def _retry_run(self, request: web.Request, now: float) -> web.Response:
        body = parse_json_body()
        parse_body_id(body, "projectId")
        if body.get("strategy") not in STRATEGIES:
            raise_bad_request(f"body/strategy {build_invalid_option_message(STRATEGIES)}")
        run = self._find_run(request, now)
        flow = self._flows[run.flow_id]
        if body["strategy"] == "FROM_FAILED_STEP":
            run.restart(now, flow.pop_plan())
            self.state.ledger.record_started(self.name, flow.id, run.id, now)
            row = build_full_row(run, now)
            del row["steps"]
            return build_json_response(row)
        new_run = flow.start_run(now)
        new_run.trigger_output = run.trigger_output
        return build_json_response(build_retry_row(new_run, now))

    def _cancel_runs(self, request: web.Request, now: float) -> web.Response:
        for run in self._find_runs_to_cancel(request, now):
            if run.get_status_change(now).status in {"PAUSED", "QUEUED"} and not run.canceled:
                run.cancel(now)
                self.state.ledger.record_canceled(self.name, run.flow_id, run.id, now)
        return web.Response()

    def _find_runs_to_cancel(self, request: web.Request, now: float) -> list[ActivepiecesRun]:
        """Return the runs named in the body; without ids, or with an empty list, all runs of the project."""
        body = parse_json_body()
        project_id = parse_body_id(body, "projectId")
        self._check_token(request)
        self._check_project(project_id)
        self._check_permission(request)
        run_ids = parse_body_ids(body, "flowRunIds")
        return [
            run
            for flow in self._flows.values()
            for run in flow.list_visible_runs(now)
            if not run_ids or run.id in run_ids
        ]

    # Webhooks

    def _run_flow(self, request: web.Request, now: float) -> web.Response:
        """Start a run if the flow accepts the request. The id in the response is not the run's id."""
        flow_id = parse_path_id(request, "flow_id")
        trigger_output = build_trigger_output(request)
        headers = {"x-webhook-id": make_random_id(ID_LENGTH)}
        flow = self._flows.get(flow_id)
        if flow is None:
            return build_json_response({}, 410, headers)
        if not flow.enabled:
            return build_json_response({}, 404, headers)
        run = flow.start_run(now)
        run.trigger_output = trigger_output if flow.shows_trigger_output else {}
        return build_json_response({}, 200, headers)

    # Helpers

    def _reject_unknown_path(self, request: web.Request, now: float) -> NoReturn:
        raise ApiError(404, {"statusCode": 404, "error": "Not Found", "message": "Route not found"})

    def _check_token(self, request: web.Request) -> None:
        """Reject an invalid token. A missing one is rejected later, by :meth:`_check_permission`."""
        if self.get_token(request) not in {None, self.token}:
            raise ApiError(401, {"statusCode": 401, "error": "Unauthorized", "message": AUTHENTICATION_MESSAGE})

    def _check_permission(self, request: web.Request) -> None:
        if self.get_token(request) is None:
            message = "principal is not allowed for this route"
            raise ApiError(403, {"code": "AUTHORIZATION", "params": {"message": message}})

    def _check_project(self, project_id: str) -> None:
        if project_id != self.project_id:
            raise_not_found("project", project_id)

    def _build_page_response(self, page: CursorPage[Any], build_row: Callable[[Any], dict[str, Any]]) -> web.Response:
        # "previous" is a cursor on the real server; only "next" is needed here.
        return build_json_response({"next": page.next, "previous": None, "data": [build_row(row) for row in page.rows]})


def _decode_run_key(text: str) -> int:
    """Return the key of a run in a cursor, in whole seconds: all runs of one second have the same key."""
    name, _, value = text.partition(":")
    if name != "created":
        raise ValueError(f"entity property not found {name}")
    if not re.fullmatch(r"-?\d+", value):
        raise ValueError("Invalid time value")
    return int(value) // 1000


def _decode_flow_key(text: str) -> int:
    try:
        return _to_milliseconds(datetime.fromisoformat(json.loads(text)["updated"]).timestamp())
    except (ValueError, TypeError, KeyError):
        raise ValueError("Invalid cursor") from None


def _to_milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


RUN_CURSOR_KEY: CursorKey[ActivepiecesRun] = CursorKey(
    get=lambda run: _to_milliseconds(run.created) // 1000,
    encode=lambda run: f"created:{_to_milliseconds(run.created)}",
    decode=_decode_run_key,
)
FLOW_CURSOR_KEY: CursorKey[ActivepiecesFlow] = CursorKey(
    get=lambda flow: _to_milliseconds(flow.created),
    encode=lambda flow: json.dumps({"status": flow.status, "updated": format_time(flow.created)}),
    decode=_decode_flow_key,
)
