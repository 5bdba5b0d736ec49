"""Runs of Activepieces, and their representations in its API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from airflow_provider_flowruns.sandbox.runs import RunOwner, RunPlan, SandboxRun, StatusNames
from airflow_provider_flowruns.sandbox.state import format_time, make_random_id

STATUSES = (
    "FAILED",
    "QUOTA_EXCEEDED",
    "INTERNAL_ERROR",
    "PAUSED",
    "QUEUED",
    "RUNNING",
    "SUCCEEDED",
    "MEMORY_LIMIT_EXCEEDED",
    "TIMEOUT",
    "CANCELED",
    "LOG_SIZE_EXCEEDED",
)
"""The statuses by which lists can be filtered, in the server's order."""
FAILED_STEP_MESSAGES = {"FAILED": "Error: upstream answered 500", "LOG_SIZE_EXCEEDED": "Flow run logs size exceeded"}
"""The statuses with a failed step, and the default error message of that step."""
STEP_STATUSES = {"SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED", "LOG_SIZE_EXCEEDED": "FAILED", "PAUSED": "PAUSED"}
NOT_EXECUTING = frozenset({"QUEUED", "CANCELED"})
"""The statuses in which no step is executed."""
START_TIME_DELAY_SECONDS = 0.05
"""Time after the start during which a run has no start time yet, as on the real server."""

STATUS_NAMES = StatusNames(
    waiting="QUEUED",
    running="RUNNING",
    succeeded="SUCCEEDED",
    failed="FAILED",
    canceled="CANCELED",
    paused="PAUSED",
    ended=frozenset(STATUSES) - {"QUEUED", "RUNNING", "PAUSED"} | {"STOPPED"},
    manual_trigger="MANUAL",
    api_trigger="API",
    schedule_trigger="SCHEDULED",
)


class ActivepiecesRunOwner(RunOwner, Protocol):
    """The part of a flow that its runs use."""

    version_id: str

    @property
    def project_id(self) -> str:
        """The project's id."""

    def build_version(self) -> dict[str, Any]:
        """Return the published version of the flow."""


