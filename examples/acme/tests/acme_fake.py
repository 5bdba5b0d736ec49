"""Acme's API as a part of the sandbox."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from airflow_provider_flowruns.sandbox import ApiError, PlainRun, PlainService, StatusNames, build_json_response


class FakeAcme(PlainService):
    """Acme below ``/acme``."""

    name = "acme"
    status_names = StatusNames(
        waiting="QUEUED",
        running="RUNNING",
        succeeded="DONE",
        failed="ERROR",
        canceled="STOPPED",
        paused=None,
        ended=frozenset({"DONE", "ERROR", "STOPPED"}),
        manual_trigger="user",
        api_trigger="api",
        schedule_trigger="schedule",
    )

    def make_id(self) -> str:
        """Return an id in Acme's form."""
        return uuid.uuid4().hex[:12]

    def build_routes(self) -> list[web.RouteDef]:
        """Return the routes of the API."""
        return [
            self.build_route("GET", "/me", self._get_me),
            self.build_route("GET", "/runs/{id}", self._get_run),
            self.build_route("POST", "/runs/{id}/stop", self._stop_run),
            self.build_route("GET", "/flows/{id}/runs", self._list_runs),
            self.build_route("POST", "/flows/{id}/runs", self._run_flow),
        ]

    def check_token(self, request: web.Request) -> None:
        """Reject a request without the key."""
        if request.headers.get("X-Api-Key") != self.token:
            raise ApiError(401, {"message": "Unauthorized"})

    def _get_me(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        return build_json_response({"name": "Jo"})

    def _get_run(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        return build_json_response(build_row(self.find_run(request.match_info["id"], now), now))

    def _stop_run(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        run = self.find_run(request.match_info["id"], now)
        self.cancel_run(run, now)
        return build_json_response(build_row(run, now))

    def _list_runs(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        flow, key = self.find_flow(request.match_info["id"]), request.query.get("key")
        runs = [run for run in reversed(flow.list_visible_runs(now)) if key in {None, (run.sent or {}).get("key")}]
        limit = int(request.query.get("limit", "100"))
        return build_json_response({"runs": [build_row(run, now) for run in runs[:limit]]})

    def _run_flow(self, request: web.Request, now: float) -> web.Response:
        self.check_token(request)
        sent = self.read_json_body()
        run = self.start_run(self.find_flow(request.match_info["id"]), now, sent)
        return build_json_response(build_row(run, now))


def build_row(run: PlainRun, now: float) -> dict[str, Any]:
    """Return a run as the API shows it.

    :param run: the run.
    :param now: epoch seconds.
    """
    change = run.get_status_change(now)
    has_failed = change.status == "ERROR"
    row = {
        "id": run.id,
        "flow": run.flow_id,
        "key": (run.sent or {}).get("key"),
        "state": change.status,
        "created": format_time(run.created),
        "ended": format_time(run.get_ended_at(now)),
        "error": "; ".join(run.plan.errors or ("made up",)) if has_failed else None,
    }
    return run.apply_overrides(row)


def format_time(seconds: float | None) -> str | None:
    """Return a time as the API writes it.

    :param seconds: epoch seconds, None for no time.
    """
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
