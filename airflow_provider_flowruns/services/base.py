"""What every service module provides, so that clients and waits need not know which service it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeVar

from airflow_provider_flowruns.model.calls import Call, CallSequence, Page, Response
from airflow_provider_flowruns.model.errors import (
    InvalidArgumentError,
    ServerError,
    ServiceConnectionError,
    UnexpectedResponseError,
)
from airflow_provider_flowruns.model.rows import Rows
from airflow_provider_flowruns.model.runs import FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.steps import RunStep
from airflow_provider_flowruns.model.targets import BatchResult, RunTarget, StartedRunTarget, StartMarker, Target
from airflow_provider_flowruns.services.info import ServiceInfo
from airflow_provider_flowruns.services.parsing import parse_text

T = TypeVar("T")


class Service(Protocol):
    """Base of a service's API: its facts and the calls that every caller needs, whichever service it is.

    A subclass gives :attr:`info`, the abstract methods and, if a notifier should start flows, ``run_flow(flow_id)``, or
    ``run_flow(flow_id, payload)`` where :attr:`info` says that a start takes a payload. The other methods have defaults
    for a service that can neither read several runs in one request nor cancel any.
    """

    info: ClassVar[ServiceInfo]

    @classmethod
    def for_connection(cls, base_url: str, options: Mapping[str, Any]) -> Self:
        """Return the API as one connection means it: its server and its own extra fields.

        :param base_url: scheme, host and path without a trailing slash.
        :param options: the connection's extra fields.
        """
        return cls()

    @staticmethod
    @abstractmethod
    def validate_flow_id(value: Any) -> str:
        """Return a flow's id as text.

        :param value: the value as the DAG author passed it.
        :raises InvalidArgumentError: it cannot be one.
        """

    @staticmethod
    @abstractmethod
    def validate_run_id(value: Any) -> str:
        """Return a run's id as text.

        :param value: the value as the user passed it.
        :raises InvalidArgumentError: it cannot be one.
        """

    @abstractmethod
    def poll(self, target: Target) -> CallSequence[tuple[FlowRun, ...]]:
        """Return the calls that read a target: the one record, or a flow's newest runs, newest first.

        A ``NewestRunsTarget`` with ``max_runs`` gets that many if the flow has them, from further pages if need be: a
        watcher looks so far back, and fewer mean that there are no more. The runs of a ``StartedRunTarget`` are only
        those that show its marker, whatever the service's filter lets through: a task may cancel them.
        """

    @staticmethod
    def batch_key(target: Target) -> Hashable | None:
        """Return what targets that can share a request have in common; None for one that is polled individually."""
        return None

    def poll_batch(self, targets: Sequence[Target], required_count: int, max_runs: int) -> CallSequence[BatchResult]:
        """Return the calls that read several targets together.

        A target that is missing from the result may still exist: it is then polled individually.

        :param targets: targets with the same :meth:`batch_key`.
        :param required_count: number of targets, from the first one, that are due and worth another page; the others
            are taken along if they are found.
        :param max_runs: maximum number of runs in one response.
        """
        found: dict[Target, tuple[FlowRun, ...]] = {}
        for target in targets:
            found[target] = yield from self.poll(target)
        return BatchResult(found)

    @abstractmethod
    def check(self) -> CallSequence[str]:
        """Return the read-only calls that test a connection; their result says which account it sees."""

    def cancel(self, flow_id: str, run_id: str) -> CallSequence[str]:
        """Return the calls that cancel one run, if it is active and the service can; no other run is touched.

        Their result is a sentence that says what was done, or why nothing was.

        :param flow_id: the flow's id.
        :param run_id: the run's id.
        """
        return f"{self.info.title} run {run_id} continues: {self.info.title} cannot cancel a run"
        yield  # makes this a generator, like its overrides

    def list_steps(self, run: FlowRun) -> tuple[RunStep, ...]:
        """Return the steps of a run that was read by its id, in their order; none where the service shows none.

        :param run: the run, with its ``raw`` record.
        """
        return ()

    def error_message(self, body: Any) -> str | None:
        """Return the service's own message from the JSON body of an error response, None when there is none.

        :param body: the body, read as JSON.
        """
        return None


def get_run_batch_key(target: Target) -> Hashable | None:
    """Return the batch key for a service that reads any single runs together, and all starts of one flow.

    :param target: the target.
    """
    match target:
        case StartedRunTarget():
            return StartedRunTarget, target.flow_id
        case RunTarget():
            return RunTarget
    return None


def match_runs(
    targets: Sequence[Target], runs: Sequence[FlowRun], shows_start: Callable[[FlowRun, StartMarker], bool]
) -> dict[Target, tuple[FlowRun, ...]]:
    """Return which of the runs in a batch response each target is about.

    A single run that is missing is left out, so that it is polled individually. A start whose run is missing has none.

    :param targets: the targets of the batch: single runs, and starts.
    :param runs: the runs that were read.
    :param shows_start: whether a run shows that it is the one of a start.
    """
    by_id = {run.run_id: (run,) for run in runs}
    found: dict[Target, tuple[FlowRun, ...]] = {}
    for target in targets:
        if isinstance(target, StartedRunTarget):
            found[target] = tuple(run for run in runs if shows_start(run, target.marker))
        elif isinstance(target, RunTarget) and target.run_id in by_id:
            found[target] = by_id[target.run_id]
    return found


def explain_ended(info: ServiceInfo, run: FlowRun) -> str | None:
    """Return that a run has ended, as the result of cancelling it; None for one that may be active.

    :param info: the service.
    :param run: the run, whose status may be unknown.
    """
    if run.lifecycle is Lifecycle.NOT_RUNNING:
        return f"{info.title} run {run.run_id} is not active any more; nothing to cancel"
    return None


def cancel_run(service: Service, target: Target) -> CallSequence[str]:
    """Return the calls that cancel the run of a wait, after finding it if its id is not known yet.

    Their result is a sentence that says what was done, or why nothing was.

    :param service: the service.
    :param target: the target of the wait.
    """
    if isinstance(target, RunTarget):
        return (yield from service.cancel(target.flow_id or "", target.run_id))
    if not isinstance(target, StartedRunTarget):
        raise InvalidArgumentError(f"{target} is no single run, so it cannot be cancelled")
    found = yield from service.poll(target)
    possible = [run for run in target.marker.most_likely(found) if run.run_id]
    if len(possible) > 1 or any(run.kind is Kind.STARTED for run in possible):
        ids = ", ".join(str(run.run_id) for run in possible)
        return (
            f"nothing was cancelled: it is not certain that this task started run {ids} of flow {target.flow_id}, "
            "and it may belong to someone else; cancel the right one in the service"
        )
    if not possible:
        return "the run that was started has no id yet, so it cannot be cancelled; it may continue"
    return (yield from service.cancel(target.flow_id, str(possible[0].run_id)))


def read_page(call: Call[Page[T]], *, is_first: bool) -> CallSequence[Page[T]]:
    """Return the calls that read a page in a poll: the request, and one more if the service fails at a later page.

    A poll is not repeated, because a wait has an error budget. But with 5 % of the requests failing, a list of twenty
    pages would be read to its end by every third poll only, and each would begin again.

    :param call: the call that requests the page.
    :param is_first: whether no other page has been read.
    """
    page: Page[T]
    try:
        page = yield call
    except (ServerError, ServiceConnectionError) as error:
        if is_first or error.retry_after:
            raise
        page = yield call
    return page


def read_newest_runs(info: ServiceInfo, call: Call[Any], page: Page[FlowRun]) -> tuple[FlowRun, ...]:
    """Return the runs of a flow's first page, the first of which is certainly the flow's newest.

    :param info: the service.
    :param call: the call that requested the page.
    :param page: the page that was read.
    :raises UnexpectedResponseError: the newest run cannot be determined; an older one must not pass for it.
    """
    reason = _find_doubt_about_newest(page)
    if reason:
        raise UnexpectedResponseError(info.title, call.request.method, call.request.path, 200, reason)
    return page.items


def _find_doubt_about_newest(page: Page[FlowRun]) -> str | None:
    rows = page.items
    if not isinstance(rows, Rows):
        return None
    newest_at = rows[0].created_at if rows else None
    is_newer_unread = rows.newest_unread_at and newest_at and rows.newest_unread_at > newest_at
    if rows.is_first_unread or is_newer_unread or (rows.unread and rows.is_out_of_order):
        return "the newest run in the list cannot be read, so the state of the flow's last run is unknown"
    if rows.is_oldest_first and page.next:
        return "the list is sorted oldest first and has more pages, so the flow's newest run is not on this one"
    return None


#: Number of bytes of a body that a message shows if the body is not JSON.
_MAX_SHOWN_BYTES = 200


def describe_error_response(service: Service, response: Response) -> str:
    """Return the message of an error response, whether or not it is JSON of the service.

    :param service: the service.
    :param response: a response with an HTTP status of 300 or above, clean and without secrets.
    """
    try:
        body = response.json()
    except ValueError:
        return _describe_other_body(response)
    message = service.error_message(body) or _parse_problem(body)
    return message or f"HTTP {response.status} without a message"


def _parse_problem(body: Any) -> str | None:
    """Return the message of a problem document (RFC 9457), which gateways send for any service."""
    if not isinstance(body, Mapping):
        return None
    parts = [text for text in (parse_text(body.get("title")), parse_text(body.get("detail"))) if text]
    return ": ".join(dict.fromkeys(parts)) or None


def _describe_other_body(response: Response) -> str:
    content_type = response.headers.get("content-type", "no content type").partition(";")[0]
    if not response.body:
        return f"HTTP {response.status} with an empty body"
    if "html" in content_type:
        return f"HTTP {response.status} with an HTML page instead of JSON"
    shown = " ".join(response.body[:_MAX_SHOWN_BYTES].decode("utf-8", "replace").split())
    return f"HTTP {response.status} with {content_type} instead of JSON: {shown}"
