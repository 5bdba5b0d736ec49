"""The Portable API: flows, workflows and run attempts."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from aiohttp import web

from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.responses import (
    ApiError,
    build_json_response,
    is_unsigned_integer,
    parse_integer,
)
from airflow_provider_flowruns.sandbox.runs import RunPlan, SandboxRun, StatusNames
from airflow_provider_flowruns.sandbox.service import SandboxService
from airflow_provider_flowruns.sandbox.state import SandboxState, format_time

STATUS_NAMES = StatusNames(
    waiting="PENDING",
    running="RUNNING",
    succeeded="SUCCEEDED",
    failed="FAILED",
    canceled="NONE",
    paused=None,
    ended=frozenset({"SUCCEEDED", "FAILED", "NONE"}),
    manual_trigger="MANUAL",
    api_trigger="API",
    schedule_trigger="SCHEDULED",
)
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
DEFAULT_ERRORS = ("Source refused the connection: no answer within 30 s",)
DEFAULT_RESOURCES: tuple[Mapping[str, Any], ...] = (
    {"name": "orders", "extracted": 1200, "analyzed": 1200, "loaded": 1200},
    {"name": "customers", "extracted": 300, "analyzed": 300, "loaded": 300},
)
LOADING_STARTS_AT = 0.2
"""Fraction of the work after which loading starts, so that it lags behind extraction."""


class PortableRun(SandboxRun):
    """A run attempt of Portable. Its status is PENDING, RUNNING, SUCCEEDED, FAILED or NONE."""

    def get_lifecycle(self, now: float) -> str:
        """Return the attempt's lifecycle. An unknown status in the timeline is passed on."""
        status = self.get_status_change(now).status
        return "NOT_RUNNING" if status in self.status_names.ended else status

    def get_disposition(self, now: float) -> str:
        """Return the attempt's disposition."""
        status = self.get_status_change(now).status
        return status if status in self.status_names.ended else "NONE"

    def list_errors(self, now: float) -> list[str]:
        """Return the attempt's errors; only a failed attempt has any."""
        if self.get_disposition(now) != "FAILED" or self.plan.errors is None:
            return []
        return list(self.plan.errors or DEFAULT_ERRORS)

    def list_resources(self, now: float) -> list[dict[str, Any]]:
        """Return the row counts per resource, which grow while the attempt runs; empty before it starts."""
        if self.get_lifecycle(now) == "PENDING":
            return []
        progress = self.get_progress(now)
        loading_progress = max(progress - LOADING_STARTS_AT, 0.0) / (1 - LOADING_STARTS_AT)
        resources = DEFAULT_RESOURCES if self.plan.resources is None else self.plan.resources
        return [
            {
                "name": resource["name"],
                "extracted": math.floor(resource.get("extracted", 0) * progress),
                "analyzed": math.floor(resource.get("analyzed", 0) * loading_progress),
                "loaded": math.floor(resource.get("loaded", 0) * loading_progress),
                "errors": list(resource.get("errors", ())),
            }
            for resource in resources
        ]


