"""The words all services share: a run, its state, and calls as data. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, BinaryIO, Generic, Self, TypeVar

from airflow_provider_flowruns.services.clean import parse_json

T = TypeVar("T")

#: What of a run goes to XCom is bounded, whatever the vendor sends.
MAX_ERRORS = 20
MAX_ERROR_CHARS = 2_000
MAX_RESOURCES = 200
#: Largest number of rows, also of a sum: Airflow's channels carry integers of 64 bits, JSON's readers 53 bits exactly.
MAX_COUNT = 2**53 - 1
#: Hexadecimal digits of a Unix time in milliseconds.
_TIME_DIGITS = 11
#: Seconds by which the clocks of a service's own machines may differ.
CLOCK_MARGIN_SECONDS = 5.0


class Lifecycle(StrEnum):
    """Where a run stands. ``UNKNOWN`` is a status this version has never heard of."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    NOT_RUNNING = "NOT_RUNNING"
    UNKNOWN = "UNKNOWN"


class Disposition(StrEnum):
    """How a run ended; ``NONE`` as long as it has not (or nothing has run yet)."""

    NONE = "NONE"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class Kind(StrEnum):
    """What a record describes, and what a :class:`Target` asks for."""

    FLOW = "flow"
    WORKFLOW = "workflow"
    RUN = "run"
    FLOW_RUNS = "flow_runs"
    STARTED = "started"


@dataclass(frozen=True, slots=True)
class ResourceCounts:
    """
    Rows of one resource (endpoint or table) of a run.

    :param name: name of the endpoint or table.
    :param extracted: rows read from the source.
    :param analyzed: rows looked at on the way.
    :param loaded: rows written to the destination.
    :param errors: the service's error texts about it.
    """

    name: str
    extracted: int = 0
    analyzed: int = 0
    loaded: int = 0
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRun:
    """
    One run of a flow, or a flow's (workflow's) last run where the service shows only that.

    Invariant: ``disposition`` is ``NONE`` unless ``lifecycle`` is ``NOT_RUNNING``. Times are aware UTC or None.

    :param service: registry name of the service.
    :param kind: ``RUN``, or ``FLOW`` or ``WORKFLOW`` for a last run without identity.
    :param run_id: the run's id as text, None where the service shows none.
    :param flow_id: id of the flow (workflow) as text.
    :param lifecycle: where it stands.
    :param disposition: how it ended.
    :param vendor_status: the service's own word, as sent.
    :param attempt: which attempt of the run, from 1, None where the service does not count.
    :param trigger: what triggered it, in the service's word.
    :param created_at: when it came to be.
    :param started_at: when it began to work.
    :param completed_at: when it ended.
    :param resources: rows by resource, Portable only.
    :param errors: the service's error texts about the run as a whole.
    :param url: where a person can look at it.
    :param may_recover: the service itself may still turn the failure into something else (Activepieces
        ``INTERNAL_ERROR``).
    :param raw: the record as sent; it never goes to XCom.
    """

    service: str
    kind: Kind
    run_id: str | None
    flow_id: str | None
    lifecycle: Lifecycle
    disposition: Disposition
    vendor_status: str
    attempt: int | None = None
    trigger: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    resources: tuple[ResourceCounts, ...] = ()
    errors: tuple[str, ...] = ()
    url: str | None = None
    may_recover: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_active(self) -> bool:
        """Whether the run is on its way: pending, running or paused."""
        return self.lifecycle in {Lifecycle.PENDING, Lifecycle.RUNNING, Lifecycle.PAUSED}

    def summary(self) -> dict[str, Any]:
        """
        Return the run as the plain JSON that goes to XCom.

        ISO-8601 times, no ``raw``; ``rows`` are the sums over all resources (None without resources). ``errors`` and
        ``resources`` are capped, and ``truncated`` says whether anything was cut.
        """
        return {
            "service": self.service,
            "kind": str(self.kind),
            "run_id": self.run_id,
            "flow_id": self.flow_id,
            "lifecycle": str(self.lifecycle),
            "disposition": str(self.disposition),
            "vendor_status": self.vendor_status,
            "attempt": self.attempt,
            "trigger": self.trigger,
            "created_at": _iso(self.created_at),
            "started_at": _iso(self.started_at),
            "completed_at": _iso(self.completed_at),
            "rows": self.rows(),
            "resources": [_resource_summary(resource) for resource in self.resources[:MAX_RESOURCES]],
            "errors": _capped(self.errors),
            "url": self.url,
            "truncated": self._is_truncated(),
        }

    def rows(self) -> dict[str, int] | None:
        """Return the rows extracted, analyzed and loaded over all resources, None without resources."""
        if not self.resources:
            return None
        extracted = analyzed = loaded = 0
        for resource in self.resources:
            extracted += resource.extracted
            analyzed += resource.analyzed
            loaded += resource.loaded
        return {
            "extracted": min(extracted, MAX_COUNT),
            "analyzed": min(analyzed, MAX_COUNT),
            "loaded": min(loaded, MAX_COUNT),
        }

    def _is_truncated(self) -> bool:
        texts = [self.errors, *[resource.errors for resource in self.resources[:MAX_RESOURCES]]]
        return len(self.resources) > MAX_RESOURCES or any(map(_is_cut, filter(None, texts)))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _is_cut(errors: tuple[str, ...]) -> bool:
    return len(errors) > MAX_ERRORS or any(len(text) > MAX_ERROR_CHARS for text in errors)


