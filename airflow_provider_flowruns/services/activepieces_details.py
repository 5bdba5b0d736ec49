"""What Activepieces says about a run beyond what all services do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypedDict

from msgspec import UNSET, Struct, UnsetType
from msgspec.json import encode

from airflow_provider_flowruns.model.clean import parse_json
from airflow_provider_flowruns.model.clip import clip_json, clip_text
from airflow_provider_flowruns.model.runs import MAX_ERROR_CHARS, Disposition, FlowRun, RunDetails
from airflow_provider_flowruns.services.activepieces_errors import parse_failed_step
from airflow_provider_flowruns.services.parsing import (
    measure_seconds,
    parse_count,
    parse_id,
    parse_milliseconds,
    parse_name,
)

#: Maximum number of tags.
MAX_TAGS = 100
_TAGS_BYTES = 24 * 1024


class SentVersion(Struct, rename="camel"):
    """What of a flow's version is shown; a version contains the flow's whole definition."""

    display_name: Any = UNSET


class SentDetails(Struct, rename="camel"):
    """The fields of a record that details are built from. What else it holds, steps above all, never gets in."""

    tags: Any = UNSET
    environment: Any = UNSET
    project_id: Any = UNSET
    flow_version: SentVersion | UnsetType | None = UNSET
    flow_display_name: Any = UNSET
    flow_version_id: Any = UNSET
    parent_run_id: Any = UNSET
    fail_parent_on_failure: Any = UNSET
    failed_step: Any = UNSET
    failed_step_name: Any = UNSET
    steps_count: Any = UNSET
    duration: Any = UNSET


class FailedStep(TypedDict):
    """The step at which a run failed."""

    name: str | None
    display_name: str | None
    message: str | None


class ActivepiecesDetails(TypedDict):
    """``details`` in the summary of a run of Activepieces.

    :param tags: the run's tags.
    :param environment: ``PRODUCTION`` or ``TESTING``.
    :param project_id: id of the flow's project.
    :param flow_name: name of the flow in the version that ran.
    :param flow_version_id: id of that version.
    :param parent_run_id: id of the run that started this one as a subflow.
    :param fail_parent_on_failure: whether that run fails if this one does.
    :param failed_step: the step at which the run failed, None for a run that has not failed.
    :param steps_count: number of steps that succeeded.
    :param duration_seconds: seconds from its start to its end, None while it has not ended.
    """

    tags: list[str]
    environment: str | None
    project_id: str | None
    flow_name: str | None
    flow_version_id: str | None
    parent_run_id: str | None
    fail_parent_on_failure: bool | None
    failed_step: FailedStep | None
    steps_count: int | None
    duration_seconds: float | None


class KeptDetails(Struct, frozen=True, gc=False):
    """Builds the details of a run that thousands of waits may hold at a time.

    :param sent: what the details are built from as JSON, which takes a fourth of the memory of its objects.
    """

    sent: bytes

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return what to keep of a record, without the flow's whole definition.

        :param record: a run as sent.
        """
        fields = SentDetails.__struct_encode_fields__
        picked = {field: value for field in fields if (value := record.get(field)) is not None}
        version = picked.get("flowVersion")
        if isinstance(version, Mapping):
            picked["flowVersion"] = {"displayName": version.get("displayName")}
        return cls(encode(picked))

    def __call__(self, run: FlowRun) -> RunDetails:
        """Return the details of the run."""
        return build_details_from(parse_json(self.sent), run)


def build_activepieces_details(run: FlowRun) -> RunDetails:
    """Return a run's details from its record.

    :param run: a run with its record.
    """
    return build_details_from(run.raw, run)


def build_details_from(record: Mapping[str, Any], run: FlowRun) -> RunDetails:
    """Return a run's details.

    :param record: the record, or those of its fields that :class:`SentDetails` has.
    :param run: the run without its record.
    """
    tags, has_more_tags = _parse_tags(record.get("tags"))
    failed_step, is_message_cut = _parse_failed_step(record, run)
    can_fail_parent, steps = record.get("failParentOnFailure"), record.get("stepsCount")
    details: ActivepiecesDetails = {
        "tags": tags,
        "environment": parse_name(record.get("environment")),
        "project_id": parse_id(record.get("projectId")),
        "flow_name": _parse_flow_name(record),
        "flow_version_id": parse_id(record.get("flowVersionId")),
        "parent_run_id": parse_id(record.get("parentRunId")),
        "fail_parent_on_failure": can_fail_parent if isinstance(can_fail_parent, bool) else None,
        "failed_step": failed_step,
        "steps_count": None if steps in (None, "", {}) or isinstance(steps, bool | list) else parse_count(steps),
        "duration_seconds": _parse_duration(record, run),
    }
    return RunDetails(details, has_more_tags or is_message_cut)


def _parse_tags(value: Any) -> tuple[list[str], bool]:
    if not isinstance(value, list):
        return [], False
    tags, is_cut = clip_json([tag for item in value[:MAX_TAGS] if (tag := parse_name(item))], _TAGS_BYTES)
    return tags, is_cut or len(value) > MAX_TAGS


def _parse_flow_name(record: Mapping[str, Any]) -> str | None:
    version = record.get("flowVersion")
    name = parse_name(version.get("displayName")) if isinstance(version, Mapping) else None
    return name or parse_name(record.get("flowDisplayName"))  # until 0.70.4


def _parse_failed_step(record: Mapping[str, Any], run: FlowRun) -> tuple[FailedStep | None, bool]:
    # A run that is retried keeps the failed step of its earlier try until it ends.
    if run.disposition is not Disposition.FAILED:
        return None, False
    name, display_name, message = parse_failed_step(record)
    if name is None and display_name is None and message is None:
        return None, False
    shown, is_cut = clip_text(message, 4 * MAX_ERROR_CHARS) if message else (message, False)
    return {"name": name, "display_name": display_name, "message": shown}, is_cut


def _parse_duration(record: Mapping[str, Any], run: FlowRun) -> float | None:
    if run.completed_at is None:
        return None
    sent = parse_milliseconds(record.get("duration"))  # until 0.71.4
    return measure_seconds(run.started_at, run.completed_at) if sent is None else sent
