"""What the services report: runs, their state, and flows. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, TypedDict, cast

from msgspec import Meta, Raw, Struct, to_builtins

from airflow_provider_flowruns.model.clean import parse_json
from airflow_provider_flowruns.model.clip import clip_json
from airflow_provider_flowruns.model.limits import MAX_COUNT, MAX_NAME_CHARS
from airflow_provider_flowruns.model.steps import RunStep

#: What of a run goes to XCom is bounded, whatever the vendor sends.
MAX_ERRORS = 20
MAX_ERROR_CHARS = 2_000
MAX_RESOURCES = 200
#: Maximum size of a run's details as JSON.
MAX_DETAILS_BYTES = 64 * 1024

RowCount = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
ErrorText = Annotated[str, Meta(min_length=1)]


class Lifecycle(StrEnum):
    """State of a run. ``UNKNOWN`` is a status that this release does not know."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    NOT_RUNNING = "NOT_RUNNING"
    UNKNOWN = "UNKNOWN"


#: Looking up a member of an enumeration by its name takes longer than what is done with it.
_NOT_RUNNING, _UNKNOWN = Lifecycle.NOT_RUNNING, Lifecycle.UNKNOWN


class Disposition(StrEnum):
    """How a run ended; ``NONE`` while it has not, or if nothing has run yet."""

    NONE = "NONE"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class Kind(StrEnum):
    """What a record describes."""

    FLOW = "flow"
    WORKFLOW = "workflow"
    RUN = "run"
    #: A run that may be the one of a start, and may be another's.
    STARTED = "started"


class RowCounts(TypedDict):
    """Numbers of rows over all resources of a run."""

    extracted: int
    analyzed: int
    loaded: int


class ResourceSummary(TypedDict):
    """One resource of a run in its :class:`RunSummary`, see :class:`ResourceCounts`."""

    name: str
    extracted: int
    analyzed: int
    loaded: int
    errors: list[str]


class RunSummary(TypedDict):
    """A run as plain JSON: what tasks return and events carry, see :meth:`FlowRun.summary`. Times are ISO-8601 texts.

    The values of ``kind``, ``lifecycle`` and ``disposition`` are those of :class:`Kind`, :class:`Lifecycle` and
    :class:`Disposition`; ``details`` are what the service documents of a run beyond these fields, see the TypedDict of
    each service; ``truncated`` is True when errors, resources or details were cut.
    """

    service: str
    kind: str
    run_id: str | None
    flow_id: str | None
    lifecycle: str
    disposition: str
    vendor_status: str
    attempt: int | None
    trigger: str | None
    created_at: str | None
    started_at: str | None
    completed_at: str | None
    rows: RowCounts | None
    resources: list[ResourceSummary]
    errors: list[str]
    url: str | None
    details: Mapping[str, Any]
    truncated: bool


class RunDetails(NamedTuple):
    """What a service documents of a run beyond the fields that all services share.

    :param values: the fields, as plain JSON.
    :param is_cut: whether something was left out because of its size; None if the values may be of any size, so that
        they still have to be cut.
    """

    values: Mapping[str, Any]
    is_cut: bool | None = None


class ResourceCounts(Struct, frozen=True, gc=False):
    """Rows of one resource (endpoint or table) of a run.

    :param name: name of the endpoint or table, at most 200 characters.
    :param extracted: rows read from the source.
    :param analyzed: rows analyzed in between.
    :param loaded: rows written to the destination.
    :param errors: the service's error texts about it.
    """

    name: Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
    extracted: RowCount = 0
    analyzed: RowCount = 0
    loaded: RowCount = 0
    errors: tuple[ErrorText, ...] = ()