def _capped(errors: tuple[str, ...]) -> list[str]:
    return [text[:MAX_ERROR_CHARS] for text in errors[:MAX_ERRORS]] if errors else []


def _resource_summary(resource: ResourceCounts) -> dict[str, Any]:
    return {
        "name": resource.name,
        "extracted": resource.extracted,
        "analyzed": resource.analyzed,
        "loaded": resource.loaded,
        "errors": _capped(resource.errors),
    }


@dataclass(frozen=True, slots=True)
class Flow:
    """
    A flow as the service lists it.

    :param service: registry name of the service.
    :param flow_id: the flow's id as text.
    :param name: the name people gave it.
    :param enabled: whether it can run, None where the service does not say.
    :param raw: the record as sent.
    """

    service: str
    flow_id: str
    name: str | None
    enabled: bool | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def summary(self) -> dict[str, Any]:
        """Return service, flow_id, name and enabled as plain JSON."""
        return {"service": self.service, "flow_id": self.flow_id, "name": self.name, "enabled": self.enabled}


def start_value(sent_at: float) -> str:
    """
    Return a value that no other start has, in hexadecimal digits; :func:`sent_time` reads its time again.

    :param sent_at: Unix time of the start on the service's clock.
    """
    return f"{int(sent_at * 1_000):0{_TIME_DIGITS}x}{uuid.uuid4().hex[:12]}"


def sent_time(value: str) -> float | None:
    """Return the time in a value of :func:`start_value`, None for any other."""
    return int(value[:_TIME_DIGITS], 16) / 1_000 if len(value) == _TIME_DIGITS + 12 else None


@dataclass(frozen=True, slots=True)
class StartMark:
    """
    What is noted about a start, so that its run can be told from all others. Times are the service's own Unix time.

    :param correlation: a value that no other start has; it travels with the start where the service lets it.
    :param correlation_key: the name under which it travels; empty where it cannot travel.
    :param since: when the start was sent, at the earliest; None when the service's clock could not be measured.
    :param until: when the start's response had arrived, at the latest; None as above.
    :param after_run_id: the flow's newest run before the start, None when it had none.
    :param by_interval: take, when no run shows the value, those that show none at all and were created in time.
    """

    correlation: str
    correlation_key: str
    since: float | None = None
    until: float | None = None
    after_run_id: str | None = None
    by_interval: bool = False

    @property
    def interval(self) -> tuple[float, float] | None:
        """The time outside of which the run was not created, if the service creates it when it accepts the start."""
        if self.since is None or self.until is None:
            return None
        return self.since - CLOCK_MARGIN_SECONDS, self.until + CLOCK_MARGIN_SECONDS

    def allows(self, run: FlowRun, late_by: float = 0.0) -> bool:
        """
        Tell whether a run was created when the run of this start can have been; True where that is not known.

        :param run: one of the flow's runs.
        :param late_by: seconds by which the service may create the run after it has accepted the start.
        """
        interval = self.interval
        if interval is None or run.created_at is None:
            return True
        return interval[0] <= run.created_at.timestamp() <= interval[1] + late_by

    def likeliest(self, runs: Sequence[FlowRun]) -> Sequence[FlowRun]:
        """
        Return those of some runs that were created while the start was under way; all if none was, or a value tells.

        :param runs: runs that the mark allows.
        """
        since, until = self.since, self.until
        if since is None or until is None or self.correlation_key:
            return runs
        # Some services cut times to whole seconds.
        then = [run for run in runs if run.created_at and since - 1.0 <= run.created_at.timestamp() <= until]
        return then or runs


@dataclass(frozen=True, slots=True)
class Target:
    """
    What a wait looks at: one run by id, a flow's or workflow's last run, a flow's newest runs, or the run of a start.

    :param service: registry name of the service.
    :param kind: what to look at.
    :param flow_id: id of the flow (workflow), where it is needed.
    :param run_id: id of the run, for one run.
    :param mark: what was noted before a start, for the run of a start.
    :param newest: so many of a flow's newest runs, 1 to 1000; None for as many as a wait needs.
    """

    service: str
    kind: Kind
    flow_id: str | None = None
    run_id: str | None = None
    mark: StartMark | None = None
    newest: int | None = None

    def __hash__(self) -> int:
        # Targets are looked up many times a look; hashing all fields takes ten times as long.
        return hash((self.flow_id, self.run_id, self.mark.correlation if self.mark else None))


