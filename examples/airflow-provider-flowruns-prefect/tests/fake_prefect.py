"""Prefect's API as a part of the sandbox, as far as the package calls it; its answers are those of a real server."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from airflow_provider_flowruns.sandbox import ApiError, PlainFlow, PlainRun, PlainService, StatusNames
from airflow_provider_flowruns.sandbox import build_json_response as respond

MAX_LIMIT = 200
ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


class FakePrefect(PlainService):
    """Prefect below ``/prefect/api``. A deployment is a flow of the sandbox, a state's type is its status."""

    name = "prefect"
    status_names = StatusNames(
        waiting="SCHEDULED",
        running="RUNNING",
        succeeded="COMPLETED",
        failed="FAILED",
        canceled="CANCELLED",
        paused="PAUSED",
        ended=ENDED,
        manual_trigger="API",
        api_trigger="API",
        schedule_trigger="SCHEDULE",
    )

    def make_id(self) -> str:
        """Return a UUID."""
        return str(uuid.uuid4())

    def build_routes(self) -> list[web.RouteDef]:
        """Return the routes of the API."""
        return [
            self.build_route("POST", "/api/flow_runs/filter", self._filter_runs),
            self.build_route("GET", "/api/flow_runs/{id}", self._get_run),
            self.build_route("POST", "/api/flow_runs/{id}/set_state", self._set_state),
            self.build_route("POST", "/api/deployments/filter", self._filter_deployments),
            self.build_route("GET", "/api/deployments/{id}", self._get_deployment),
            self.build_route("POST", "/api/deployments/{id}/create_flow_run", self._create_run),
        ]

    def _filter_runs(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        body = self.read_json_body()
        rows = [build_row(run, now) for run in self.list_runs(now)]
        for field, condition in body.get("flow_runs", {}).items():
            if "before_" in condition:
                rows = [row for row in rows if row[field] <= condition["before_"]]
            else:
                rows = [row for row in rows if row[field] in condition["any_"]]
        return respond(self._cut(body, rows))

    def _get_run(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        return respond(build_row(self.find_run(request.match_info["id"], now), now))

    def _set_state(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        run = self.find_run(request.match_info["id"], now)
        status = run.get_status_change(now).status
        if run.get_ended_at(now) is not None:
            reason = "Run is already in terminal state."
            return respond({"state": None, "status": "ABORT", "details": {"type": "abort_details", "reason": reason}})
        self.cancel_run(run, now)
        if status == "SCHEDULED":  # cancelled at once, with another state than the requested one
            details = {"type": "reject_details", "reason": "Scheduled flow run has no infrastructure to terminate."}
            return respond({"state": {"type": "CANCELLED"}, "status": "REJECT", "details": details})
        details = {"type": "accept_details"}
        return respond({"state": {"type": "CANCELLING"}, "status": "ACCEPT", "details": details}, 201)

    def _filter_deployments(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        rows = [build_deployment(flow) for flow in sorted(self.flows, key=lambda flow: flow.name)]
        return respond(self._cut(self.read_json_body(), rows))

    def _get_deployment(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        return respond(build_deployment(self.find_flow(request.match_info["id"])))

    def _create_run(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        flow, body = self.find_flow(request.match_info["id"]), self.read_json_body()
        key = body.get("idempotency_key")
        for run in flow.list_visible_runs(now):
            if key is not None and run.sent and run.sent["idempotency_key"] == key:
                return respond(build_row(run, now))
        return respond(build_row(self.start_run(flow, now, body), now), 201)

    def _cut(self, body: dict[str, Any], rows: list[Any]) -> list[Any]:
        limit, offset = body.get("limit", MAX_LIMIT), body.get("offset", 0)
        if limit > MAX_LIMIT:
            raise ApiError(422, {"detail": "Invalid limit: must be less than or equal to 200."})
        return rows[offset : offset + limit]


def build_row(run: PlainRun, now: float) -> dict[str, Any]:
    """Return a run as the API shows it."""
    change, sent = run.get_status_change(now), run.sent or {}
    started = next((at for at, status in run.list_status_changes(now) if status == "RUNNING"), None)
    errors = run.plan.errors or ("Flow run encountered an exception",)
    row = {
        "id": run.id,
        "created": format_time(run.created),
        "name": "made-up-name",
        "flow_id": str(uuid.UUID(int=7)),
        "deployment_id": run.flow_id,
        "parameters": sent.get("parameters", {}),
        "idempotency_key": sent.get("idempotency_key"),
        "tags": sent.get("tags", []),
        "state_type": change.status,
        "state_name": change.status.capitalize(),
        "run_count": 0 if started is None else 1,
        "expected_start_time": format_time(run.created),
        "start_time": format_time(started),
        "end_time": format_time(run.get_ended_at(now)),
        "auto_scheduled": run.trigger == "SCHEDULE",
        "work_pool_name": None,
        "work_queue_name": None,
        "state": {
            "type": change.status,
            "timestamp": format_time(change.at),
            "message": "; ".join(errors) if change.status == "FAILED" else None,
        },
    }
    return run.apply_overrides(row)


def build_deployment(flow: PlainFlow) -> dict[str, Any]:
    """Return a deployment as the API shows it."""
    return {"id": flow.id, "name": flow.name, "paused": False, "status": "READY"}


def format_time(seconds: float | None) -> str | None:
    """Return a time as the API writes it, None for none."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
