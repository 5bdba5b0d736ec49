"""Runs of TableFlow, their attempts, and their representation in its API."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from airflow_provider_flowruns.sandbox.runs import RunOwner, RunPlan, SandboxRun, StatusChange, StatusNames
from airflow_provider_flowruns.sandbox.state import floor_to_milliseconds, make_random_id
from airflow_provider_flowruns.sandbox.tableflow_forms import UploadedPart
from airflow_provider_flowruns.sandbox.tableflow_tables import DEFAULT_TABLES, Table

STATUS_NAMES = StatusNames(
    waiting="processing",
    running="processing",
    succeeded="completed",
    failed="failed",
    canceled=None,
    paused="review",
    ended=frozenset({"completed", "failed"}),
    manual_trigger="manual",
    api_trigger="api",
    schedule_trigger="manual",
)
ID_LENGTH = 16
EXTRACTED = frozenset({"review", "completed"})
"""The statuses of a run whose extractions are done: a reviewer reads what they found."""
DEFAULT_ERRORS = ("Step 'Read document' failed: no table was found on page 1",)
DEFAULT_FIELDS: Mapping[str, str] = {"invoice_number": "INV-1001", "invoice_date": "2026-03-02", "total": "699.88"}
STATUS_MESSAGES = {"review": "Waiting for a reviewer", "completed": "All steps are done"}


class TableFlowRunOwner(RunOwner, Protocol):
    """The part of a flow that its runs use."""

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        """The flow's steps, in the format of the API."""

    @property
    def template_ids(self) -> Mapping[str, str]:
        """The ids of the templates, by the id of the extraction step."""

    @property
    def workspace_id(self) -> str:
        """The workspace's id."""

    @property
    def runs_by_extraction_id(self) -> MutableMapping[str, TableFlowRun]:
        """The service's runs by the ids of their extractions."""


@dataclass
class TableFlowAttempt:
    """One attempt of a run: the first one, or a rerun.

    :param number: its number, from 1.
    :param started_at: epoch seconds.
    :param plan: how it proceeds.
    :param extraction_ids: ids of its extractions, by the id of the step.
    :param status_changes_before: number of the run's statuses before this attempt.
    :param final_status_changes: all its statuses, once a rerun has followed; None for the current attempt.
    """

    number: int
    started_at: float
    plan: RunPlan
    extraction_ids: Mapping[str, str]
    status_changes_before: int
    final_status_changes: Sequence[StatusChange] | None = None
    fields: Mapping[str, str] = field(init=False)
    tables: Mapping[str, Table] = field(init=False)

    def __post_init__(self) -> None:
        plan = self.plan
        self.fields = DEFAULT_FIELDS if plan.fields is None else plan.fields
        rows_by_key = DEFAULT_TABLES if plan.tables is None else plan.tables
        self.tables = {key: Table(key, rows) for key, rows in rows_by_key.items()}


