"""TableFlow (document flows): the calls for flows and flow runs, and how to read the responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace

from airflow_provider_flowruns.model.calls import Call, CallSequence, Page, Pages, Part, Request
from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.model.errors import ApiError, InvalidArgumentError
from airflow_provider_flowruns.model.rows import Rows
from airflow_provider_flowruns.model.runs import Disposition, Flow, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.steps import RunStep
from airflow_provider_flowruns.model.targets import (
    BatchResult,
    NewestRunsTarget,
    RunTarget,
    StartedRunTarget,
    StartMarker,
    Target,
)
from airflow_provider_flowruns.services.base import Service, get_run_batch_key, read_newest_runs, read_page
from airflow_provider_flowruns.services.catalog import TABLEFLOW
from airflow_provider_flowruns.services.info import ServiceInfo
from airflow_provider_flowruns.services.parsing import (
    estimate_size,
    is_run_of_flow,
    parse_count,
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
    unwrap_object,
    unwrap_object_with_id,
)
from airflow_provider_flowruns.services.tableflow_arguments import (
    DEFAULT_LIMIT,
    ID_PATTERN,
    MAX_LIMIT,
    validate_flow_id,
    validate_run_id,
    validate_status,
)
from airflow_provider_flowruns.services.tableflow_attempts import split_attempts
from airflow_provider_flowruns.services.tableflow_details import build_tableflow_details
from airflow_provider_flowruns.services.tableflow_step_list import find_current_step, list_steps
from airflow_provider_flowruns.services.validation import validate_limit

#: Number of a flow's newest runs that a wait reads.
_MAX_NEWEST = 20
#: The app has no documented address of a run, only this one for signing in.
APP_URL = "https://app.tableflow.com/"
#: Maximum number of pages that are read to find the run of a start: 1,000 runs.
_MAX_PAGES_OF_START = 10

_STATES = {
    "PROCESSING": (Lifecycle.RUNNING, Disposition.NONE),
    "REVIEW": (Lifecycle.PAUSED, Disposition.NONE),
    "COMPLETED": (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED),
    "FAILED": (Lifecycle.NOT_RUNNING, Disposition.FAILED),
}


class TableFlowApi(Service):
    """The TableFlow API v2 as data: every method returns a call, none of them does I/O."""

    info: ClassVar[ServiceInfo] = TABLEFLOW

    @staticmethod
    def validate_flow_id(value: Any) -> str:
        """Return a flow's id as text, see :func:`validate_flow_id`."""
        return validate_flow_id(value)

    @staticmethod
    def validate_run_id(value: Any) -> str:
        """Return a run's id as text, see :func:`validate_run_id`."""
        return validate_run_id(value)

    def get_flow_run(self, run_id: str) -> Call[FlowRun]:
        """``GET /v2/flows/runs/{id}``: one flow run."""
        return self._get_run(validate_run_id(run_id))

    def _get_run(self, run_id: str) -> Call[FlowRun]:
        request = Request("GET", f"/v2/flows/runs/{run_id}", names="run")
        return Call(self.info.name, request, lambda body: _read_run(unwrap_object_with_id(body, run_id)))

    def get_run_attempts(self, run_id: str) -> Call[tuple[FlowRun, ...]]:
        """``GET /v2/flows/runs/{id}``: the attempts of one flow run, reruns included, newest first."""
        checked = validate_run_id(run_id)

        def read(body: Any) -> tuple[FlowRun, ...]:
            return tuple(_read_run(attempt) for attempt in split_attempts(unwrap_object_with_id(body, checked)))

        return Call(self.info.name, Request("GET", f"/v2/flows/runs/{checked}", names="run"), read)

    def list_flow_runs(
        self, *, flow_id: str | None = None, status: str | None = None, limit: int | str = DEFAULT_LIMIT
    ) -> Pages[FlowRun]:
        """``GET /v2/flows/runs``: the workspace's flow runs, newest first.

        What the filters should have left out is dropped again on arrival: the service's own example ignores them.

        :param flow_id: only runs of this flow.
        :param status: only runs in this status.
        :param limit: runs a page, 1 to 1000.
        """
        # Empty text does not mean "not given": a template that found nothing must not list every flow's runs.
        flow = validate_flow_id(flow_id) if flow_id is not None else None
        return self._list_runs(flow, validate_limit(limit, maximum=MAX_LIMIT), validate_status(status))

    def _list_runs(self, flow_id: str | None, size: int, status: str | None = None) -> Pages[FlowRun]:
        filters = tuple((name, value) for name, value in (("flow_id", flow_id), ("status", status)) if value)

        def page(offset: int) -> Call[Page[FlowRun]]:
            def read(body: Any) -> Page[FlowRun]:
                runs = _read_runs(body, flow_id, status)
                following = parse_next_offset(body, offset + runs.total)
                has_more = runs.total > 0 and following is not None and following > offset
                return Page(runs, page(following) if has_more and following else None)

            query = (("limit", str(size)), ("offset", str(offset)), *filters)
            return Call(self.info.name, Request("GET", "/v2/flows/runs", query, names=""), read)

        return Pages(first=page(0), identity=lambda run: run.run_id)

    def list_runs_of_flow(self, flow_id: str) -> Call[tuple[FlowRun, ...]]:
        """``GET /v2/flows/{id}/runs``: all runs of one flow in one response, newest first."""
        return self._list_all_runs(validate_flow_id(flow_id))

    def _list_all_runs(self, flow_id: str) -> Call[tuple[FlowRun, ...]]:
        return Call(self.info.name, Request("GET", f"/v2/flows/{flow_id}/runs", names="flow"), _read_runs)

    def list_flows(self) -> Call[tuple[Flow, ...]]:
        """``GET /v2/flows``: the workspace's active flows; there is no paging."""
        request = Request("GET", "/v2/flows", names="")
        return Call(self.info.name, request, lambda body: read_rows(body, _read_flow, "flows", "data"))

    def run_flow(self, flow_id: str, parts: tuple[Part, ...]) -> Call[FlowRun]:
        """``POST /v2/flows/{id}/run``: start a flow with its files; the response is the new run.

        :param flow_id: the flow's id.
        :param parts: the parts of the multipart body, files among them.
        """
        request = Request("POST", f"/v2/flows/{validate_flow_id(flow_id)}/run", parts=parts, names="flow")
        return Call(self.info.name, request, lambda body: _read_run(unwrap_object(body)))

    def poll(self, target: Target) -> CallSequence[tuple[FlowRun, ...]]:
        """Return the calls that read a target: a run by id, or the flow's newest runs."""
        match target:
            case RunTarget():
                return ((yield self._get_run(target.run_id)),)
            case NewestRunsTarget():
                limit = target.max_runs or _MAX_NEWEST
                call = self._list_runs(target.flow_id, limit).first
                page: Page[FlowRun] = yield call
                if page.items:
                    return read_newest_runs(self.info, call, page)
                # The flow has no runs, or does not exist, or this server ignores the filter: here it must say which.
                whole = self._list_all_runs(target.flow_id)
                return read_newest_runs(self.info, whole, Page((yield whole)))[:limit]
            case StartedRunTarget():
                found, _ = yield from self._find_started(target.flow_id, (target.marker,))
                return found[target.marker]
        raise InvalidArgumentError(f"TableFlow has no {target} to wait for: it shows runs, and the runs of a flow")

    batch_key = staticmethod(get_run_batch_key)

    def poll_batch(self, targets: Sequence[Target], required_count: int, max_runs: int) -> CallSequence[BatchResult]:
        """Return the calls that read the list of all runs, page by page while a page replaces several single reads.

        A run that has ended is missing from the result, so that it is read by its id: the list does not show all that a
        summary holds.
        """
        if starts := [target for target in targets if isinstance(target, StartedRunTarget)]:
            markers = tuple(start.marker for start in starts)
            runs_by_marker, runs = yield from self._find_started(starts[0].flow_id, markers)
            return BatchResult({start: runs_by_marker[start.marker] for start in starts}, runs)
        run_targets = [target for target in targets if isinstance(target, RunTarget)]
        missing: set[str | None] = {target.run_id for target in run_targets[:required_count]}
        wanted = {target.run_id for target in run_targets}
        by_id: dict[str | None, FlowRun] = {}
        read: list[FlowRun] = []
        error: ApiError | None = None
        call: Call[Page[FlowRun]] | None = self._list_runs(None, min(max_runs, DEFAULT_LIMIT)).first
        while call:
            try:
                page = yield from read_page(call, is_first=not read)
            except ApiError as page_error:
                error = page_error
                break
            read += page.items
            here = {run.run_id: run for run in page.items if run.run_id in wanted}
            missing -= here.keys()
            by_id.update(here)
            call = page.next if len(missing) > 1 and len(here) > 1 else None
        found: dict[Target, tuple[FlowRun, ...]] = {
            target: (run,)
            for target in run_targets
            if (run := by_id.get(target.run_id)) and run.lifecycle is not Lifecycle.NOT_RUNNING
        }
        return BatchResult(found, tuple(read), estimate_size(read[0].raw) if read else 0, error)

    def _find_started(
        self, flow_id: str, markers: Sequence[StartMarker]
    ) -> CallSequence[tuple[dict[StartMarker, tuple[FlowRun, ...]], tuple[FlowRun, ...]]]:
        """Return the runs of each start, and all that were read; one list serves all starts of the flow."""
        intervals = [marker.interval for marker in markers if marker.interval]
        earliest = min(intervals)[0] if len(intervals) == len(markers) else None
        read: list[FlowRun] = []
        call: Call[Page[FlowRun]] | None = self._list_runs(flow_id, DEFAULT_LIMIT).first
        for _ in range(_MAX_PAGES_OF_START):
            if call is None:
                break
            page = yield from read_page(call, is_first=not read)
            read += page.items
            all_found = all(any(shows_start(run, marker) for run in read) for marker in markers)
            call = None if all_found or _reaches_back_to(earliest, page.items) else page.next
        return {marker: _select_runs_of_start(read, marker) for marker in markers}, tuple(read)

    def check(self) -> CallSequence[str]:
        """Return the calls that test a connection: listing the active flows."""
        flows: tuple[Flow, ...] = yield self.list_flows()
        workspaces = sorted({name for flow in flows if (name := parse_name(flow.raw.get("workspace_id")))})
        where = f" of workspace {', '.join(workspaces[:5])}" if workspaces else ""
        return f"Connected to TableFlow; this key sees {format_count(len(flows), 'active flow')}{where}"

    def list_steps(self, run: FlowRun) -> tuple[RunStep, ...]:
        """Return the steps of a run's newest attempt, in the order of the response; its examples leave them out."""
        return list_steps(run.raw)

    def error_message(self, body: Any) -> str | None:
        """Return the message of ``{"error": ..., "message": ...}``."""
        if not isinstance(body, Mapping):
            return None
        parts = [text for text in (parse_text(body.get("error")), parse_text(body.get("message"))) if text]
        return ": ".join(dict.fromkeys(parts)) or None