class PortableFlow(SandboxFlow[PortableRun]):
    """A flow or a workflow of Portable. Only one of its runs is active at a time."""

    def __init__(self, service: Portable, flow_id: int, name: str) -> None:
        super().__init__(
            state=service.state,
            status_names=STATUS_NAMES,
            service=Portable.name,
            flow_id=flow_id,
            name=name,
            runs_by_id={},
            on_delete=service.remove_flow,
        )
        self._portable = service
        self._unfinished_runs: list[PortableRun] = []

    # Internal to the sandbox: callers hold the lock

    def create_run(self, created: float, trigger: str, plan: RunPlan) -> PortableRun:
        """Create a run attempt with the next id."""
        return PortableRun(self, self._portable.get_next_id(), created, trigger, plan)

    def insert(self, run: PortableRun) -> PortableRun:
        """Insert a run into the list and into the unfinished runs."""
        self._unfinished_runs.append(run)
        return super().insert(run)

    def list_active_runs(self, at: float, now: float) -> list[PortableRun]:
        """Return the runs that had not ended at a given time, in the order in which they were added.

        :param at: epoch seconds, not after ``now`` and not before the time in the previous call.
        :param now: epoch seconds.
        """
        ends = [(run, run.get_ended_at(now)) for run in self._unfinished_runs]
        self._unfinished_runs = [run for run, ended_at in ends if ended_at is None or ended_at > at]
        return list(self._unfinished_runs)

    def insert_scheduled_run(self, run: PortableRun, now: float) -> None:
        """Insert a scheduled run, and queue it if another run is active."""
        self.start_queued_runs(now)
        active = self.list_active_runs(run.created, now)
        self.insert(run)
        if active:
            self.queue_run(run, after=active[-1])

    def start_run(self, now: float) -> PortableRun:
        """Start a run through the API, and queue it if another run is active."""
        self.advance(now)
        active = self.list_active_runs(now, now)
        run = super().start_run(now)
        if active:
            self.queue_run(run, after=active[-1])
        return run

    def cancel(self, now: float) -> None:
        """Cancel every active or queued run; do nothing if there is none."""
        self.advance(now)
        for run in self.list_active_runs(now, now):
            run.cancel(now)
            self.state.ledger.record_canceled(self._service, self.id, run.id, now)

    def get_status_run(self, now: float) -> PortableRun | None:
        """Return the run that the status endpoint reports, or None if there is no run."""
        visible = self.list_visible_runs(now)
        active = [run for run in visible if run.get_ended_at(now) is None]
        if active:
            return next((run for run in active if run.get_lifecycle(now) != "PENDING"), active[0])
        return max(visible, key=lambda run: run.get_ended_at(now) or 0.0, default=None)


class Portable(SandboxService[PortableFlow]):
    """The Portable API below ``/portable``.

    A run that is started while another run of the flow is active stays PENDING until the other one ends.
    """

    name = "portable"

    def __init__(self, state: SandboxState) -> None:
        super().__init__(state)
        self._workflows: dict[int, PortableFlow] = {}
        self._last_id = 600_000 + secrets.randbelow(100_000)

    @property
    def workflows(self) -> list[PortableFlow]:
        """The service's workflows, in the order in which they were added."""
        with self.state.lock:
            return list(self._workflows.values())

    def add_flow(self, name: str = "Orders", flow_id: int | None = None) -> PortableFlow:
        """Add a flow.

        :param name: display name.
        :param flow_id: its id; None generates one.
        :raises ValueError: the id is already in use.
        """
        return self.store_flow(PortableFlow(self, self._get_id(flow_id), name))

    def add_workflow(self, name: str = "Nightly", workflow_id: int | None = None) -> PortableFlow:
        """Add a workflow. The API returns only the status of a workflow.

        :param name: display name.
        :param workflow_id: its id; None generates one.
        :raises ValueError: the id is already in use.
        """
        workflow = PortableFlow(self, self._get_id(workflow_id), name)
        with self.state.lock:
            if workflow.id in self._workflows:
                raise ValueError(f"The workflow id {workflow.id!r} is already in use.")
            self._workflows[workflow.id] = workflow
        return workflow

    # Internal to the sandbox

    def remove_flow(self, flow: PortableFlow) -> None:
        """Remove a flow or a workflow from the service."""
        for flows in (self._flows, self._workflows):
            if flows.get(flow.id) is flow:
                del flows[flow.id]

    def get_next_id(self) -> int:
        """Return the next run attempt id. Ids ascend, with gaps for the runs of other customers."""
        with self.state.lock:
            self._last_id += 1 + secrets.randbelow(40)
            return self._last_id

    def build_routes(self) -> list[web.RouteDef]:
        """Return the routes of the Portable API."""
        return [
            self.build_route("GET", "/v2/flows", self._list_flows),
            self.build_route("POST", "/v2/flows/{id}/run", self._run_flow),
            self.build_route("GET", "/v2/flows/{id}/run", self._list_attempts),
            self.build_route("GET", "/v2/flows/{id}/status", self._get_flow_status),
            self.build_route("POST", "/v2/flows/{id}/cancel", self._cancel_flow),
            self.build_route("GET", "/v2/workflows/{id}/status", self._get_workflow_status),
            self.build_route("*", "/{rest:.*}", self._reject_unknown_path),
        ]

    def _get_id(self, given_id: int | None) -> int:
        return self.get_next_id() if given_id is None else given_id

    def _check_token(self, request: web.Request) -> None:
        if self.get_token(request) != self.token:
            raise ApiError(401, {"message": "Unauthorized"})

    def _find_flow(self, request: web.Request, flows: Mapping[int, PortableFlow]) -> PortableFlow:
        self._check_token(request)
        text = request.match_info["id"]
        if not is_unsigned_integer(text):
            _raise_bad_request(f"{text!r} is not an id")
        if (flow := flows.get(int(text))) is None:
            raise ApiError(404, {"message": "Not Found"})
        return flow

    def _list_flows(self, request: web.Request, now: float) -> web.Response:
        self._check_token(request)
        rows = [
            {
                "id": flow.id,
                "displayName": flow.name,
                "source": flow.id + 1,
                "destination": flow.id + 2,
                "frequency": "manual",
            }
            for flow in self._flows.values()
        ]
        return build_json_response({"data": rows})

    def _run_flow(self, request: web.Request, now: float) -> web.Response:
        self._find_flow(request, self._flows).start_run(now)
        return build_json_response({"message": "Created"}, 201)

    def _cancel_flow(self, request: web.Request, now: float) -> web.Response:
        self._find_flow(request, self._flows).cancel(now)
        return build_json_response({"message": "Cancelled"})

    def _list_attempts(self, request: web.Request, now: float) -> web.Response:
        flow = self._find_flow(request, self._flows)
        query = request.query
        limit = parse_integer(query.get("limit"), "limit", DEFAULT_LIMIT, 1, MAX_LIMIT, _raise_bad_request)
        offset = parse_integer(query.get("offset"), "offset", 0, 0, None, _raise_bad_request)
        is_newest_first = _is_newest_first(query.get("sort"))
        earliest, latest = _parse_time(query.get("startTime")), _parse_time(query.get("endTime"))
        runs = [
            run
            for run in flow.list_visible_runs(now)
            if (earliest is None or earliest <= run.created) and (latest is None or run.created <= latest)
        ]
        if is_newest_first:
            runs.reverse()
        return build_json_response({"data": [_build_attempt(flow, run, now) for run in runs[offset : offset + limit]]})

    def _get_flow_status(self, request: web.Request, now: float) -> web.Response:
        return build_json_response(_build_status(self._find_flow(request, self._flows), now))

    def _get_workflow_status(self, request: web.Request, now: float) -> web.Response:
        return build_json_response(_build_status(self._find_flow(request, self._workflows), now))

    def _reject_unknown_path(self, request: web.Request, now: float) -> NoReturn:
        self._check_token(request)
        raise ApiError(404, {"message": "Not Found"})


