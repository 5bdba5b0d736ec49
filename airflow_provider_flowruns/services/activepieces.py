"""Activepieces (automation, cloud or self-hosted): the calls for flows and flow runs, and how to read the responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Self

from msgspec import Raw, structs

from airflow_provider_flowruns.model.calls import Call, CallSequence, Page, Pages, ParseJson, Request
from airflow_provider_flowruns.model.errors import ConfigurationError, InvalidArgumentError
from airflow_provider_flowruns.model.rows import Rows
from airflow_provider_flowruns.model.runs import Disposition, Flow, FlowRun, Kind, Lifecycle, RunDetails
from airflow_provider_flowruns.model.steps import RunStep
from airflow_provider_flowruns.model.targets import BatchResult, NewestRunsTarget, RunTarget, StartedRunTarget, Target
from airflow_provider_flowruns.services.activepieces_arguments import (
    DEFAULT_LIMIT,
    ID_PATTERN,
    MAX_LIMIT,
    validate_flow_id,
    validate_run_id,
    validate_statuses,
    validate_strategy,
)
from airflow_provider_flowruns.services.activepieces_details import (
    KeptDetails,
    build_activepieces_details,
    build_details_from,
)
from airflow_provider_flowruns.services.activepieces_errors import parse_failed_step
from airflow_provider_flowruns.services.activepieces_rows import pick_needed, read_shown
from airflow_provider_flowruns.services.activepieces_starts import StartFinder, shows_start
from airflow_provider_flowruns.services.activepieces_step_list import find_current_step, read_steps
from airflow_provider_flowruns.services.base import (
    Service,
    explain_ended,
    get_run_batch_key,
    match_runs,
    read_newest_runs,
)
from airflow_provider_flowruns.services.catalog import ACTIVEPIECES
from airflow_provider_flowruns.services.info import ServiceInfo
from airflow_provider_flowruns.services.known_runs import KnownRuns
from airflow_provider_flowruns.services.lists import decode_list, split_list
from airflow_provider_flowruns.services.parsing import (
    estimate_size,
    format_time,
    is_run_of_flow,
    parse_id,
    parse_name,
    parse_status,
    parse_text,
    parse_texts,
    parse_time,
    parse_word,
    read_rows,
    require_id,
    sort_newest_first,
    unwrap_list,
    unwrap_object,
    unwrap_object_with_id,
)
from airflow_provider_flowruns.services.payload import parse_payload
from airflow_provider_flowruns.services.validation import validate_id, validate_limit, validate_range

#: Number of a flow's newest runs that a wait reads.
_MAX_NEWEST = 20

_ACTIVE = {
    "QUEUED": Lifecycle.PENDING,
    "RUNNING": Lifecycle.RUNNING,
    "PAUSED": Lifecycle.PAUSED,
}
_ENDED = {
    "SUCCEEDED": Disposition.SUCCEEDED,
    "STOPPED": Disposition.SUCCEEDED,  # until 0.64: the flow ended itself, and not among the failed states
    "CANCELED": Disposition.CANCELED,
    "FAILED": Disposition.FAILED,
    "TIMEOUT": Disposition.FAILED,
    "INTERNAL_ERROR": Disposition.FAILED,
    "QUOTA_EXCEEDED": Disposition.FAILED,
    "MEMORY_LIMIT_EXCEEDED": Disposition.FAILED,
    "LOG_SIZE_EXCEEDED": Disposition.FAILED,
}
_WEBHOOK_MEANINGS = {
    404: "the flow is disabled or was never published; publish it and switch it on",
    410: "there is no such flow",
    413: "the payload is too large for this server",
}


class ActivepiecesApi(Service):
    """The Activepieces API v1 as data: every method returns a call, none of them does I/O.

    :param project_id: the project that lists are about; without it they are rejected before any request.
    :param app_url: address of the web app, for links to runs.
    """

    info: ClassVar[ServiceInfo] = ACTIVEPIECES

    def __init__(self, project_id: str | None = None, app_url: str | None = None) -> None:
        self._project_id = project_id
        self._app_url = (app_url or self.info.default_url or "").rstrip("/")
        self._starts = StartFinder(self._list_newest, self._get_run)
        self._known_runs = KnownRuns()

    @classmethod
    def for_connection(cls, base_url: str, options: Mapping[str, Any]) -> Self:
        """Return the API of the connection's server and its ``project_id``."""
        return cls(project_id=parse_text(options.get("project_id")), app_url=base_url)

    @staticmethod
    def validate_flow_id(value: Any) -> str:
        """Return a flow's id as text, see :func:`validate_flow_id`."""
        return validate_flow_id(value)

    @staticmethod
    def validate_run_id(value: Any) -> str:
        """Return a run's id as text, see :func:`validate_run_id`."""
        return validate_run_id(value)

    def get_flow_run(self, run_id: str) -> Call[FlowRun]:
        """``GET /api/v1/flow-runs/{id}``: one run with the data of its steps."""
        return self._get_run(validate_run_id(run_id))

    def _get_run(self, run_id: str) -> Call[FlowRun]:
        request = Request("GET", f"/api/v1/flow-runs/{run_id}", names="run")
        return Call(self.info.name, request, lambda body: self._read_run(unwrap_object_with_id(body, run_id)))

    def get_flow_runs(self, run_ids: Sequence[str]) -> Call[BatchResult]:
        """``GET /api/v1/flow-runs?flowRunIds=...``: several runs by id, without the data of their steps.

        The server omits archived and test runs; before 0.70.2 it ignores the ids and returns other runs.

        :param run_ids: the runs' ids.
        :return: the runs, without ``raw``, and the approximate size of one.
        """
        return self._get_runs({validate_run_id(run_id) for run_id in run_ids})

    def _get_runs(self, run_ids: set[str]) -> Call[BatchResult]:
        def read(body: Any) -> BatchResult:
            rows = unwrap_list(body, "data")
            return BatchResult({}, read_rows(rows, read_row), estimate_size(rows[0]) if rows else 0)

        def read_row(row: Mapping[str, Any]) -> FlowRun | None:
            run = self._read_run(row, KeptDetails.of(row))
            return run if run.run_id in run_ids else None

        def read_bytes(body: bytes, parse: ParseJson) -> BatchResult:
            rows = [bytes(row) for row in split_list(body)]
            runs = [run for row in rows if (run := read_sent_row(row, parse))]
            return BatchResult({}, Rows(runs, total=len(rows)), len(body) // len(rows) if rows else 0)

        def read_sent_row(row: bytes, parse: ParseJson) -> FlowRun | None:
            key = hash(row)
            if known := self._known_runs.get(key):
                return known if known.run_id in run_ids else None
            needed = pick_needed(row, run_ids)
            if needed is None:
                return None
            record = parse(needed)
            run = self._read_run(record, KeptDetails.of(record))
            self._known_runs.add(key, run)
            return run

        ids = tuple(("flowRunIds", run_id) for run_id in sorted(run_ids))
        query = (("projectId", self._require_project()), ("limit", str(len(run_ids))), *ids)
        request = Request("GET", "/api/v1/flow-runs", query, names="project")
        return Call(self.info.name, request, read, read_bytes=read_bytes)

    def list_flow_runs(
        self,
        *,
        flow_id: str | None = None,
        status: Iterable[str] | str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        limit: int | str = DEFAULT_LIMIT,
    ) -> Pages[FlowRun]:
        """``GET /api/v1/flow-runs``: the project's production runs, newest first, without the data of their steps.

        Walks back in time by overlapping windows: the server's own cursor loses runs of the same second (0.83.0 does,
        0.85.2 does not).

        :param flow_id: only runs of this flow.
        :param status: only runs in this status, or one of these.
        :param created_after: leave out runs created before this time.
        :param created_before: leave out runs created after this time.
        :param limit: runs a page, 1 to 1000.
        """
        size = validate_limit(limit, maximum=MAX_LIMIT)
        after, before = validate_range(
            created_after, created_before, start_argument="created_after", end_argument="created_before"
        )
        # Empty text does not mean "not given": a template that found nothing must not list every flow's runs.
        flow = validate_flow_id(flow_id) if flow_id is not None else None
        return self._list_runs(flow, size, validate_statuses(status), after, before)

    def _list_runs(
        self,
        flow_id: str | None,
        size_limit: int,
        statuses: Sequence[str] = (),
        after: datetime | None = None,
        before: datetime | None = None,
    ) -> Pages[FlowRun]:
        filters = [("flowId", flow_id)] if flow_id else []
        filters += [("status", status) for status in statuses]
        if after:
            filters.append(("createdAfter", format_time(after)))
        fixed = (("projectId", self._require_project()), *filters)

        def read_row(row: Mapping[str, Any] | FlowRun) -> FlowRun | None:
            run = row if isinstance(row, FlowRun) else self._read_run(row)
            return run if is_run_of_flow(run, flow_id) else None

        def page(before: datetime | None, size: int) -> Call[Page[FlowRun]]:
            def read(body: Any) -> Page[FlowRun]:
                runs = sort_newest_first(read_rows(body, read_row, "data", created="created"))
                return Page(runs, following(runs) if runs.total >= size else None)

            def following(runs: tuple[FlowRun, ...]) -> Call[Page[FlowRun]] | None:
                oldest = min((run.created_at for run in runs if run.created_at), default=None)
                if oldest is None:
                    return None
                # A millisecond of overlap: the filter may be finer than the times in the response.
                until = oldest + timedelta(milliseconds=1)  # stays within the calendar, see parse_time
                moved = before is None or until < before
                # Only a burst in one millisecond needs a larger page.
                return page(until, size_limit) if moved else page(before, size * 2)

            window = (("createdBefore", format_time(before)),) if before else ()
            query = (*fixed, *window, ("limit", str(size)))
            request = Request("GET", "/api/v1/flow-runs", query, names="project")
            return Call(self.info.name, request, read, partial(decode_list, decode_row=self._decode_row))

        return Pages(first=page(before, size_limit), identity=lambda run: run.run_id)

    def list_flows(self, *, limit: int | str = DEFAULT_LIMIT) -> Pages[Flow]:
        """``GET /api/v1/flows``: the project's flows.

        :param limit: flows a page, 1 to 1000.
        """
        size = validate_limit(limit, maximum=MAX_LIMIT)
        fixed = (("projectId", self._require_project()), ("limit", str(size)))

        def page(cursor: str | None) -> Call[Page[Flow]]:
            def read(body: Any) -> Page[Flow]:
                flows = read_rows(body, _read_flow, "data")
                following = parse_text(body.get("next")) if isinstance(body, Mapping) else None
                # Some servers return a cursor forever: an empty page or an unchanged cursor is the end.
                moved = bool(flows) and following not in {None, cursor}
                return Page(flows, page(following) if moved else None)

            return self._call("/api/v1/flows", read, (*fixed, ("cursor", cursor)) if cursor else fixed)

        return Pages(first=page(None), identity=lambda flow: flow.flow_id)

    def get_flow(self, flow_id: str) -> Call[Flow]:
        """``GET /api/v1/flows/{id}``: one flow."""
        return self._get_flow(validate_flow_id(flow_id))

    def _get_flow(self, flow_id: str) -> Call[Flow]:
        request = Request("GET", f"/api/v1/flows/{flow_id}", names="flow")
        return Call(self.info.name, request, lambda body: _read_flow(unwrap_object(body)))

    def run_flow(
        self,
        flow_id: str,
        payload: Mapping[str, Any] | Sequence[Any] | str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Call[None]:
        """``POST /api/v1/webhooks/{flowId}``: start a flow that has a webhook trigger; the response names no run.

        Sent without the token, which webhooks do not need: the server stores every header of the request in the run.

        :param flow_id: the flow's id, 21 letters and digits.
        :param payload: JSON object or list that becomes the trigger's output, see :func:`payload.parse_payload`.
        :param query: becomes the trigger's query parameters.
        """
        return Call(
            self.info.name,
            Request(
                "POST",
                f"/api/v1/webhooks/{validate_flow_id(flow_id)}",
                tuple((query or {}).items()),
                json=parse_payload(payload),
                with_token=False,
                names="flow",
            ),
            lambda body: None,
            may_be_empty=True,
            meanings=_WEBHOOK_MEANINGS,
        )

    def retry_flow_run(self, run_id: str, strategy: str = "FROM_FAILED_STEP") -> Call[FlowRun]:
        """``POST /api/v1/flow-runs/{id}/retry``: run a failed run again.

        :param run_id: the failed run's id, 21 letters and digits.
        :param strategy: ``FROM_FAILED_STEP`` keeps the run's id, ``ON_LATEST_VERSION`` makes a new run.
        """
        return Call(
            self.info.name,
            Request(
                "POST",
                f"/api/v1/flow-runs/{validate_run_id(run_id)}/retry",
                json={"projectId": self._require_project(), "strategy": validate_strategy(strategy)},
                names="run",
            ),
            lambda body: self._read_run(unwrap_object(body)),
        )

    def cancel_flow_runs(self, run_ids: Iterable[str]) -> Call[None]:
        """``POST /api/v1/flow-runs/cancel``: cancel paused and queued runs; running ones continue.

        :param run_ids: the runs; an empty list would mean the whole project to the server and is rejected here.
        """
        ids = [validate_run_id(run_id) for run_id in run_ids]
        if not ids:
            raise InvalidArgumentError(
                "run_ids must not be empty: Activepieces would cancel every waiting run of the project"
            )
        return Call(
            self.info.name,
            Request(
                "POST",
                "/api/v1/flow-runs/cancel",
                json={"projectId": self._require_project(), "flowRunIds": ids},
                names="project",
            ),
            lambda body: None,
            may_be_empty=True,
        )

    def cancel(self, flow_id: str, run_id: str) -> CallSequence[str]:
        """Return the calls that cancel a run; it works only while the run is queued or paused."""
        run: FlowRun = yield self.get_flow_run(run_id)
        if ended := explain_ended(self.info, run):
            return ended
        if run.lifecycle is Lifecycle.RUNNING:
            return f"Activepieces run {run_id} continues: Activepieces cancels only queued and paused runs"
        yield self.cancel_flow_runs([run_id])
        return f"requested the cancellation of Activepieces run {run_id}"

    def poll(self, target: Target) -> CallSequence[tuple[FlowRun, ...]]:
        """Return the calls that read a target: a run by id, or the flow's newest runs."""
        match target:
            case RunTarget():
                return ((yield self._get_run(target.run_id)),)
            case NewestRunsTarget():
                call = self._list_runs(target.flow_id, target.max_runs or _MAX_NEWEST).first
                page: Page[FlowRun] = yield call
                if not page.items:
                    # An unknown flow has an empty list too; asking for the flow itself tells the two apart.
                    yield self._get_flow(target.flow_id)
                return read_newest_runs(self.info, call, page)
            case StartedRunTarget():
                found, _ = yield from self._starts.find(target.flow_id, (target.marker,))
                return found[target.marker]
        raise InvalidArgumentError(f"Activepieces has no {target} to wait for: it shows runs, and the runs of a flow")

    batch_key = staticmethod(get_run_batch_key)

    def poll_batch(self, targets: Sequence[Target], required_count: int, max_runs: int) -> CallSequence[BatchResult]:
        """Return the calls that read runs by their ids, in one request, or find the runs of one flow's starts."""
        if starts := [target for target in targets if isinstance(target, StartedRunTarget)]:
            markers = tuple(start.marker for start in starts)
            runs_by_marker, listed = yield from self._starts.find(starts[0].flow_id, markers)
            return BatchResult({start: runs_by_marker[start.marker] for start in starts}, listed)
        wanted = [target for target in targets if isinstance(target, RunTarget)]
        result: BatchResult = yield self._get_runs({target.run_id for target in wanted})
        return replace(result, found=match_runs(wanted, result.runs, shows_start))

    def _list_newest(
        self, flow_id: str, after: datetime | None, before: datetime | None, limit: int
    ) -> Call[Page[FlowRun]]:
        return self._list_runs(flow_id, limit, after=after, before=before).first

    def check(self) -> CallSequence[str]:
        """Return the calls that test a connection: one flow of the project, or the projects without a project id."""
        if self._project_id is None:
            projects = yield self._call("/api/v1/projects", lambda body: read_rows(body, dict, "data"))
            names = ", ".join(f"{parse_name(p.get('displayName'))} ({parse_id(p.get('id'))})" for p in projects[:5])
            return f"Connected to Activepieces; this token sees {names or 'no project'}. Set project_id to list runs"
        page: Page[Flow] = yield self.list_flows(limit=1).first
        seen = f"flow {page.items[0].name!r} among others" if page.items else "no flow"
        return f"Connected to Activepieces; this token sees project {self._project_id} with {seen}"

    def list_steps(self, run: FlowRun) -> tuple[RunStep, ...]:
        """Return the steps of a run in the order in which they ran; those within loops are not among them."""
        return read_steps(run.raw)

    def error_message(self, body: Any) -> str | None:
        """Return the message of either error format: ``{code, params}`` or ``{statusCode, error, message}``."""
        if not isinstance(body, Mapping):
            return None
        params = body.get("params")
        detail = parse_text(body.get("message")) or _format_params(params if isinstance(params, Mapping) else {})
        code = parse_text(body.get("code"))
        message = f"{code}: {detail}" if code and detail else detail or code
        if message and self._project_id and _is_about_project(body):
            message += f"; check the connection's extra 'project_id', which is {self._project_id}"
        return message

    def _require_project(self) -> str:
        if not self._project_id:
            raise ConfigurationError(
                "Activepieces lists need a project: set project_id in the connection's extra fields "
                "(it follows /projects/ in the address of the web app)"
            )
        try:
            return validate_id(
                self._project_id, argument="project_id", pattern=ID_PATTERN, example="21 letters and digits"
            )
        except InvalidArgumentError as error:
            raise ConfigurationError(f"{error}; it follows /projects/ in the address of the web app") from None

    def _call(self, path: str, read: Any, query: tuple[tuple[str, str], ...] = ()) -> Call[Any]:
        return Call(self.info.name, Request("GET", path, query, names="project" if query else ""), read)

    def _decode_row(self, sent: Raw) -> FlowRun | None:
        shown = read_shown(sent)
        if shown is None:
            return None
        try:
            run = self._read_run(shown, partial(build_details_from, shown))
        except ValueError:
            return None  # its JSON value tells what is wrong, as it does without the id of a flow
        return structs.replace(run, record=sent.copy(), find_current_step=find_current_step) if run.flow_id else None

    def _read_run(
        self, record: Mapping[str, Any], build_details: Callable[[FlowRun], RunDetails] | None = None
    ) -> FlowRun:
        """Return a run with its record, or without it if its details can be built from something else."""
        status = parse_word(record.get("status"))
        run_id, project_id = require_id(record, ID_PATTERN), parse_id(record.get("projectId"))
        ended = status in _ENDED
        return FlowRun(
            service=self.info.name,
            kind=Kind.RUN,
            run_id=run_id,
            flow_id=parse_id(record.get("flowId")),
            lifecycle=Lifecycle.NOT_RUNNING if ended else _ACTIVE.get(status, Lifecycle.UNKNOWN),
            disposition=_ENDED.get(status, Disposition.NONE),
            vendor_status=parse_status(record.get("status")),
            trigger=parse_name(record.get("triggeredBy")),
            created_at=parse_time(record.get("created")),
            started_at=parse_time(record.get("startTime")),
            completed_at=_parse_completed_at(record) if ended else None,
            errors=_parse_errors(record, status) if ended else (),
            url=f"{self._app_url}/projects/{project_id}/runs/{run_id}" if project_id else None,
            may_recover=status == "INTERNAL_ERROR",
            build_details=build_details or build_activepieces_details,
            find_current_step=None if build_details else find_current_step,
            record=None if build_details else record,
        )


def _format_params(params: Mapping[str, Any]) -> str | None:
    if message := parse_text(params.get("message")):
        return message
    parts = [f"{name} {text}" for name in ("entityType", "entityId") if (text := parse_name(params.get(name)))]
    return ", ".join(parts) or None


def _is_about_project(body: Mapping[str, Any]) -> bool:
    """Whether an error may come from the project: it is unknown, or not the token's."""
    params = body.get("params")
    entity = parse_text(params.get("entityType")) if isinstance(params, Mapping) else None
    denied = body.get("statusCode") == 403 or parse_text(body.get("code")) in {"AUTHORIZATION", "PERMISSION_DENIED"}
    return denied or (entity or "").lower() == "project"


def _parse_completed_at(record: Mapping[str, Any]) -> datetime | None:
    # Cancelled runs keep an empty finishTime; the row was last changed when they were cancelled.
    return parse_time(record.get("finishTime")) or parse_time(record.get("updated"))


def _parse_errors(record: Mapping[str, Any], status: str) -> tuple[str, ...]:
    if _ENDED[status] is not Disposition.FAILED:
        return ()
    step_name, display_name, message = parse_failed_step(record)
    name = display_name or step_name
    if message and name:
        return (f"step {name!r}: {message}",)
    if message or name:
        return parse_texts(message or f"step {name!r} failed")
    return () if status == "FAILED" else (f"the run ended as {status}",)


def _read_flow(record: Mapping[str, Any]) -> Flow:
    version = record.get("version")
    name = parse_name(version.get("displayName")) if isinstance(version, Mapping) else None
    return Flow(
        ActivepiecesApi.info.name,
        require_id(record),
        name,
        parse_word(record.get("status")) == "ENABLED",
        record,
    )
