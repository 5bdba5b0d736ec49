"""Activepieces as its API shows itself: flows, runs, webhooks, with the oddities of the real server."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, NoReturn

from aiohttp import web

from airflow_provider_flowruns.sandbox.activepieces_input import (
    ID_PATTERN,
    ID_PROBLEM,
    body_id,
    body_ids,
    checked_values,
    invalid,
    json_body,
    no_entity,
    one_of,
    page_limit,
    path_id,
    query_id,
    query_moment,
    query_values,
    trigger_output,
)
from airflow_provider_flowruns.sandbox.activepieces_runs import (
    STATUSES,
    WORDS,
    ActivepiecesRun,
    before_0_80,
    full_row,
    list_row,
    new_run_row,
)
from airflow_provider_flowruns.sandbox.answers import Refused, json_answer
from airflow_provider_flowruns.sandbox.exchange import current_exchange
from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.runs import RunPlan
from airflow_provider_flowruns.sandbox.seek import Page, Position, seek_page
from airflow_provider_flowruns.sandbox.service import SandboxService
from airflow_provider_flowruns.sandbox.world import World, iso_time, random_id

ID_LENGTH = 21
STRATEGIES = ("FROM_FAILED_STEP", "ON_LATEST_VERSION")
SYNC_STEP = 0.02
"""A synchronous webhook looks at its run every so many seconds."""

AUTHENTICATION_FAULT = "Cannot read properties of undefined (reading 'type')"
"""What the real server says on its flow and run routes instead of naming a bad token."""


class ActivepiecesFlow(SandboxFlow[ActivepiecesRun]):
    """A flow of Activepieces, with settings that may be changed at any time.

    * ``enabled``: the webhook of a flow that is not answers 404. Default True.
    * ``shows_call``: runs show what the webhook was called with. Default True.

    :param created: epoch seconds at which the flow was made.
    """

    def __init__(self, service: Activepieces, flow_id: str, name: str, created: float) -> None:
        super().__init__(
            world=service.world,
            words=WORDS,
            service=Activepieces.name,
            flow_id=flow_id,
            name=name,
            index=service.run_index,
            forget=service.forget,
        )
        self.created = created
        self.enabled = True
        self.shows_call = True
        self.version_id = random_id(ID_LENGTH)
        self._external_id = random_id(ID_LENGTH)
        self._activepieces = service
        self._reply: tuple[int, Any, Mapping[str, str]] | None = None

    @property
    def project_id(self) -> str:
        """Id of the project the flow is in."""
        return self._activepieces.project_id

    def reply(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Give the flow a step that answers its caller. Without one, a synchronous webhook runs into its timeout.

        :param body: what is sent as JSON once the run has succeeded.
        :param status: HTTP status.
        :param headers: further headers.
        """
        with self.world.lock:
            self._reply = (status, body, dict(headers or {}))

    # What follows is for the sandbox's own modules, which hold the lock.

    def new_run(self, created: float, trigger: str, plan: RunPlan) -> ActivepiecesRun:
        """Make a run with a random id."""
        return ActivepiecesRun(self, random_id(ID_LENGTH), created, trigger, plan)

    def answer_caller(self, run: ActivepiecesRun, now: float) -> tuple[int, Any, Mapping[str, str]] | None:
        """Give what the flow's reply step sends, or None if there is none or the run has not got there."""
        return self._reply if run.point(now).status == "SUCCEEDED" else None

    @property
    def version(self) -> dict[str, Any]:
        """The published version of the flow, as runs and flows show it."""
        created = iso_time(self.created)
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

    def row(self) -> dict[str, Any]:
        """Show the flow as the API does."""
        return {
            "id": self.id,
            "created": iso_time(self.created),
            "updated": iso_time(self.created),
            "projectId": self.project_id,
            "externalId": self._external_id,
            "ownerId": None,
            "folderId": None,
            "status": "ENABLED" if self.enabled else "DISABLED",
            "publishedVersionId": self.version_id,
            "metadata": None,
            "operationStatus": "NONE",
            "timeSavedPerRun": None,
            "templateId": None,
            "version": self.version,
            "triggerSource": {"schedule": None},
        }