@dataclass(frozen=True, slots=True)
class Sighting:
    """
    What one look at several targets brought.

    :param found: the runs of each target that was found, newest first.
    :param runs: all runs that were read on the way, those that nobody waits for too.
    :param bytes_per_run: about how large one run is in such an answer, 0 when nothing was read.
    """

    found: Mapping[Target, tuple[FlowRun, ...]]
    runs: tuple[FlowRun, ...] = ()
    bytes_per_run: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """
    One part of a multipart body: a text, or a file that is opened when it is sent and never read whole.

    :param name: the part's name.
    :param text: its text, when it is no file.
    :param filename: the file's name, None for a text.
    :param content_type: media type of the file.
    :param open: returns a binary file that can seek.
    """

    name: str
    text: str = ""
    filename: str | None = None
    content_type: str | None = None
    open: Callable[[], BinaryIO] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """
    An HTTP request as data.

    :param method: HTTP method in upper case.
    :param path: relative to the connection's base URL and already safe.
    :param query: pairs of the query, in order.
    :param json: the body as a JSON value.
    :param parts: the parts of a multipart body.
    :param with_token: False keeps the token, and the connection's own headers, off this request.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    json: Any = None
    parts: tuple[Part, ...] = ()
    with_token: bool = True

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method in {"GET", "HEAD"}


@dataclass(frozen=True, slots=True)
class Response:
    """
    An HTTP answer as data.

    :param status: HTTP status.
    :param headers: found by their names in lower case.
    :param body: the bytes as they arrived.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as a JSON value of clean texts; raises ValueError when it is none."""
        return parse_json(self.body)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """
    A request and the function that reads its answer's JSON body.

    :param service: registry name of the service.
    :param request: what is sent.
    :param read: makes the result of the answer's JSON body, None when the body is empty.
    :param may_be_empty: whether an answer without a body is a good one.
    :param meanings: HTTP status to words, for answers that do not say themselves what it means here.
    """

    service: str
    request: Request
    read: Callable[[Any], T]
    may_be_empty: bool = False
    meanings: Mapping[int, str] = field(default_factory=dict)


class Rows(tuple[T, ...]):
    """What could be read of a list's rows, as a tuple, and what is known of the others, which are left out."""

    #: Number of rows in the response, those left out included.
    total: int
    #: Number of rows that could not be read.
    unread: int
    #: Whether a row that could not be read stands before all that were.
    is_first_unread: bool
    #: Latest time of creation of a row that could not be read, None when none of them shows one.
    newest_unread_at: datetime | None
    #: Whether the response listed its runs oldest first, although newest first is documented.
    is_oldest_first: bool
    is_out_of_order: bool

    def __new__(
        cls,
        rows: Iterable[T] = (),
        *,
        total: int | None = None,
        unread: int = 0,
        is_first_unread: bool = False,
        newest_unread_at: datetime | None = None,
        is_oldest_first: bool = False,
        is_out_of_order: bool = False,
    ) -> Self:
        """Return the rows with what is known of their response; ``total`` is their own number when it is None."""
        self = super().__new__(cls, rows)
        self.total = len(self) if total is None else total
        self.unread = unread
        self.is_first_unread = is_first_unread
        self.newest_unread_at = newest_unread_at
        self.is_oldest_first = is_oldest_first
        self.is_out_of_order = is_out_of_order
        return self


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """
    One page of a list and the call for the next one, None on the last.

    :param items: what is on it; as :class:`Rows`, they also say what could not be read.
    :param next: asks for the next page, None on the last.
    """

    items: tuple[T, ...]
    next: Call[Page[T]] | None = None

    @property
    def unread(self) -> int:
        """Number of rows of the page that could not be read."""
        return self.items.unread if isinstance(self.items, Rows) else 0


@dataclass(frozen=True, slots=True)
class Pages(Generic[T]):
    """
    A list that comes in pages.

    :param first: asks for the first page.
    :param identity: items for which this is equal are given out once.
    :param other_spelling: a first call that says the same in other words, for a server that refuses the first.
    """

    first: Call[Page[T]]
    identity: Callable[[T], Hashable]
    other_spelling: Call[Page[T]] | None = None


#: Several calls that together answer one question: yields calls, is sent their results, returns the answer.
#: Whoever drives it does the I/O, so the same steps serve the synchronous and the asynchronous client.
Steps = Generator[Call[Any], Any, T]
