"""Read Portable's records: the last run of a flow or workflow, and run attempts.

An attempt of the documented form is decoded from its bytes into a struct, any other is read from its JSON value,
leniently. Both ways give the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from msgspec import DecodeError, Meta, Raw, Struct
from msgspec.json import Decoder

from airflow_provider_flowruns.model.runs import Disposition, ErrorText, FlowRun, Kind, Lifecycle, ResourceCounts
from airflow_provider_flowruns.services.catalog import PORTABLE
from airflow_provider_flowruns.services.parsing import (
    MAX_WORD_CHARS,
    UNREADABLE,
    is_object,
    parse_count,
    parse_id,
    parse_name,
    parse_status,
    parse_texts,
    parse_time,
    parse_word,
    require_id,
    unwrap_object_with_id,
)
from airflow_provider_flowruns.services.portable_arguments import ID_PATTERN
from airflow_provider_flowruns.services.portable_details import build_portable_details

#: The app has no documented address of a single flow.
APP_URL = "https://app.portable.io/"

_DISPOSITIONS = {
    "": Disposition.NONE,
    "NONE": Disposition.NONE,
    "SUCCEEDED": Disposition.SUCCEEDED,
    "FAILED": Disposition.FAILED,
    # Not documented, but the obvious names if there were such a status.
    "CANCELED": Disposition.CANCELED,
    "CANCELLED": Disposition.CANCELED,
}

_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Word = Annotated[str, Meta(max_length=MAX_WORD_CHARS)]


class DocumentedAttempt(Struct, frozen=True, rename="camel", gc=False):
    """A run attempt as Portable documents it, in its schema or in its examples; counts stand in ``resources``."""

    id: _Number
    flow: _Number | None = None
    trigger: _Word | None = None
    lifecycle: _Word | None = None
    disposition: _Word | None = None
    status: _Word | None = None
    resources: tuple[ResourceCounts, ...] | None = None
    details: None = None
    errors: tuple[ErrorText, ...] | None = None
    created_at: str | None = None
    completed_at: str | None = None


class _AttemptState(NamedTuple):
    lifecycle: Lifecycle
    disposition: Disposition
    vendor_status: str
    trigger: str | None


_attempts = Decoder(DocumentedAttempt)


def decode_attempt(sent: Raw, flow_id: str) -> FlowRun | None:
    """Return a run attempt as :func:`read_attempt` does; None if it does not have the documented form.

    :param sent: the attempt's bytes.
    :param flow_id: the flow's id, for an attempt that does not have it.
    """
    try:
        record = _attempts.decode(sent)
    except (DecodeError, UnicodeDecodeError):
        return None
    completed_at = parse_time(record.completed_at)
    return _build_attempt(
        str(record.id),
        flow_id if record.flow is None else str(record.flow),
        _parse_documented_state(
            record.lifecycle, record.disposition, record.status, record.trigger, completed_at is not None
        ),
        parse_time(record.created_at),
        completed_at,
        record.resources or (),
        record.errors or (),
        sent.copy(),
    )


def read_attempt(record: Mapping[str, Any], flow_id: str) -> FlowRun:
    """Return a run attempt.

    :param record: the attempt as sent.
    :param flow_id: the flow's id, for an attempt that does not have it.
    :raises ValueError: it has no id.
    """
    completed_at = parse_time(record.get("completedAt"))
    return _build_attempt(
        require_id(record, ID_PATTERN),
        parse_id(record.get("flow")) or flow_id,
        _parse_state(
            record.get("lifecycle"),
            record.get("disposition"),
            record.get("status"),
            record.get("trigger"),
            completed_at is not None,
        ),
        parse_time(record.get("createdAt")),
        completed_at,
        _parse_resources(record),
        parse_texts(record.get("errors")),
        record,
    )


def _build_attempt(
    run_id: str,
    flow_id: str,
    state: _AttemptState,
    created_at: datetime | None,
    completed_at: datetime | None,
    resources: tuple[ResourceCounts, ...],
    errors: tuple[str, ...],
    record: Mapping[str, Any] | Raw,
) -> FlowRun:
    return FlowRun(
        service=PORTABLE.name,
        kind=Kind.RUN,
        run_id=run_id,
        flow_id=flow_id,
        lifecycle=state.lifecycle,
        disposition=state.disposition,
        vendor_status=state.vendor_status,
        trigger=state.trigger,
        created_at=created_at,
        completed_at=completed_at,
        resources=resources,
        errors=errors,
        url=APP_URL,
        build_details=build_portable_details,
        record=record,
    )


def read_status(body: Any, asked_id: str, kind: Kind) -> FlowRun:
    """Return the last run of a flow or workflow.

    :param body: the response's body, read as JSON.
    :param asked_id: id of the flow or workflow.
    :param kind: which of the two it is.
    :raises ValueError: the body is about something else.
    """
    record = unwrap_object_with_id(body, str(int(asked_id)))
    completed_at = parse_time(record.get("completedAt"))
    lifecycle, disposition = _map_state(
        parse_word(record.get("lifecycle")), parse_word(record.get("disposition")), completed_at is not None
    )
    return FlowRun(
        service=PORTABLE.name,
        kind=kind,
        run_id=None,
        flow_id=require_id(record),
        lifecycle=lifecycle,
        disposition=disposition,
        vendor_status=_format_vendor_status(
            record.get("lifecycle"), _get_sent_outcome(record.get("disposition"), record.get("status"))
        ),
        completed_at=completed_at,
        resources=_parse_resources(record),
        errors=parse_texts(record.get("errors")),
        url=APP_URL,
        build_details=build_portable_details,
        record=record,
    )


def _parse_state(lifecycle: Any, disposition: Any, status: Any, trigger: Any, has_ended: bool) -> _AttemptState:
    sent_outcome = _get_sent_outcome(disposition, status)
    outcome = parse_word(sent_outcome)
    known, result = _map_state(parse_word(lifecycle) or _imply_lifecycle(outcome, has_ended), outcome, has_ended)
    if has_ended and result is Disposition.NONE and known is Lifecycle.NOT_RUNNING:
        result = Disposition.CANCELED  # an attempt that ended without an outcome
    return _AttemptState(known, result, _format_vendor_status(lifecycle, sent_outcome), _parse_trigger(trigger))


#: A long history has the same few combinations hundreds of thousands of times.
_parse_documented_state = lru_cache(maxsize=256)(_parse_state)


def _parse_trigger(value: Any) -> str | None:
    found = parse_word(value)
    return None if found == UNREADABLE else found or None


def _get_sent_outcome(disposition: Any, status: Any) -> Any:
    # The schema of an attempt calls it status, every example calls it disposition.
    return disposition if parse_word(disposition) else status


def _imply_lifecycle(disposition: str, has_ended: bool) -> str:
    # The schema of an attempt has no lifecycle: it runs as long as it has neither an outcome nor an end.
    return "RUNNING" if disposition in {"", "NONE"} and not has_ended else "NOT_RUNNING"


def _map_state(lifecycle: str, disposition: str, has_ended: bool) -> tuple[Lifecycle, Disposition]:
    if lifecycle in {"PENDING", "RUNNING"}:
        return Lifecycle(lifecycle), Disposition.NONE
    # Without a lifecycle, a disposition counts only for a run that has ended: a status without both is legal.
    ended = lifecycle == "NOT_RUNNING" or (not lifecycle and (has_ended or disposition == "FAILED"))
    if not ended:
        return Lifecycle.UNKNOWN, Disposition.NONE
    outcome = _DISPOSITIONS.get(disposition)
    return (Lifecycle.NOT_RUNNING, outcome) if outcome else (Lifecycle.UNKNOWN, Disposition.NONE)


def _format_vendor_status(lifecycle: Any, outcome: Any) -> str:
    first, second = parse_status(lifecycle), parse_status(outcome)
    return f"{first}/{second}" if first and second else first or second


def _parse_resources(record: Mapping[str, Any]) -> tuple[ResourceCounts, ...]:
    found = record.get("resources") or record.get("details") or []
    if is_object(found):
        found = [{"name": name, **counts} for name, counts in found.items() if isinstance(counts, Mapping)]
    if not isinstance(found, list):
        return ()
    return tuple([_read_resource(item) for item in found if is_object(item)])


def _read_resource(item: Mapping[str, Any]) -> ResourceCounts:
    return ResourceCounts(
        name=parse_name(item.get("name")) or "",
        extracted=parse_count(item.get("extracted")),
        analyzed=parse_count(item.get("analyzed")),
        loaded=parse_count(item.get("loaded")),
        errors=parse_texts(item.get("errors")),
    )
