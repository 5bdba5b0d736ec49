"""Portable as its API shows itself: flows, workflows, run attempts."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn

from aiohttp import web

from airflow_provider_flowruns.sandbox.answers import Refused, is_number, json_answer, whole_number
from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.runs import RunPlan, SandboxRun, Vocabulary
from airflow_provider_flowruns.sandbox.service import SandboxService
from airflow_provider_flowruns.sandbox.world import World, iso_time

WORDS = Vocabulary(
    waiting="PENDING",
    running="RUNNING",
    succeeded="SUCCEEDED",
    failed="FAILED",
    canceled="NONE",
    paused=None,
    ended=frozenset({"SUCCEEDED", "FAILED", "NONE"}),
    by_hand="MANUAL",
    by_api="API",
    by_schedule="SCHEDULED",
)
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
DEFAULT_ERRORS = ("Source refused the connection: no answer within 30 s",)
DEFAULT_RESOURCES: tuple[Mapping[str, Any], ...] = (
    {"name": "orders", "extracted": 1200, "analyzed": 1200, "loaded": 1200},
    {"name": "customers", "extracted": 300, "analyzed": 300, "loaded": 300},
)
LOADING_BEGINS_AT = 0.2
"""Loading begins when this share of the work is done, so that it trails extraction."""

U2010_HYPHEN = "\u2010"

Style = Literal["upper", "lower", "schema"]


class PortableRun(SandboxRun):
    """A run attempt of Portable. Its status is PENDING, RUNNING, SUCCEEDED, FAILED or NONE."""

    def lifecycle(self, now: float) -> str:
        """Give the attempt's lifecycle. A made-up word in the timeline is passed on."""
        word = self.point(now).status
        return "NOT_RUNNING" if word in self.words.ended else word

    def disposition(self, now: float) -> str:
        """Give the attempt's disposition."""
        word = self.point(now).status
        return word if word in self.words.ended else "NONE"

    def errors(self, now: float) -> list[str]:
        """List the attempt's errors, of which only a failed one has any."""
        if self.disposition(now) != "FAILED" or self.plan.errors is None:
            return []
        return list(self.plan.errors or DEFAULT_ERRORS)

    def resources(self, now: float) -> list[dict[str, Any]]:
        """List the figures per resource, which grow while the attempt runs; empty before it began."""
        if self.lifecycle(now) == "PENDING":
            return []
        share = self.share_done(now)
        loading = max(share - LOADING_BEGINS_AT, 0.0) / (1 - LOADING_BEGINS_AT)
        given = DEFAULT_RESOURCES if self.plan.resources is None else self.plan.resources
        return [
            {
                "name": resource["name"],
                "extracted": math.floor(resource.get("extracted", 0) * share),
                "analyzed": math.floor(resource.get("analyzed", 0) * loading),
                "loaded": math.floor(resource.get("loaded", 0) * loading),
                "errors": list(resource.get("errors", ())),
            }
            for resource in given
        ]


class PortableFlow(SandboxFlow[PortableRun]):
    """A flow or a workflow of Portable, of which one run is at work at a time."""

    def __init__(self, service: Portable, flow_id: int, name: str) -> None:
        super().__init__(
            world=service.world,
            words=WORDS,
            service=Portable.name,
            flow_id=flow_id,
            name=name,
            index={},
            forget=service.forget,
        )
        self._portable = service
        self._unended: list[PortableRun] = []
        self._stale_for = 0.0

    def last_status_stale_for(self, seconds: float) -> None:
        """Let the status go on to tell of the previous run for a while after a new one was created.

        The list of run attempts is not stale.

        :param seconds: how long; 0 ends it.
        """
        with self.world.lock:
            self._stale_for = seconds

    # What follows is for the sandbox's own modules, which hold the lock.

    def new_run(self, created: float, trigger: str, plan: RunPlan) -> PortableRun:
        """Make a run attempt with the next number."""
        return PortableRun(self, self._portable.next_run_id(), created, trigger, plan)

    def insert(self, run: PortableRun) -> PortableRun:
        """Put a run in the list, and among those that may still be at work."""
        self._unended.append(run)
        return super().insert(run)

    def at_work(self, moment: float, now: float) -> list[PortableRun]:
        """List the runs that had not ended at a moment, in the order in which they were added.

        :param moment: epoch seconds, at most ``now`` and never earlier than in the call before.
        :param now: epoch seconds.
        """
        ends = [(run, run.end(now)) for run in self._unended]
        self._unended = [run for run, end in ends if end is None or end > moment]
        return list(self._unended)

    def insert_scheduled(self, run: PortableRun, now: float) -> None:
        """Put a scheduled run in the list; while another one is at work, do what the service is set to do."""
        self.release_held(now)
        busy = self.at_work(run.created, now)
        if not busy:
            self.insert(run)
        elif self._portable.run_while_running == "queue":
            self.hold(self.insert(run), until=busy[-1])

    def run_from_api(self, now: float) -> None:
        """Start a run through the API; while another one is at work, do what the service is set to do."""
        self.advance(now)
        busy = self.at_work(now, now)
        policy = self._portable.run_while_running
        if busy and policy == 409:
            raise Refused(409, {"message": "The flow is running"})
        if busy and policy == "ignore":
            return
        run = self.start(now)
        if busy:
            self.hold(run, until=busy[-1])

    def cancel(self, now: float) -> None:
        """Cancel whatever is running or waiting to run; do nothing if that is nothing."""
        self.advance(now)
        for run in self.at_work(now, now):
            run.cancel(now)
            self.world.ledger.note_canceled(self._service, self.id, run.id, now)

    def status_run(self, now: float) -> PortableRun | None:
        """Find the run of which the status endpoint tells, or None if it knows of no run."""
        known = [run for run in self.visible_runs(now) if run.created + self._stale_for <= now]
        active = [run for run in known if run.end(now) is None]
        if active:
            return next((run for run in active if run.lifecycle(now) != "PENDING"), active[0])
        return max(known, key=lambda run: run.end(now) or 0.0, default=None)