class ActivepiecesRun(SandboxRun):
    """A run of Activepieces. Its status is one of the service's, or an unknown status of the timeline.

    Tests may change these attributes: ``tags``, ``environment`` (``PRODUCTION`` or ``TESTING``), ``archived_at``
    (epoch seconds or None), ``trigger_output`` (what the trigger passed to the flow: for a webhook the method,
    headers, body and query of the request).

    :param flow: the flow to which it belongs.
    :param run_id: its id.
    :param created: epoch seconds at which it was created.
    :param trigger: what started it, in the service's words.
    :param plan: how it proceeds.
    """

    def __init__(self, flow: ActivepiecesRunOwner, run_id: str, created: float, trigger: str, plan: RunPlan) -> None:
        super().__init__(flow, run_id, created, trigger, plan)
        self.flow = flow
        self.tags = list(plan.tags)
        self.environment = plan.environment
        self.archived_at: float | None = None
        self.trigger_output: Mapping[str, Any] = {}
        self._logs_file_id = make_random_id(21)
        self._previous_failed_step: dict[str, str] | None = None

    def restart(self, now: float, plan: RunPlan) -> None:
        """Run again with the same id. The failed step stays visible until the run ends again."""
        self._previous_failed_step = self.build_failed_step(now)
        super().restart(now, plan)

    def get_started_at(self, now: float) -> float | None:
        """Return the start time shown by the API: that of the retry, or when the run left the queue."""
        if self.restarted_at is not None:
            return self.restarted_at
        change = self.get_status_change(now)
        started_at = next((at for at, status in self.list_status_changes(now) if status not in NOT_EXECUTING), None)
        if started_at is None:
            return None
        has_just_started = change == (started_at, "RUNNING") and now < started_at + START_TIME_DELAY_SECONDS
        return None if has_just_started else started_at

    def get_finished_at(self, now: float) -> float | None:
        """Return the finish time shown by the API; a cancelled run has none."""
        return None if self.get_status_change(now).status == "CANCELED" else self.get_ended_at(now)

    def build_failed_step(self, now: float) -> dict[str, str] | None:
        """Return the step at which the run failed, or at which it failed before the retry."""
        status = self.get_status_change(now).status
        if status not in FAILED_STEP_MESSAGES:
            return None if status in STATUS_NAMES.ended else self._previous_failed_step
        if self.plan.errors is None:
            return None
        message = "\n".join(self.plan.errors) or FAILED_STEP_MESSAGES[status]
        return {"name": "step_1", "message": message, "displayName": "Fetch orders"}

    def build_row(self, now: float) -> dict[str, Any]:
        """Return the run without its flow version and steps."""
        change = self.get_status_change(now)
        executing_status = self._get_last_executing_status(now)
        return {
            "id": self.id,
            "created": format_time(self.created),
            "updated": format_time(change.at),
            "projectId": self.flow.project_id,
            "flowId": self.flow.id,
            "flowVersionId": self.flow.version_id,
            "environment": self.environment,
            "logsFileId": None if executing_status is None else self._logs_file_id,
            "parentRunId": None,
            "failParentOnFailure": self.trigger == STATUS_NAMES.schedule_trigger,
            "status": change.status,
            "tags": list(self.tags),
            "startTime": _format_optional_time(self.get_started_at(now)),
            "triggeredBy": None,
            "finishTime": _format_optional_time(self.get_finished_at(now)),
            "failedStep": self.build_failed_step(now),
            "archivedAt": _format_optional_time(self.archived_at),
            "stepNameToTest": None,
            "stepsCount": self._count_steps(executing_status),
            "pauseMetadata": None,
        }

    def build_steps(self, now: float) -> dict[str, Any]:
        """Return the state of each step, starting with the trigger; empty before the run starts."""
        status = self._get_last_executing_status(now)
        if status is None:
            return {}
        trigger = {"type": "PIECE_TRIGGER", "status": "SUCCEEDED", "input": {}, "output": dict(self.trigger_output)}
        if self.plan.steps is not None and status != "RUNNING":
            return {"trigger": trigger, **self.plan.steps}
        if self.get_started_at(now) is None:
            return {"trigger": trigger}
        return {"trigger": trigger, "step_1": self._build_step(status, now)}

    def _count_steps(self, executing_status: str | None) -> int:
        if executing_status not in {"SUCCEEDED", "PAUSED", "LOG_SIZE_EXCEEDED"}:
            return 0
        return 1 if self.plan.steps is None else len(self.plan.steps.keys() - {"trigger"})

    def _get_last_executing_status(self, now: float) -> str | None:
        """Return the last status in which steps were executed, or None if none has been executed."""
        changes = reversed(self.list_status_changes(now))
        return next((status for _, status in changes if status not in NOT_EXECUTING), None)

    def _build_step(self, status: str, now: float) -> dict[str, Any]:
        step: dict[str, Any] = {
            "type": "PIECE" if status == "PAUSED" else "CODE",
            "status": STEP_STATUSES.get(status, "RUNNING"),
            "input": {},
        }
        if status == "SUCCEEDED":
            step |= {"output": {"rows": 3}, "duration": 30.5}
        elif status == "PAUSED":
            step |= {"output": {}, "duration": 270.25}
        elif failed := self.build_failed_step(now):
            step["errorMessage"] = failed["message"]
        return step


def build_list_row(run: ActivepiecesRun, now: float) -> dict[str, Any]:
    """Return a run as in a list: with the flow version both nested and flattened, without steps."""
    version = run.flow.build_version()
    row = {
        **run.build_row(now),
        "flowVersion": version,
        **{f"flowVersion_{key}": value for key, value in version.items()},
        "displayName": version["displayName"],
    }
    return run.apply_overrides(row)


def build_full_row(run: ActivepiecesRun, now: float) -> dict[str, Any]:
    """Return a single run, with its steps."""
    row = {**run.build_row(now), "flowVersion": run.flow.build_version(), "steps": run.build_steps(now)}
    return run.apply_overrides(row)


def build_retry_row(run: ActivepiecesRun, now: float) -> dict[str, Any]:
    """Return a run that a retry has just created: a shorter object."""
    names = ("id", "projectId", "flowId", "flowVersionId", "environment", "parentRunId", "failParentOnFailure")
    row = run.build_row(now)
    short = {key: row[key] for key in (*names, "status", "created", "updated", "tags")}
    return {**short, "steps": {}}


def _format_optional_time(seconds: float | None) -> str | None:
    return None if seconds is None else format_time(seconds)