class TableFlowRun(SandboxRun):
    """A run of TableFlow. Its status is processing, review, completed, failed, or an unknown status of the timeline.

    ``parts`` are the parts of the form that started it; ``run_name`` and ``metadata`` are taken from them. ``attempts``
    are its attempts, oldest first, with the ids of their extractions.

    :param flow: the flow to which it belongs.
    :param run_id: its id.
    :param created: epoch seconds at which it was created.
    :param trigger: what started it, in the service's words.
    :param plan: how it proceeds.
    """

    parts: tuple[UploadedPart, ...] = ()
    run_name: str | None = None
    metadata: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, flow: TableFlowRunOwner, run_id: str, created: float, trigger: str, plan: RunPlan) -> None:
        super().__init__(flow, run_id, created, trigger, plan)
        self.flow = flow
        self.attempts = [self._create_attempt(self.created, 0)]

    def restart(self, now: float, plan: RunPlan) -> None:
        """Run again with the same id. Earlier attempts stay as they were."""
        self.attempts[-1].final_status_changes = self.list_attempt_status_changes(self.attempts[-1], now)
        status_changes_before = len(self.list_status_changes(now))
        super().restart(now, plan)
        self.attempts.append(self._create_attempt(floor_to_milliseconds(now), status_changes_before))

    def list_attempt_status_changes(self, attempt: TableFlowAttempt, now: float) -> Sequence[StatusChange]:
        """Return the statuses of one attempt until now, oldest first; at least one."""
        if attempt.final_status_changes is not None:
            return attempt.final_status_changes
        changes = self.list_status_changes(now)[attempt.status_changes_before :]
        return changes or [StatusChange(attempt.started_at, STATUS_NAMES.running)]

    def get_extracted_at(self, attempt: TableFlowAttempt, now: float) -> float | None:
        """Return when the extractions of an attempt were done, in epoch seconds, or None if they are not."""
        changes = self.list_attempt_status_changes(attempt, now)
        return next((at for at, status in changes if status in EXTRACTED), None)

    def get_error(self, now: float) -> str | None:
        """Return the error text; only a failed run has one."""
        return self.get_attempt_error(self.attempts[-1], now)

    def get_attempt_error(self, attempt: TableFlowAttempt, now: float) -> str | None:
        """Return the error text of one attempt; only a failed attempt has one."""
        if self.list_attempt_status_changes(attempt, now)[-1].status != "failed" or attempt.plan.errors is None:
            return None
        return "; ".join(attempt.plan.errors or DEFAULT_ERRORS)

    def list_status_history(self, now: float) -> list[dict[str, Any]]:
        """Return the statuses until now, without repetitions within an attempt."""
        return [
            {"status": status, "time": int(at), "message": self._build_message(attempt, status, now)}
            for attempt in self.attempts
            for at, status in _skip_repetitions(self.list_attempt_status_changes(attempt, now))
        ]

    def build_input_files(self) -> dict[str, dict[str, Any]]:
        """Return a description of each uploaded file, by form field."""
        return {
            part.name: {"file_name": part.filename, "file_type": part.content_type, "file_size": part.size}
            for part in self.parts
            if part.filename is not None
        }

    def build_row(self, now: float) -> dict[str, Any]:
        """Return the run as in a list, without its flow.

        The vendor documents attempts, steps and input files only as fields of a single run, and shows them in no
        example. The sandbox has them in lists too, where a client must not depend on them.
        """
        change, ended_at = self.get_status_change(now), self.get_ended_at(now)
        row = {
            "id": self.id,
            "flow_id": self.flow_id,
            "workspace_id": self.flow.workspace_id,
            "name": self.run_name,
            "status": change.status,
            "status_history": self.list_status_history(now),
            "error": self.get_error(now),
            "metadata": dict(self.metadata),
            "trigger_method": self.trigger,
            "start_time": int(self.created),
            "end_time": None if ended_at is None else int(ended_at),
            "duration": _count_milliseconds(self.created, ended_at),
            "drive_files": {},
            "flow_attempts": [self._build_attempt(attempt, now) for attempt in self.attempts],
            "current_attempt": self.attempt,
            "input_files": self.build_input_files(),
            "steps": [step for attempt in self.attempts for step in self._build_steps(attempt, now)],
            "created_at": int(self.created),
            "updated_at": int(change.at),
        }
        return self.apply_overrides(row)

    def _create_attempt(self, started_at: float, status_changes_before: int) -> TableFlowAttempt:
        extraction_ids = {step_id: make_random_id(ID_LENGTH) for step_id in self.flow.template_ids}
        self.flow.runs_by_extraction_id.update(dict.fromkeys(extraction_ids.values(), self))
        return TableFlowAttempt(self.attempt, started_at, self.plan, extraction_ids, status_changes_before)

    def _build_message(self, attempt: TableFlowAttempt, status: str, now: float) -> str:
        if status == "processing":
            return f"Run started, trigger: {self.trigger}"
        if status == "failed":
            return self.get_attempt_error(attempt, now) or "The run failed"
        return STATUS_MESSAGES.get(status, f"The run is now {status}")

    def _build_attempt(self, attempt: TableFlowAttempt, now: float) -> dict[str, Any]:
        change = self.list_attempt_status_changes(attempt, now)[-1]
        return {
            "attempt": attempt.number,
            "status": change.status,
            "start_time": int(attempt.started_at),
            "end_time": int(change.at) if change.status in STATUS_NAMES.ended else None,
            "error": self.get_attempt_error(attempt, now),
            "steps": self._build_steps(attempt, now),
        }

    def _build_steps(self, attempt: TableFlowAttempt, now: float) -> list[dict[str, Any]]:
        """Return the step executions of an attempt: first its extractions at once, then its other steps."""
        extracted_at = self.get_extracted_at(attempt, now)
        change = self.list_attempt_status_changes(attempt, now)[-1]
        if extracted_at is None:
            extraction_end, other_steps_started_at = change, None
        else:
            extraction_end, other_steps_started_at = StatusChange(extracted_at, "completed"), extracted_at
        rows = []
        for step in self.flow.steps:
            if step["id"] in attempt.extraction_ids:
                row = self._build_step(attempt, step["id"], attempt.started_at, extraction_end, now)
                rows.append(row | {"output": {"extraction_id": attempt.extraction_ids[step["id"]]}})
            elif other_steps_started_at is not None:
                rows.append(self._build_step(attempt, step["id"], other_steps_started_at, change, now))
        return rows

    def _build_step(
        self, attempt: TableFlowAttempt, step_id: str, started_at: float, change: StatusChange, now: float
    ) -> dict[str, Any]:
        ended_at = change.at if change.status in STATUS_NAMES.ended else None
        return {
            "step_id": step_id,
            "attempt": attempt.number,
            "status": change.status,
            "start_time": int(started_at),
            "end_time": None if ended_at is None else int(ended_at),
            "duration": _count_milliseconds(started_at, ended_at),
            "error": self.get_attempt_error(attempt, now) if change.status == "failed" else None,
            "output": {},
        }


def _skip_repetitions(changes: Sequence[StatusChange]) -> list[StatusChange]:
    previous: list[str | None] = [None, *(change.status for change in changes)]
    return [change for change, before in zip(changes, previous, strict=False) if change.status != before]


def _count_milliseconds(started_at: float, ended_at: float | None) -> int:
    return 0 if ended_at is None else round((ended_at - started_at) * 1000)