def _build_status(flow: PortableFlow, now: float) -> dict[str, Any]:
    run = flow.get_status_run(now)
    return {
        "id": flow.id,
        "lifecycle": run.get_lifecycle(now) if run else "NOT_RUNNING",
        "disposition": run.get_disposition(now) if run else "NONE",
        "resources": (run.list_resources(now) or None) if run else None,
        "errors": (run.list_errors(now) or None) if run else None,
        "completedAt": _format_optional_time(run.get_ended_at(now)) if run else None,
    }


def _build_attempt(flow: PortableFlow, run: PortableRun, now: float) -> dict[str, Any]:
    row = {
        "id": run.id,
        "flow": flow.id,
        "trigger": run.trigger,
        "lifecycle": run.get_lifecycle(now),
        "disposition": run.get_disposition(now),
        "resources": run.list_resources(now) or None,
        "errors": run.list_errors(now) or None,
        "completedAt": _format_optional_time(run.get_ended_at(now)),
        "createdAt": format_time(run.created),
    }
    return run.apply_overrides(row)


def _format_optional_time(seconds: float | None) -> str | None:
    return None if seconds is None else format_time(seconds)


def _raise_bad_request(message: str) -> NoReturn:
    raise ApiError(400, {"message": f"Bad Request: {message}"})


def _is_newest_first(sort: str | None) -> bool:
    order = (sort or "desc").lower()
    if order not in {"asc", "desc"}:
        _raise_bad_request("sort is neither asc nor desc")
    return order == "desc"


def _parse_time(text: str | None) -> float | None:
    """Parse an RFC 3339 time, which must have an offset."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        _raise_bad_request(f"{text!r} is not a time")
    if time.tzinfo is None or "T" not in text.upper():
        _raise_bad_request(f"{text!r} is not a time with an offset")
    return time.astimezone(UTC).timestamp()
