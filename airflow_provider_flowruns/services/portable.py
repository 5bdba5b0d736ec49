"""Portable (ELT): the calls for flows, workflows, their status and run attempts, and how to read the responses."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, ClassVar

from msgspec.structs import replace

from airflow_provider_flowruns.model.calls import Call, CallSequence, Page, Pages, ParseJson, Request
from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.model.errors import (
    ApiError,
    InvalidArgumentError,
    InvalidRequestError,
    NotFoundError,
    UnexpectedResponseError,
)
from airflow_provider_flowruns.model.runs import Flow, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import (
    BatchResult,
    FlowStatusTarget,
    NewestRunsTarget,
    RunTarget,
    StartedRunTarget,
    StartMarker,
    Target,
    WorkflowStatusTarget,
)
from airflow_provider_flowruns.services.base import Service, read_newest_runs, read_page
from airflow_provider_flowruns.services.catalog import PORTABLE
from airflow_provider_flowruns.services.info import ServiceInfo
from airflow_provider_flowruns.services.known_runs import KnownRuns
from airflow_provider_flowruns.services.lists import decode_list
from airflow_provider_flowruns.services.parsing import (
    format_time,
    is_run_of_flow,
    parse_name,
    parse_text,
    read_rows,
    require_id,
    sort_newest_first,
)
from airflow_provider_flowruns.services.portable_arguments import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    validate_flow_id,
    validate_run_id,
    validate_sort,
    validate_workflow_id,
)
from airflow_provider_flowruns.services.portable_records import decode_attempt, read_attempt, read_status
from airflow_provider_flowruns.services.validation import validate_limit, validate_range

#: Number of a flow's newest attempts that decide a wait with a freshness guard.
_MAX_NEWEST = 50
#: Maximum number of pages that are read to find the run of a start: 2,000 attempts.
_MAX_PAGES_OF_START = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OldestFirst(Pages[FlowRun]):
    """Run attempts in ascending order; the documentation spells this order in upper and in lower case.

    :param lower_case_first: asks for the first page in lower case, if the server rejects the upper case.
    """

    lower_case_first: Call[Page[FlowRun]]

    def read_first(self) -> CallSequence[Page[FlowRun]]:
        """Return the calls that read the first page; later pages keep the spelling that was accepted."""
        page: Page[FlowRun]
        try:
            page = yield self.first
        except InvalidRequestError:
            page = yield self.lower_case_first
        return page


class PortableApi(Service):
    """The Portable API v2 as data: every method returns a call, none of them does I/O."""

    info: ClassVar[ServiceInfo] = PORTABLE

    def __init__(self) -> None:
        self._known_runs = KnownRuns()

    @staticmethod
    def validate_flow_id(value: Any) -> str:
        """Return a flow's id as text, see :func:`validate_flow_id`."""
        return validate_flow_id(value)

    @staticmethod
    def validate_run_id(value: Any) -> str:
        """Return a run's id as text, see :func:`validate_run_id`."""
        return validate_run_id(value)

    def get_flow_status(self, flow_id: int | str) -> Call[FlowRun]:
        """``GET /v2/flows/{id}/status``: the flow's last run; it has no run id."""
        return self._read_status("flows", validate_flow_id(flow_id), Kind.FLOW)

    def get_workflow_status(self, workflow_id: int | str) -> Call[FlowRun]:
        """``GET /v2/workflows/{id}/status``: the workflow's last run; it has no run id."""
        return self._read_status("workflows", validate_workflow_id(workflow_id), Kind.WORKFLOW)

    def _read_status(self, path: str, object_id: str, kind: Kind, *, is_poll: bool = False) -> Call[FlowRun]:
        def read(body: Any) -> FlowRun:
            return read_status(body, object_id, kind)

        def read_bytes(body: bytes, parse: ParseJson) -> FlowRun:
            key = hash((kind, object_id, body))
            run = self._known_runs.get(key)
            if run is None:
                run = replace(read(parse(body)), record=None)
                self._known_runs.add(key, run)
            return run

        request = Request("GET", f"/v2/{path}/{object_id}/status", names=str(kind))
        return Call(self.info.name, request, read, read_bytes=read_bytes if is_poll else None)

    def get_run_attempts(
        self,
        flow_id: int | str,
        *,
        limit: int | str = DEFAULT_LIMIT,
        sort: str = "DESC",
        start_time: datetime | str | None = None,
        end_time: datetime | str | None = None,
    ) -> Pages[FlowRun]:
        """``GET /v2/flows/{id}/run``: the flow's run attempts, page by page until a short page.

        :param flow_id: the flow's number.
        :param limit: attempts a page, 1 to 1000.
        :param sort: ``DESC`` (newest first) or ``ASC``, by the time of creation.
        :param start_time: leave out attempts before this time.
        :param end_time: leave out attempts after this time.
        """
        return self._list_attempts(
            validate_flow_id(flow_id),
            validate_limit(limit, maximum=MAX_LIMIT),
            validate_sort(sort),
            _build_time_filters(start_time, end_time),
        )

    def _list_attempts(
        self, flow_id: str, size: int, order: str = "DESC", filters: tuple[tuple[str, str], ...] = ()
    ) -> Pages[FlowRun]:
        number = str(int(flow_id))  # as the service writes it

        def read_row(row: Mapping[str, Any] | FlowRun) -> FlowRun | None:
            attempt = row if isinstance(row, FlowRun) else read_attempt(row, number)
            return attempt if is_run_of_flow(attempt, number) else None

        def decode(body: bytes) -> Any:
            return decode_list(body, lambda row: decode_attempt(row, number))

        def page(offset: int, order: str) -> Call[Page[FlowRun]]:
            def read(body: Any) -> Page[FlowRun]:
                attempts = read_rows(body, read_row, "data", created="createdAt")
                if order.upper() == "DESC":
                    attempts = sort_newest_first(attempts)
                full = attempts.total >= size
                return Page(attempts, page(offset + attempts.total, order) if full else None)

            # The default order is never sent: the documentation disagrees with itself on how to spell it.
            sort_by = (("sort", order),) if order.upper() != "DESC" else ()
            query = (("limit", str(size)), ("offset", str(offset)), *sort_by, *filters)
            request = Request("GET", f"/v2/flows/{flow_id}/run", query, names="flow")
            return Call(self.info.name, request, read, decode)

        if order == "ASC":
            return OldestFirst(page(0, order), lambda run: run.run_id, lower_case_first=page(0, order.lower()))
        return Pages(page(0, order), lambda run: run.run_id)

    def run_flow(self, flow_id: int | str) -> Call[None]:
        """``POST /v2/flows/{id}/run``: start the flow; the response names no run."""
        return self._command(f"/v2/flows/{validate_flow_id(flow_id)}/run")

    def cancel_flow(self, flow_id: int | str) -> Call[None]:
        """``POST /v2/flows/{id}/cancel``: cancel whatever the flow is running; does nothing when it is idle."""
        return self._command(f"/v2/flows/{validate_flow_id(flow_id)}/cancel")

    def list_flows(self) -> Call[tuple[Flow, ...]]:
        """``GET /v2/flows``: all flows of the account; there is no paging."""
        request = Request("GET", "/v2/flows", names="")
        return Call(self.info.name, request, lambda body: read_rows(body, _read_flow, "data"))

    def poll(self, target: Target) -> CallSequence[tuple[FlowRun, ...]]:
        """Return the calls that read a target; a run is searched for in the flow's attempts, newest first."""
        match target:
            case FlowStatusTarget():
                return ((yield self._read_status("flows", target.flow_id, Kind.FLOW, is_poll=True)),)
            case WorkflowStatusTarget():
                return ((yield self._read_status("workflows", target.workflow_id, Kind.WORKFLOW, is_poll=True)),)
            case NewestRunsTarget():
                call = self._list_attempts(target.flow_id, target.max_runs or _MAX_NEWEST).first
                return read_newest_runs(self.info, call, (yield call))
            case StartedRunTarget():
                return (yield from self._find_started(target))
            case RunTarget() if target.flow_id is not None:
                return (yield from self._find_attempt(target.flow_id, target.run_id))
        raise InvalidArgumentError("Portable finds a run only by its flow, and flow_id is missing")

    @staticmethod
    def batch_key(target: Target) -> Hashable | None:
        """Return the flow whose attempts contain the target."""
        match target:
            case RunTarget() | StartedRunTarget() | NewestRunsTarget(max_runs=None):
                return target.flow_id
        return None

    def poll_batch(self, targets: Sequence[Target], required_count: int, max_runs: int) -> CallSequence[BatchResult]:
        """Return the calls that read one flow's attempts until all runs and starts that are due are found."""
        missing: dict[str | None, RunTarget] = {one.run_id: one for one in targets if isinstance(one, RunTarget)}
        starts = {one: one.marker for one in targets if isinstance(one, StartedRunTarget)}
        required = targets[:required_count]
        required_ids = {one.run_id for one in required if isinstance(one, RunTarget)}
        required_markers = [one.marker for one in required if isinstance(one, StartedRunTarget)]
        size = min(MAX_LIMIT, max(DEFAULT_LIMIT, 2 * len(missing))) if missing or starts else _MAX_NEWEST
        call: Call[Page[FlowRun]] | None = self._list_attempts(str(self.batch_key(targets[0])), size).first
        found: dict[Target, tuple[FlowRun, ...]] = {}
        read: dict[str | None, FlowRun] = {}
        pages = 0
        while call:
            try:
                page = yield from read_page(call, is_first=not read)
            except ApiError as error:  # without the starts: runs that were not read may be theirs as well
                return BatchResult(found, tuple(read.values()), error=error)
            pages += 1
            if not read:
                found |= self._select_newest(targets, call, page)
            known = len(read)
            read |= {run.run_id: run for run in page.items}
            found |= {missing.pop(run.run_id): (run,) for run in page.items if run.run_id in missing}
            moved = len(read) > known  # a server that ignores the offset has no last page
            is_short = pages < _MAX_PAGES_OF_START and any(one.after_run_id not in read for one in required_markers)
            call = page.next if moved and (is_short or not required_ids.isdisjoint(missing)) else None
        attempts = tuple(read.values())
        found |= {target: _select_runs_of_start(attempts, marker) for target, marker in starts.items()}
        return BatchResult(found, attempts)

    def _select_newest(
        self, targets: Sequence[Target], call: Call[Any], page: Page[FlowRun]
    ) -> dict[Target, tuple[FlowRun, ...]]:
        try:
            newest = read_newest_runs(self.info, call, page)[:_MAX_NEWEST]
        except UnexpectedResponseError:
            # Targets that need the newest run get this error when they are polled individually.
            return {}
        return {target: newest for target in targets if isinstance(target, NewestRunsTarget)}

    def _find_started(self, target: StartedRunTarget) -> CallSequence[tuple[FlowRun, ...]]:
        result = yield from self.poll_batch((target,), 1, MAX_LIMIT)
        if result.error is not None:
            raise result.error
        return result.found[target]

    def _find_attempt(self, flow_id: str, run_id: str) -> CallSequence[tuple[FlowRun, ...]]:
        call: Call[Page[FlowRun]] | None = self._list_attempts(flow_id, DEFAULT_LIMIT).first
        seen: set[str | None] = set()
        while call:
            page = yield from read_page(call, is_first=not seen)
            found = tuple(run for run in page.items if run.run_id == run_id)
            if found:
                return found
            ids = {run.run_id for run in page.items}
            call = page.next if ids - seen else None  # a server that ignores the offset has no last page
            seen |= ids
        raise NotFoundError(
            self.info.title,
            "GET",
            f"/v2/flows/{flow_id}/run",
            200,
            f"flow {flow_id} has no run attempt {run_id}",
            "take the run id from the flow's run attempts",
        )

    def cancel(self, flow_id: str, run_id: str) -> CallSequence[str]:
        """Return the calls that cancel a run attempt: by its flow, so only if it is the only active one."""
        page: Page[FlowRun] = yield self.get_run_attempts(flow_id, limit=_MAX_NEWEST).first
        active = [run.run_id for run in page.items if run.lifecycle is not Lifecycle.NOT_RUNNING]
        if run_id in active and page.unread:
            return (
                f"run {run_id} of Portable flow {flow_id} was not cancelled: Portable cancels a whole flow, and "
                f"{page.unread} of its run attempts cannot be read"
            )
        if run_id not in active:
            return f"run {run_id} of Portable flow {flow_id} is not active any more; nothing to cancel"
        if len(active) > 1:
            return (
                f"run {run_id} of Portable flow {flow_id} was not cancelled: Portable cancels a whole flow, and it "
                f"has other active runs ({', '.join(str(one) for one in active if one != run_id)})"
            )
        yield self.cancel_flow(flow_id)
        return f"requested the cancellation of Portable flow {flow_id}, whose only active run is {run_id}"

    def check(self) -> CallSequence[str]:
        """Return the calls that test a connection: listing the flows is the cheapest documented read."""
        flows: tuple[Flow, ...] = yield self.list_flows()
        return f"Connected to Portable; this token sees {format_count(len(flows), 'flow')}"

    def error_message(self, body: Any) -> str | None:
        """Return ``message`` of ``{"message": ...}``."""
        return parse_text(body.get("message")) if isinstance(body, Mapping) else None

    def _command(self, path: str) -> Call[None]:
        return Call(self.info.name, Request("POST", path, names="flow"), lambda body: None, may_be_empty=True)


def _select_runs_of_start(attempts: Iterable[FlowRun], marker: StartMarker) -> tuple[FlowRun, ...]:
    """Return the attempts that may be the run of a start, newest first: more than one where nothing tells them apart.

    Order decides (newer than the newest attempt before the start), and the time of creation on Portable's own clock.
    """
    newer = takewhile(lambda run: run.run_id != marker.after_run_id, attempts)
    return tuple(run for run in newer if run.trigger == "API" and marker.allows(run))


def _build_time_filters(start_time: Any, end_time: Any) -> tuple[tuple[str, str], ...]:
    start, end = validate_range(start_time, end_time, start_argument="start_time", end_argument="end_time")
    return tuple((name, format_time(time)) for name, time in (("startTime", start), ("endTime", end)) if time)


def _read_flow(record: Mapping[str, Any]) -> Flow:
    return Flow(PortableApi.info.name, require_id(record), parse_name(record.get("displayName")), None, record)
