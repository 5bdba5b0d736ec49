"""What TableFlow says about a run beyond what all services do, within a size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, TypedDict

from airflow_provider_flowruns.model.clip import MIN_BYTES, clip_json, clip_text, measure_json
from airflow_provider_flowruns.model.runs import MAX_DETAILS_BYTES, FlowRun, Lifecycle, RunDetails, format_iso
from airflow_provider_flowruns.services.parsing import (
    is_object,
    measure_seconds,
    parse_count,
    parse_id,
    parse_milliseconds,
    parse_name,
    parse_status,
    parse_time,
)
from airflow_provider_flowruns.services.tableflow_extraction_ids import find_extraction_ids
from airflow_provider_flowruns.services.tableflow_records import (
    MAX_RECORDS,
    Execution,
    StepExecution,
    read_attempts,
    read_steps,
    read_steps_of_flow,
)

#: Sizes of the fields as JSON. What they leave is for the steps, which come last: about half of the whole.
_METADATA_BYTES = 8 * 1024
_FILES_BYTES = 6 * 1024
_HISTORY_BYTES = 4 * 1024
_ATTEMPTS_BYTES = 6 * 1024
_ID_BYTES = 200
_NAME_BYTES = 400
_MESSAGE_BYTES = 800
#: Maximum number of texts in the error of one step.
_MAX_TEXTS = 10
#: Number of values of all outputs that are searched for ids of extractions, and of the last ones' outputs at least.
_MAX_VALUES, _MIN_VALUES = 20_000, 50
#: Members of an output that are left out: inputs of inner steps can hold secrets.
_INPUT_KEYS = frozenset({"input", "inputs"})


class StatusChange(TypedDict):
    """A status that a run has had."""

    status: str
    time: str | None
    message: str | None


class AttemptDetails(TypedDict):
    """One attempt of a run."""

    attempt: int | None
    status: str
    started_at: str | None
    completed_at: str | None
    duration_seconds: float | None
    error: str | None


class StepDetails(TypedDict):
    """One execution of a step; ``output`` is cut to what all outputs may take, ``extraction_ids`` are not."""

    id: str | None
    title: str | None
    type: str | None
    attempt: int | None
    status: str
    started_at: str | None
    completed_at: str | None
    duration_seconds: float | None
    error: str | None
    extraction_ids: list[str]
    output: Any


class TableFlowDetails(TypedDict):
    """``details`` in the summary of a run of TableFlow.

    :param flow_name: name of the flow; a list of runs does not show it.
    :param workspace_id: id of the workspace.
    :param metadata: what was passed when the run was started.
    :param duration_seconds: the run's duration, None while it has not ended.
    :param current_attempt: number of the attempt that the run's status is about, from 1.
    :param status_history: the run's statuses so far.
    :param attempts: the run's attempts, reruns included.
    :param drive_files: files in Google Drive by output, with their sheets.
    :param input_files: the files that were uploaded, by field.
    :param steps: the executions of steps, of all attempts.
    """

    flow_name: str | None
    workspace_id: str | None
    metadata: Mapping[str, Any]
    duration_seconds: float | None
    current_attempt: int | None
    status_history: list[StatusChange]
    attempts: list[AttemptDetails]
    drive_files: Mapping[str, Any]
    input_files: Mapping[str, Any]
    steps: list[StepDetails]


def build_tableflow_details(run: FlowRun) -> RunDetails:
    """Return a run's details from its record.

    :param run: the run with its record.
    """
    return _DetailsBuilder().build(run)


class _DetailsBuilder:
    """Builds the details of one run, and notes whether something was cut."""

    def __init__(self) -> None:
        self._is_cut = False
        self._values_left = _MAX_VALUES

    def build(self, run: FlowRun) -> RunDetails:
        record = run.raw
        attempts = read_attempts(record)
        flow = record.get("flow")
        details: TableFlowDetails = {
            "flow_name": self._clip_text(parse_name(flow.get("name")) if is_object(flow) else None, _NAME_BYTES),
            "workspace_id": self._clip_text(parse_id(record.get("workspace_id")), _ID_BYTES),
            "metadata": self._clip_object(record.get("metadata"), _METADATA_BYTES),
            "duration_seconds": _parse_duration(run),
            "current_attempt": parse_count(record.get("current_attempt")) or None,
            "status_history": self._build_history(record.get("status_history")),
            "attempts": self._build_attempts(attempts),
            "drive_files": self._clip_object(record.get("drive_files"), _FILES_BYTES),
            "input_files": self._clip_object(record.get("input_files"), _FILES_BYTES),
            "steps": [],
        }
        steps = read_steps(record, attempts)
        left = MAX_DETAILS_BYTES - measure_json(details)
        details["steps"] = self._build_steps(steps, read_steps_of_flow(record) if steps else {}, left)
        return RunDetails(details, self._is_cut)

    def _build_history(self, value: Any) -> list[StatusChange]:
        """Return the last statuses, as many as fit."""
        changes = value if isinstance(value, list) else []
        self._is_cut |= len(changes) > MAX_RECORDS
        newest_first = (
            StatusChange(
                status=self._clip_text(parse_status(change.get("status")), _NAME_BYTES) or "",
                time=format_iso(parse_time(change.get("time"))),
                message=self._parse_message(change.get("message")),
            )
            for change in reversed(changes[-MAX_RECORDS:])
            if is_object(change)
        )
        return self._take_fitting(newest_first, _HISTORY_BYTES)[::-1]

    def _build_attempts(self, attempts: list[Execution]) -> list[AttemptDetails]:
        """Return the last attempts, as many as fit."""
        newest_first = (
            AttemptDetails(
                attempt=attempt.attempt,
                status=self._clip_text(attempt.status, _NAME_BYTES) or "",
                started_at=format_iso(attempt.started_at),
                completed_at=format_iso(attempt.completed_at),
                duration_seconds=attempt.duration_seconds,
                error=self._parse_message(attempt.error),
            )
            for attempt in reversed(attempts)
        )
        return self._take_fitting(newest_first, _ATTEMPTS_BYTES)[::-1]

    def _build_steps(
        self, steps: list[StepExecution], of_flow: Mapping[str, StepExecution], max_bytes: int
    ) -> list[StepDetails]:
        """Return the steps without outputs, as many as fit, and then as much of the outputs as fits.

        If not all fit, the steps of the last attempt do.
        """
        # A step without an attempt is one of the current attempt.
        newest_first = sorted(range(len(steps)), key=lambda place: -(steps[place].attempt or MAX_RECORDS))
        taken = self._take_fitting((self._build_step(steps[place], of_flow) for place in newest_first), max_bytes)
        left = max_bytes - measure_json(taken)
        for number, details in enumerate(taken):
            share = left // (len(taken) - number)
            before = left
            if share >= MIN_BYTES:
                details["output"] = self._clip(steps[newest_first[number]].output, share, _INPUT_KEYS)
            elif steps[newest_first[number]].output is not None:
                self._is_cut = True
            left = before - measure_json(details["output"])
        return [details for _, details in sorted(zip(newest_first, taken, strict=False), key=lambda pair: pair[0])]

    def _build_step(self, step: StepExecution, of_flow: Mapping[str, StepExecution]) -> StepDetails:
        defined = of_flow.get(step.step_id or "")
        found_type = parse_name(step.record.get("type")) or (
            parse_name(defined.record.get("type")) if defined else None
        )
        return {
            "id": self._clip_text(step.step_id, _ID_BYTES),
            "title": self._clip_text(step.title or (defined.title if defined else None), _NAME_BYTES),
            "type": self._clip_text(found_type, _ID_BYTES),
            "attempt": step.attempt,
            "status": self._clip_text(step.status, _NAME_BYTES) or "",
            "started_at": format_iso(step.started_at),
            "completed_at": format_iso(step.completed_at),
            "duration_seconds": step.duration_seconds,
            "error": self._parse_message(step.error),
            "extraction_ids": self._find_extraction_ids(step.output),
            "output": None,
        }

    def _find_extraction_ids(self, output: Any) -> list[str]:
        ids, seen, may_have_more = find_extraction_ids(output, max(self._values_left // 2, _MIN_VALUES))
        self._values_left -= seen
        self._is_cut |= may_have_more
        return ids

    def _take_fitting(self, records: Iterable[Any], max_bytes: int) -> list[Any]:
        taken: list[Any] = []
        size = len("[]")
        for record in records:
            size += measure_json(record) + len(", ")
            if size > max_bytes:
                self._is_cut = True
                break
            taken.append(record)
        return taken

    def _parse_message(self, value: Any) -> str | None:
        """Return an error as text: itself, its message, or as JSON."""
        if isinstance(value, list):
            texts = [text for item in islice(value, _MAX_TEXTS) if (text := self._format_message(item))]
            self._is_cut |= len(value) > _MAX_TEXTS
            return self._clip_text("; ".join(texts), _MESSAGE_BYTES)
        return self._format_message(value)

    def _format_message(self, value: Any) -> str | None:
        if is_object(value):
            value = value.get("message") or value.get("error") or value
        if value in (None, "", {}, []) or isinstance(value, bool):
            return None
        if isinstance(value, str):
            return self._clip_text(value, _MESSAGE_BYTES)
        return self._clip_text(json.dumps(self._clip(value, _MESSAGE_BYTES, _INPUT_KEYS)), _MESSAGE_BYTES)

    def _clip_text(self, text: str | None, max_bytes: int) -> str | None:
        if not text:
            return None
        clipped, is_cut = clip_text(text, max_bytes)
        self._is_cut |= is_cut
        return clipped

    def _clip_object(self, value: Any, max_bytes: int) -> Mapping[str, Any]:
        return self._clip(value, max_bytes) if is_object(value) else {}

    def _clip(self, value: Any, max_bytes: int, omitted_keys: frozenset[str] = frozenset()) -> Any:
        clipped, is_cut = clip_json(value, max_bytes, omitted_keys)
        self._is_cut |= is_cut
        return clipped


def _parse_duration(run: FlowRun) -> float | None:
    if run.lifecycle is not Lifecycle.NOT_RUNNING:
        return None
    sent = parse_milliseconds(run.raw.get("duration"))
    return measure_seconds(run.started_at, run.completed_at) if sent is None else sent