class Activepieces(SandboxService[ActivepiecesFlow]):
    """The Activepieces API below ``/activepieces/api/v1``, with one project.

    ``token_superseded`` is a token of a session that was replaced by a later one (403 instead of 401).

    Settings, to be changed at any time:

    * ``nulls``: ``"null"`` (default) shows missing values as servers from 0.80 on do, ``"empty"`` as earlier ones.
    * ``payload_limit``: a webhook takes so many bytes. Default 25 MiB.
    * ``webhook_timeout``: a synchronous webhook without a reply answers 204 after so many seconds. Default 30.
    * ``filters_by_run_id``: False lets lists ignore ``flowRunIds``, as servers before 0.70.2 did. Default True.
    * ``cancel_takes``: so many seconds pass between the answer to a cancel and the change of status. Default 0.
    """

    name = "activepieces"
    words = WORDS

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.token_superseded = f"{self.token}-superseded"
        self.project_id = random_id(ID_LENGTH)
        self.nulls: Literal["null", "empty"] = "null"
        self.payload_limit = 25 * 1024 * 1024
        self.webhook_timeout = 30.0
        self.filters_by_run_id = True
        self.cancel_takes = 0.0
        self._created = world.clock()

    def add_flow(self, name: str = "Orders", flow_id: str | None = None) -> ActivepiecesFlow:
        """Add a published, enabled flow that is triggered by a webhook.

        :param name: display name.
        :param flow_id: its id of 21 letters and digits; None makes one.
        :raises ValueError: when the id has another form, or there is a flow with it already.
        """
        if flow_id is not None and not ID_PATTERN.fullmatch(flow_id):
            raise ValueError(f"An Activepieces id has 21 letters and digits, which {flow_id!r} has not.")
        with self.world.lock:
            # Flows that share their time of change would get lost between the pages of a list.
            created = max([self.world.clock(), *(flow.created + 0.001 for flow in self._flows.values())])
            return self.add(ActivepiecesFlow(self, flow_id or random_id(ID_LENGTH), name, created))

    def connection_extra(self) -> dict[str, Any]:
        """Give the project's id."""
        return {"project_id": self.project_id}

    # What follows is for the sandbox's own modules.

    @property
    def run_index(self) -> dict[str, ActivepiecesRun]:
        """The service's runs by id."""
        return self._index

    def routes(self) -> list[web.RouteDef]:
        """List the routes of the Activepieces API."""
        webhook = f"/{self.name}/api/v1/webhooks/{{flow_id}}"
        return [
            self.route("GET", "/api/v1/projects", self._list_projects),
            self.route("GET", "/api/v1/flows", self._list_flows),
            self.route("GET", "/api/v1/flows/{id}", self._get_flow),
            self.route("GET", "/api/v1/flow-runs", self._list_runs),
            self.route("GET", "/api/v1/flow-runs/count-by-status", self._count_by_status),
            self.route("POST", "/api/v1/flow-runs/cancel", self._cancel_runs),
            self.route("POST", "/api/v1/flow-runs/archive", self._archive_runs),
            self.route("GET", "/api/v1/flow-runs/{id}", self._get_run),
            self.route("POST", "/api/v1/flow-runs/{id}/retry", self._retry_run),
            web.route("*", webhook, self._webhook),
            web.route("*", f"{webhook}/draft", self._draft_webhook),
            web.route("*", f"{webhook}/sync", self._sync_webhook),
            self.route("*", "/{rest:.*}", self._unknown_path),
        ]

    # Projects and flows

    def _list_projects(self, request: web.Request, now: float) -> web.Response:
        token = self.bearer(request)
        if token is not None and token != self.token:
            key = token.startswith("sk-")
            problem = "invalid api key" if key else "invalid access token or session expired"
            code = "AUTHENTICATION" if key else "INVALID_BEARER_TOKEN"
            raise Refused(401, {"code": code, "params": {"message": problem}})
        self._check_permission(request)
        project = {
            "id": self.project_id,
            "created": iso_time(self._created),
            "updated": iso_time(self._created),
            "displayName": "Sandbox",
            "externalId": None,
        }
        return self._page_answer(Page([project], None, None), lambda row: row)

    def _list_flows(self, request: web.Request, now: float) -> web.Response:
        project_id = query_id(request, "projectId")
        limit = page_limit(request)
        self._check_token(request)
        self._check_project(project_id)
        self._check_permission(request)
        wanted = query_values(request, "status")
        flows = [
            flow
            for flow in sorted(self._flows.values(), key=lambda flow: flow.created, reverse=True)
            if not wanted or flow.row()["status"] in wanted
        ]
        page = seek_page(flows, limit, request.query.get("cursor"), FLOW_POSITION)
        return self._page_answer(page, ActivepiecesFlow.row)

    def _get_flow(self, request: web.Request, now: float) -> web.Response:
        flow_id = path_id(request, "id")
        self._check_token(request)
        if (flow := self._flows.get(flow_id)) is None:
            no_entity("flow", flow_id)
        self._check_permission(request)
        return json_answer(flow.row())

    # Runs

    def _list_runs(self, request: web.Request, now: float) -> web.Response:
        project_id = query_id(request, "projectId")
        limit = page_limit(request)
        statuses = checked_values(request, "status", STATUSES.__contains__, one_of(STATUSES))
        flow_ids = checked_values(request, "flowId", ID_PATTERN.fullmatch, ID_PROBLEM)
        run_ids = checked_values(request, "flowRunIds", ID_PATTERN.fullmatch, ID_PROBLEM)
        self._check_token(request)
        self._check_project(project_id)
        self._check_permission(request)
        tags, step = set(query_values(request, "tags")), request.query.get("failedStepName")
        archived = request.query.get("includeArchived") == "true"
        rows = [
            run
            for run in self._listed_runs(request, now)
            if (not flow_ids or run.flow_id in flow_ids)
            and (not run_ids or not self.filters_by_run_id or run.id in run_ids)
            and (not statuses or run.point(now).status in statuses)
            and tags <= set(run.tags)
            and (step is None or (run.failed_step(now) or {}).get("name") == step)
            and (archived or run.archived_at is None)
        ]
        page = seek_page(rows, limit, request.query.get("cursor"), RUN_POSITION)
        return self._page_answer(page, lambda run: self._shown(list_row(run, now)))

    def _listed_runs(self, request: web.Request, now: float) -> list[ActivepiecesRun]:
        """List the production runs in the window that the request names, newest first."""
        after, before = query_moment(request, "createdAfter", now), query_moment(request, "createdBefore", now)
        runs = [
            run
            for flow in self._flows.values()
            for run in flow.visible_runs(now)
            if run.environment == "PRODUCTION"
            and (after is None or after <= run.created)
            and (before is None or run.created <= before)
        ]
        runs.sort(key=lambda run: run.created)
        runs.reverse()
        return runs

    def _count_by_status(self, request: web.Request, now: float) -> web.Response:
        project_id = query_id(request, "projectId")
        self._check_token(request)
        self._check_project(project_id)
        self._check_permission(request)
        counts = Counter(run.point(now).status for run in self._listed_runs(request, now) if run.archived_at is None)
        return json_answer({"data": [{"status": word, "count": count} for word, count in counts.items()]})

    def _get_run(self, request: web.Request, now: float) -> web.Response:
        return json_answer(self._shown(full_row(self._find_run(request, now), now)))

    def _find_run(self, request: web.Request, now: float) -> ActivepiecesRun:
        """Find the run in the path. The look-up comes before the permission check, as on the real server."""
        run_id = path_id(request, "id")
        self._check_token(request)
        run = self._index.get(run_id)
        if run is None or not run.visible(now):
            no_entity("flow_run", run_id)
        self._check_permission(request)
        found: ActivepiecesRun = run
        found.owner.advance(now)
        return found

    def _retry_run(self, request: web.Request, now: float) -> web.Response:
        body = json_body(request)
        body_id(body, "projectId")
        if body.get("strategy") not in STRATEGIES:
            invalid(f"body/strategy {one_of(STRATEGIES)}")
        run = self._find_run(request, now)
        flow = self._flows[run.flow_id]
        if body["strategy"] == "FROM_FAILED_STEP":
            run.restart(now, flow.take_plan())
            self.world.ledger.note_started(self.name, flow.id, run.id, now)
            row = full_row(run, now)
            del row["steps"]
            return json_answer(self._shown(row))
        again = flow.start(now)
        again.trigger_output = run.trigger_output
        return json_answer(new_run_row(again, now))

    def _cancel_runs(self, request: web.Request, now: float) -> web.Response:
        for run in self._bulk(request, now):
            if run.point(now).status in {"PAUSED", "QUEUED"} and not run.canceled:
                run.cancel(now, self.cancel_takes)
                self.world.ledger.note_canceled(self.name, run.flow_id, run.id, now)
        return web.Response()

    def _archive_runs(self, request: web.Request, now: float) -> web.Response:
        for run in self._bulk(request, now):
            run.archived_at = now
        return web.Response()

    def _bulk(self, request: web.Request, now: float) -> list[ActivepiecesRun]:
        """List the runs that a bulk request means: without ids, or with an empty list, all of the project."""
        body = json_body(request)
        project_id = body_id(body, "projectId")
        self._check_token(request)
        self._check_project(project_id)
        self._check_permission(request)
        wanted = body_ids(body, "flowRunIds")
        return [
            run for flow in self._flows.values() for run in flow.visible_runs(now) if not wanted or run.id in wanted
        ]

    # Webhooks

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        answer, _ = self._run_by_webhook(request, "PRODUCTION")
        return answer

    async def _draft_webhook(self, request: web.Request) -> web.StreamResponse:
        answer, _ = self._run_by_webhook(request, "TESTING")
        return answer

    async def _sync_webhook(self, request: web.Request) -> web.StreamResponse:
        refusal, run = self._run_by_webhook(request, "PRODUCTION")
        if run is None:
            return refusal
        headers = {"x-webhook-id": refusal.headers["x-webhook-id"]}
        flow = self._flows[run.flow_id]
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self.webhook_timeout
        while loop.time() < give_up:
            with self.world.lock:
                reply = flow.answer_caller(run, self.world.clock())
            if reply is not None:
                status, body, further = reply
                return json_answer(body, status, {**further, **headers})
            await asyncio.sleep(SYNC_STEP)
        return web.Response(status=204, headers=headers)

    def _run_by_webhook(self, request: web.Request, environment: str) -> tuple[web.Response, ActivepiecesRun | None]:
        """Start a run if the flow takes the call. The id in the answer is not the run's."""
        flow_id = path_id(request, "flow_id")
        if len(current_exchange().payload) > self.payload_limit:
            return json_answer({"message": "Payload too large"}, 413), None
        output = trigger_output(request)
        headers = {"x-webhook-id": random_id(ID_LENGTH)}
        with self.world.lock:
            flow = self._flows.get(flow_id)
            if flow is None:
                return json_answer({}, 410, headers), None
            if not flow.enabled:
                return json_answer({}, 404, headers), None
            run = flow.start(self.world.clock())
            run.trigger_output = output if flow.shows_call else {}
            run.environment = environment
            run.parent_run_id = request.headers.get("ap-parent-run-id")
            run.fail_parent_on_failure = request.headers.get("ap-fail-parent-on-failure") == "true"
        return json_answer({}, 200, headers), run

    # Common parts

    def _unknown_path(self, request: web.Request, now: float) -> NoReturn:
        raise Refused(404, {"statusCode": 404, "error": "Not Found", "message": "Route not found"})

    def _check_token(self, request: web.Request) -> None:
        """Refuse a bad token. A missing one is found out later, by :meth:`_check_permission`."""
        token = self.bearer(request)
        if token not in {None, self.token}:
            status, error = (403, "Forbidden") if token == self.token_superseded else (401, "Unauthorized")
            raise Refused(status, {"statusCode": status, "error": error, "message": AUTHENTICATION_FAULT})

    def _check_permission(self, request: web.Request) -> None:
        if self.bearer(request) is None:
            problem = {"message": "principal is not allowed for this route"}
            raise Refused(403, {"code": "AUTHORIZATION", "params": problem})

    def _check_project(self, project_id: str) -> None:
        if project_id != self.project_id:
            no_entity("project", project_id)

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        return before_0_80(row) if self.nulls == "empty" else row

    def _page_answer(self, page: Page[Any], show: Callable[[Any], dict[str, Any]]) -> web.Response:
        rows = [show(row) for row in page.rows]
        return json_answer({"next": page.next, "previous": page.previous, "data": rows})


def _read_run_place(text: str) -> int:
    """Read the place of a run in a cursor, cut to seconds: the runs of one second share their place."""
    key, _, value = text.partition(":")
    if key != "created":
        raise ValueError(f"entity property not found {key}")
    if not re.fullmatch(r"-?\d+", value):
        raise ValueError("Invalid time value")
    return int(value) // 1000


def _read_flow_place(text: str) -> int:
    try:
        return _milliseconds(datetime.fromisoformat(json.loads(text)["updated"]).timestamp())
    except (ValueError, TypeError, KeyError):
        raise ValueError("Invalid cursor") from None


def _milliseconds(moment: float) -> int:
    return round(moment * 1000)


RUN_POSITION: Position[ActivepiecesRun] = Position(
    place=lambda run: _milliseconds(run.created) // 1000,
    write=lambda run: f"created:{_milliseconds(run.created)}",
    read=_read_run_place,
)
FLOW_POSITION: Position[ActivepiecesFlow] = Position(
    place=lambda flow: _milliseconds(flow.created),
    write=lambda flow: json.dumps({"status": flow.row()["status"], "updated": iso_time(flow.created)}),
    read=_read_flow_place,
)