def parse_next_offset(body: Any, reached: int) -> int | None:
    """Return the offset of a list's next page, None on the last.

    :param body: the body of a page, read as JSON.
    :param reached: the offset behind the last row of the page, for a list that has only a total.
    """
    if not isinstance(body, Mapping):
        return None
    pagination = body.get("pagination")
    place = pagination if isinstance(pagination, Mapping) else body
    if "next_offset" in place:
        following = place["next_offset"]
        return following if isinstance(following, int) and not isinstance(following, bool) else None
    # The other form of a list has only the total.
    total = place.get("total")
    return reached if isinstance(total, int) and reached < total else None


def _reaches_back_to(time: float | None, runs: Sequence[FlowRun]) -> bool:
    return time is not None and any(run.created_at and run.created_at.timestamp() < time for run in runs)


def shows_start(run: FlowRun, marker: StartMarker) -> bool:
    """Return whether a run's metadata has the value of a start.

    :param run: the run with the data as it was sent.
    :param marker: the start.
    """
    metadata = run.raw.get("metadata")
    return isinstance(metadata, Mapping) and metadata.get(marker.correlation_key) == marker.correlation


def _select_runs_of_start(runs: Sequence[FlowRun], marker: StartMarker) -> tuple[FlowRun, ...]:
    """Return the runs that hold the start's value; else, if the marker says so, those created in time without any."""
    own = tuple(run for run in runs if shows_start(run, marker))
    if own or not marker.can_match_by_time:
        return own
    return tuple(
        replace(run, kind=Kind.STARTED)
        for run in runs
        if not isinstance(run.raw.get("metadata"), Mapping)
        and parse_word(run.trigger) in {"API", ""}
        and marker.allows(run)
    )