class Portable(SandboxService[PortableFlow]):
    """The Portable API below ``/portable``.

    Settings, to be changed at any time:

    * ``run_while_running``: what a start does while a run of the flow is at work. ``"queue"`` (default): the
      new attempt stays PENDING until the earlier one has ended; ``"ignore"``: the answer is as always and
      nothing starts; ``409``: it is refused with that status.
    * ``style``: ``"upper"`` (default); ``"lower"``: lower-case words, dates with U+2010 hyphens, nulls;
      ``"schema"``: attempts as ``status`` and ``details`` without a lifecycle.
    * ``failed_without_completed_at``: True leaves ``completedAt`` of failed attempts null.
    """

    name = "portable"
    words = WORDS

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.token_without_api = f"{self.token}-without-api"
        self.run_while_running: Literal["queue", "ignore", 409] = "queue"
        self.style: Style = "upper"
        self.failed_without_completed_at = False
        self._workflows: dict[int, PortableFlow] = {}
        self._last_id = 600_000 + secrets.randbelow(100_000)

    @property
    def workflows(self) -> list[PortableFlow]:
        """The service's workflows, in the order in which they were added."""
        with self.world.lock:
            return list(self._workflows.values())

    def add_flow(self, name: str = "Orders", flow_id: int | None = None) -> PortableFlow:
        """Add a flow.

        :param name: display name.
        :param flow_id: its id; None makes one.
        :raises ValueError: when there is one with this id already.
        """
        return self.add(PortableFlow(self, self._new_id(flow_id), name))

    def add_workflow(self, name: str = "Nightly", workflow_id: int | None = None) -> PortableFlow:
        """Add a workflow, of which the API shows the status only.

        :param name: display name.
        :param workflow_id: its id; None makes one.
        :raises ValueError: when there is one with this id already.
        """
        workflow = PortableFlow(self, self._new_id(workflow_id), name)
        with self.world.lock:
            if workflow.id in self._workflows:
                raise ValueError(f"There is a workflow {workflow.id!r} already.")
            self._workflows[workflow.id] = workflow
        return workflow

    # What follows is for the sandbox's own modules.

    def forget(self, flow: PortableFlow) -> None:
        """Take a flow or a workflow out of the service."""
        for known in (self._flows, self._workflows):
            if known.get(flow.id) is flow:
                del known[flow.id]

    def next_run_id(self) -> int:
        """Give the next number for a run attempt; numbers ascend, with gaps as other customers run theirs."""
        with self.world.lock:
            self._last_id += 1 + secrets.randbelow(40)
            return self._last_id

    def routes(self) -> list[web.RouteDef]:
        """List the routes of the Portable API."""
        return [
            self.route("GET", "/v2/flows", self._list_flows),
            self.route("POST", "/v2/flows/{id}/run", self._run_flow),
            self.route("GET", "/v2/flows/{id}/run", self._list_attempts),
            self.route("GET", "/v2/flows/{id}/status", self._flow_status),
            self.route("POST", "/v2/flows/{id}/cancel", self._cancel_flow),
            self.route("GET", "/v2/workflows/{id}/status", self._workflow_status),
            self.route("*", "/{rest:.*}", self._unknown_path),
        ]

    def _new_id(self, given: int | None) -> int:
        return self.next_run_id() if given is None else given

    def _authorize(self, request: web.Request) -> None:
        token = self.bearer(request)
        if token == self.token_without_api:
            raise Refused(403, {"message": "Your current plan does not support this feature"})
        if token != self.token:
            raise Refused(401, {"message": "Unauthorized"})

    def _find(self, request: web.Request, among: Mapping[int, PortableFlow]) -> PortableFlow:
        self._authorize(request)
        text = request.match_info["id"]
        if not is_number(text):
            _bad_request(f"{text!r} is not an id")
        if (flow := among.get(int(text))) is None:
            raise Refused(404, {"message": "Not Found"})
        return flow

    def _list_flows(self, request: web.Request, now: float) -> web.Response:
        self._authorize(request)
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
        return json_answer({"data": rows})

    def _run_flow(self, request: web.Request, now: float) -> web.Response:
        self._find(request, self._flows).run_from_api(now)
        return json_answer({"message": "Created"}, 201)

    def _cancel_flow(self, request: web.Request, now: float) -> web.Response:
        self._find(request, self._flows).cancel(now)
        return json_answer({"message": "Cancelled"})

    def _list_attempts(self, request: web.Request, now: float) -> web.Response:
        flow = self._find(request, self._flows)
        query = request.query
        limit = whole_number(query.get("limit"), "limit", DEFAULT_LIMIT, 1, MAX_LIMIT, _bad_request)
        offset = whole_number(query.get("offset"), "offset", 0, 0, None, _bad_request)
        newest_first = _newest_first(query.get("sort"))
        earliest, latest = _moment(query.get("startTime")), _moment(query.get("endTime"))
        runs = [
            run
            for run in flow.visible_runs(now)
            if (earliest is None or earliest <= run.created) and (latest is None or run.created <= latest)
        ]
        if newest_first:
            runs.reverse()
        return json_answer({"data": [self._attempt(flow, run, now) for run in runs[offset : offset + limit]]})

    def _flow_status(self, request: web.Request, now: float) -> web.Response:
        return self._status(self._find(request, self._flows), now)

    def _workflow_status(self, request: web.Request, now: float) -> web.Response:
        return self._status(self._find(request, self._workflows), now)

    def _unknown_path(self, request: web.Request, now: float) -> NoReturn:
        self._authorize(request)
        raise Refused(404, {"message": "Not Found"})

    def _status(self, flow: PortableFlow, now: float) -> web.Response:
        run = flow.status_run(now)
        lower = self.style == "lower"
        return json_answer(
            {
                "id": flow.id,
                "lifecycle": self._word(run.lifecycle(now) if run else "NOT_RUNNING"),
                "disposition": self._word(run.disposition(now) if run else "NONE"),
                "resources": (run.resources(now) or None) if run and not lower else None,
                "errors": (run.errors(now) or None) if run else None,
                "completedAt": self._time(run.end(now)) if run else None,
            }
        )

    def _attempt(self, flow: PortableFlow, run: PortableRun, now: float) -> dict[str, Any]:
        row: dict[str, Any] = {"id": run.id, "flow": flow.id, "trigger": self._word(run.trigger)}
        errors, resources = run.errors(now), run.resources(now)
        if self.style == "schema":
            row["status"] = run.disposition(now)
            row["details"] = {resource.pop("name"): resource for resource in resources}
            row["errors"] = errors
        else:
            row["lifecycle"] = self._word(run.lifecycle(now))
            row["disposition"] = self._word(run.disposition(now))
            row |= (
                _documented_example(errors, resources)
                if self.style == "lower"
                else {
                    "resources": resources or None,
                    "errors": errors or None,
                }
            )
        row["completedAt"] = self._time(self._completed_at(run, now))
        row["createdAt"] = self._time(run.created)
        return row

    def _completed_at(self, run: PortableRun, now: float) -> float | None:
        if self.failed_without_completed_at and run.disposition(now) == "FAILED":
            return None
        return run.end(now)

    def _word(self, word: str) -> str:
        return word.lower() if self.style == "lower" else word

    def _time(self, moment: float | None) -> str | None:
        if moment is None:
            return None
        text = iso_time(moment)
        if self.style != "lower":
            return text
        day, _, clock = text.partition("T")
        return f"{day.replace('-', U2010_HYPHEN)}T{clock[:8]}Z"


def _documented_example(errors: Sequence[str], resources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Leave out what the documentation's examples leave out: a failed attempt has errors, others resources."""
    if errors:
        return {"errors": errors}
    return {"resources": [{k: v for k, v in each.items() if k != "errors"} for each in resources] or None}


def _bad_request(message: str) -> NoReturn:
    raise Refused(400, {"message": f"Bad Request: {message}"})


def _newest_first(text: str | None) -> bool:
    order = (text or "desc").lower()
    if order not in {"asc", "desc"}:
        _bad_request("sort is neither asc nor desc")
    return order == "desc"


def _moment(text: str | None) -> float | None:
    """Read an RFC 3339 time, which has to have an offset."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _bad_request(f"{text!r} is not a time")
    if moment.tzinfo is None or "T" not in text.upper():
        _bad_request(f"{text!r} is not a time with an offset")
    return moment.astimezone(UTC).timestamp()