class FlowRun(Struct, frozen=True, kw_only=True, eq=False, weakref=True):
    """One run of a flow, or a flow's (workflow's) last run where the service shows only that.

    Invariant: ``disposition`` is ``NONE`` unless ``lifecycle`` is ``NOT_RUNNING``. Times are aware UTC or None.

    :param service: registry name of the service.
    :param kind: ``RUN``, or ``FLOW`` or ``WORKFLOW`` for a last run without identity.
    :param run_id: the run's id as text, None where the service shows none.
    :param flow_id: id of the flow (workflow) as text.
    :param lifecycle: its state.
    :param disposition: how it ended.
    :param vendor_status: the service's own word, as sent.
    :param attempt: which attempt of the run, from 1, None where the service does not count.
    :param trigger: what triggered it, in the service's word.
    :param created_at: when it was created.
    :param started_at: when it began.
    :param completed_at: when it ended.
    :param resources: rows by resource, Portable only.
    :param errors: the service's error texts about the run as a whole.
    :param url: its page in the service's app.
    :param may_recover: the service itself may still repair the failure (Activepieces ``INTERNAL_ERROR``).
    :param build_details: returns what else the service says about the run; called for a summary only, because most runs
        are polled without one.
    :param find_current_step: returns the step that an active run has reached, from its record; called for a log line
        only.
    :param record: the record as sent, decoded or not, see :attr:`raw`; None where it is not kept. It never goes to
        XCom.
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
    build_details: Callable[[FlowRun], RunDetails] | None = None
    find_current_step: Callable[[FlowRun], RunStep | None] | None = None
    record: Mapping[str, Any] | Raw | None = None

    # Two runs are equal if they say the same; how a service says it is no part of a run, and may be large.
    def __eq__(self, other: object) -> bool:
        return _get_facts(self) == _get_facts(other) if isinstance(other, FlowRun) else NotImplemented

    def __hash__(self) -> int:
        return hash(_get_facts(self))

    def __repr__(self) -> str:
        facts = zip(_FACTS, _get_facts(self), strict=True)
        return f"FlowRun({', '.join(f'{name}={value!r}' for name, value in facts)})"

    @property
    def raw(self) -> Mapping[str, Any]:
        """The record as sent, empty where it is not kept. One that has not been decoded yet is decoded each time."""
        return parse_json(bytes(self.record)) if isinstance(self.record, Raw) else self.record or {}

    @property
    def is_active(self) -> bool:
        """Whether the run is pending, running or paused."""
        return self.lifecycle is not _NOT_RUNNING and self.lifecycle is not _UNKNOWN

    def summary(self) -> RunSummary:
        """Return the run as the plain JSON that goes to XCom.

        ISO-8601 times, no ``raw``; ``rows`` are the sums over all resources (None without resources). ``errors``,
        ``resources`` and ``details`` are capped, and ``truncated`` says whether anything was cut.
        """
        return cast("RunSummary", self._summarize(*self._clip_details(), is_plain=True))

    def encodable_summary(self) -> Mapping[str, Any]:
        """Return the summary for an encoder of msgspec: with what was read itself, and not copies, unless it is cut."""
        return self._summarize(*self._clip_details(), is_plain=False)

    def current_step(self) -> RunStep | None:
        """Return the step that an active run has reached, None where the response does not show it."""
        return self.find_current_step(self) if self.find_current_step and self.is_active else None

    def brief_summary(self) -> RunSummary:
        """Return the summary with empty ``details``, for what is kept or sent many times: asset events and cursors."""
        return cast("RunSummary", self._summarize({}, is_cut=False, is_plain=True))

    def details(self) -> Mapping[str, Any]:
        """Return what the service documents of the run beyond its fields here, as plain JSON of at most 64 KiB."""
        return self._clip_details()[0]

    def _clip_details(self) -> tuple[Mapping[str, Any], bool]:
        if self.build_details is None:
            return {}, False
        values, is_cut = self.build_details(self)
        if is_cut is not None:
            return values, is_cut
        clipped, is_cut = clip_json(values, MAX_DETAILS_BYTES)
        return clipped or {}, is_cut

    def _summarize(self, details: Mapping[str, Any], is_cut: bool, *, is_plain: bool) -> Mapping[str, Any]:
        is_truncated = self._is_truncated()
        resources: Sequence[Any] = self.resources
        errors: Sequence[str] = self.errors
        if is_plain or is_truncated:
            resources = [_resource_summary(resource) for resource in resources[:MAX_RESOURCES]]
            errors = _capped(self.errors)
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
            "created_at": format_iso(self.created_at),
            "started_at": format_iso(self.started_at),
            "completed_at": format_iso(self.completed_at),
            "rows": self.rows(),
            "resources": resources,
            "errors": errors,
            "url": self.url,
            "details": details,
            "truncated": is_cut or is_truncated,
        }

    def rows(self) -> RowCounts | None:
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
        if len(self.resources) > MAX_RESOURCES or (self.errors and _is_cut(self.errors)):
            return True
        texts = [resource.errors for resource in self.resources if resource.errors]
        return bool(texts) and any(map(_is_cut, texts))


#: What a run says: its fields without its record, and without what reads the record.
_FACTS = tuple(
    name for name in FlowRun.__struct_fields__ if name not in {"build_details", "find_current_step", "record"}
)
_get_facts = attrgetter(*_FACTS)


def format_iso(moment: datetime | None) -> str | None:
    """Return a time as ISO-8601 text, None if there is none."""
    if moment and moment.tzinfo is UTC:
        return f"{to_builtins(moment)[:-1]}+00:00"  # in place of Z; takes a quarter of the time of isoformat()
    return moment.isoformat() if moment else None


def _is_cut(errors: tuple[str, ...]) -> bool:
    return len(errors) > MAX_ERRORS or any(len(text) > MAX_ERROR_CHARS for text in errors)


def _capped(errors: tuple[str, ...]) -> list[str]:
    return [text[:MAX_ERROR_CHARS] for text in errors[:MAX_ERRORS]] if errors else []


def _resource_summary(resource: ResourceCounts) -> ResourceSummary:
    return {
        "name": resource.name,
        "extracted": resource.extracted,
        "analyzed": resource.analyzed,
        "loaded": resource.loaded,
        "errors": _capped(resource.errors),
    }


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as the service lists it.

    :param service: registry name of the service.
    :param flow_id: the flow's id as text.
    :param name: its name.
    :param enabled: whether it can run, None where the service does not say.
    :param raw: the record as sent.
    """

    service: str
    flow_id: str
    name: str | None
    enabled: bool | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def summary(self) -> FlowSummary:
        """Return service, flow_id, name and enabled as plain JSON."""
        return {"service": self.service, "flow_id": self.flow_id, "name": self.name, "enabled": self.enabled}


class FlowSummary(TypedDict):
    """A flow as plain JSON, for XCom."""

    service: str
    flow_id: str
    name: str | None
    enabled: bool | None