def _read_runs(body: Any, flow_id: str | None = None, status: str | None = None) -> Rows[FlowRun]:
    """Return the runs in a list, only those of a flow and in a status where these are given."""

    def read(record: Mapping[str, Any]) -> FlowRun | None:
        run = _read_run(record)
        return run if is_run_of_flow(run, flow_id) and status in {None, run.vendor_status.lower()} else None

    return sort_newest_first(read_rows(body, read, "flow_runs", "data", created="created_at"))


def _read_run(record: Mapping[str, Any]) -> FlowRun:
    status = parse_word(record.get("status"))
    lifecycle, disposition = _STATES.get(status, (Lifecycle.UNKNOWN, Disposition.NONE))
    ended = lifecycle is Lifecycle.NOT_RUNNING
    return FlowRun(
        service=TableFlowApi.info.name,
        kind=Kind.RUN,
        run_id=require_id(record, ID_PATTERN),
        flow_id=parse_id(record.get("flow_id")),
        lifecycle=lifecycle,
        disposition=disposition,
        vendor_status=parse_status(record.get("status")),
        attempt=parse_count(record.get("current_attempt")) or None,
        trigger=parse_name(record.get("trigger_method")),
        created_at=parse_time(record.get("created_at")),
        started_at=parse_time(record.get("start_time")),
        completed_at=parse_time(record.get("end_time")) or parse_time(record.get("updated_at")) if ended else None,
        errors=_parse_errors(record) if disposition is Disposition.FAILED else (),
        url=APP_URL,
        build_details=build_tableflow_details,
        find_current_step=find_current_step,
        record=record,
    )


def _parse_errors(record: Mapping[str, Any]) -> tuple[str, ...]:
    if errors := parse_texts(record.get("error")):
        return errors
    history = record.get("status_history")
    if isinstance(history, list) and history and isinstance(history[-1], Mapping):
        return parse_texts(history[-1].get("message"))
    return ()


def _read_flow(record: Mapping[str, Any]) -> Flow:
    active = record.get("active")
    enabled = active if isinstance(active, bool) else None
    return Flow(TableFlowApi.info.name, require_id(record), parse_name(record.get("name")), enabled, record)
