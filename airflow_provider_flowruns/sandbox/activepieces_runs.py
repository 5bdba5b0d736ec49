"""Runs of Activepieces, and how its API shows flows and runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from airflow_provider_flowruns.sandbox.runs import Owner, RunPlan, SandboxRun, Vocabulary
from airflow_provider_flowruns.sandbox.world import iso_time, random_id

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
"""The statuses that a list can be filtered by, in the server's order."""
WITH_FAILED_STEP = {"FAILED": "Error: upstream answered 500", "LOG_SIZE_EXCEEDED": "Flow run logs size exceeded"}
"""The statuses that name a step, with the text used where a run was given none."""
STEPS_BY_STATUS = {"SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED", "LOG_SIZE_EXCEEDED": "FAILED", "PAUSED": "PAUSED"}
NO_WORK = frozenset({"QUEUED", "CANCELED"})
"""The statuses that do not show whether the flow has begun."""
START_TIME_LAG = 0.05
"""For so many seconds a running run has no start time yet, as on the real server."""

WORDS = Vocabulary(
    waiting="QUEUED",
    running="RUNNING",
    succeeded="SUCCEEDED",
    failed="FAILED",
    canceled="CANCELED",
    paused="PAUSED",
    ended=frozenset(STATUSES) - {"QUEUED", "RUNNING", "PAUSED"} | {"STOPPED"},
    by_hand="MANUAL",
    by_api="API",
    by_schedule="SCHEDULED",
)


class FlowLike(Owner, Protocol):
    """What of a flow its runs show."""

    version_id: str

    @property
    def version(self) -> dict[str, Any]:
        """The flow version."""

    @property
    def project_id(self) -> str:
        """The project's id."""


class ActivepiecesRun(SandboxRun):
    """A run of Activepieces. Its status is one of the service's own, or a made-up word.

    Attributes that tests may change: ``tags``, ``environment`` (``PRODUCTION`` or ``TESTING``),
    ``archived_at`` (epoch seconds or None), ``parent_run_id``, ``trigger_output`` (what the trigger handed
    to the flow: for a webhook its method, headers, body and query).

    :param flow: the flow it is a run of.
    """

    def __init__(self, flow: FlowLike, run_id: str, created: float, trigger: str, plan: RunPlan) -> None:
        super().__init__(flow, run_id, created, trigger, plan)
        self.flow = flow
        self.tags = list(plan.tags)
        self.environment = plan.environment
        self.archived_at: float | None = None
        self.parent_run_id: str | None = None
        self.fail_parent_on_failure = trigger == WORDS.by_schedule
        self.trigger_output: Mapping[str, Any] = {}
        self._logs_file_id = random_id(21)
        self._kept_failure: dict[str, str] | None = None

    def restart(self, now: float, plan: RunPlan) -> None:
        """Let the same run go once more; what failed before is shown until it ends again."""
        self._kept_failure = self.failed_step(now)
        super().restart(now, plan)

    def started_at(self, now: float) -> float | None:
        """Give the start time as shown: that of the retry, or a moment after the run left the queue."""
        if self.restarted_at is not None:
            return self.restarted_at
        point = self.point(now)
        begin = next((at for at, word in self.points(now) if word not in NO_WORK), None)
        if begin is None or (point.status == "RUNNING" and point.at == begin and now < begin + START_TIME_LAG):
            return None
        return begin

    def finished_at(self, now: float) -> float | None:
        """Give the finish time as shown; a cancelled run has none."""
        return None if self.point(now).status == "CANCELED" else self.end(now)

    def failed_step(self, now: float) -> dict[str, str] | None:
        """Give the step at which the run failed, or had failed before it was retried."""
        status = self.point(now).status
        if status not in WITH_FAILED_STEP:
            return None if status in WORDS.ended else self._kept_failure
        if self.plan.errors is None:
            return None
        message = "\n".join(self.plan.errors) or WITH_FAILED_STEP[status]
        return {"name": "step_1", "message": message, "displayName": "Fetch orders"}

    def row(self, now: float) -> dict[str, Any]:
        """Show the run as the raw table row does, without its version and steps."""
        point = self.point(now)
        work = self._last_work(now)
        return {
            "id": self.id,
            "created": iso_time(self.created),
            "updated": iso_time(point.at),
            "projectId": self.flow.project_id,
            "flowId": self.flow.id,
            "flowVersionId": self.flow.version_id,
            "environment": self.environment,
            "logsFileId": None if work is None else self._logs_file_id,
            "parentRunId": self.parent_run_id,
            "failParentOnFailure": self.fail_parent_on_failure,
            "status": point.status,
            "tags": list(self.tags),
            "startTime": _iso_or_none(self.started_at(now)),
            "triggeredBy": None,
            "finishTime": _iso_or_none(self.finished_at(now)),
            "failedStep": self.failed_step(now),
            "archivedAt": _iso_or_none(self.archived_at),
            "stepNameToTest": None,
            "stepsCount": 1 if work in {"SUCCEEDED", "PAUSED", "LOG_SIZE_EXCEEDED"} else 0,
            "pauseMetadata": None,
        }

    def steps(self, now: float) -> dict[str, Any]:
        """Show what the steps did, beginning with the trigger; empty before the run began."""
        work = self._last_work(now)
        if work is None:
            return {}
        trigger = {"type": "PIECE_TRIGGER", "status": "SUCCEEDED", "input": {}, "output": dict(self.trigger_output)}
        if self.started_at(now) is None:
            return {"trigger": trigger}
        return {"trigger": trigger, "step_1": self._step(work, now)}

    def _last_work(self, now: float) -> str | None:
        """Give the last status in which the flow had got to work, or None if it had not."""
        return next((word for _, word in reversed(self.points(now)) if word not in NO_WORK), None)

    def _step(self, word: str, now: float) -> dict[str, Any]:
        step: dict[str, Any] = {
            "type": "PIECE" if word == "PAUSED" else "CODE",
            "status": STEPS_BY_STATUS.get(word, "RUNNING"),
            "input": {},
        }
        if word == "SUCCEEDED":
            step |= {"output": {"rows": 3}, "duration": 30.5}
        elif word == "PAUSED":
            step |= {"output": {}, "duration": 270.25}
        elif failed := self.failed_step(now):
            step["errorMessage"] = failed["message"]
        return step


def list_row(run: ActivepiecesRun, now: float) -> dict[str, Any]:
    """Show a run in a list: the version once nested and once flattened, no steps."""
    version = run.flow.version
    return {
        **run.row(now),
        "flowVersion": version,
        **{f"flowVersion_{key}": value for key, value in version.items()},
        "displayName": version["displayName"],
    }


def full_row(run: ActivepiecesRun, now: float) -> dict[str, Any]:
    """Show a run by itself, with its steps."""
    return {**run.row(now), "flowVersion": run.flow.version, "steps": run.steps(now)}


def new_run_row(run: ActivepiecesRun, now: float) -> dict[str, Any]:
    """Show a run that a retry has just made: a shorter object."""
    kept = ("id", "projectId", "flowId", "flowVersionId", "environment", "parentRunId", "failParentOnFailure")
    row = run.row(now)
    short = {key: row[key] for key in (*kept, "status", "created", "updated", "tags")}
    return {**short, "steps": {}}


def before_0_80(row: Mapping[str, Any]) -> dict[str, Any]:
    """Show a run as servers before 0.80 did: through a fixed schema that turns nulls into empty values."""
    order = (
        *("id", "created", "updated", "projectId", "flowId", "failParentOnFailure", "flowVersionId", "status"),
        *("environment", "parentRunId", "triggeredBy", "tags", "flowVersion", "logsFileId", "startTime"),
        *("finishTime", "steps", "failedStep", "stepNameToTest", "archivedAt", "stepsCount"),
    )
    shown = {key: row[key] for key in order if key in row}
    for key in ("parentRunId", "triggeredBy", "startTime", "finishTime", "stepNameToTest"):
        if key in shown and shown[key] is None:
            shown[key] = ""
    if "failedStep" in shown:
        failed = shown["failedStep"] or {}
        shown["failedStep"] = {key: failed[key] for key in ("name", "displayName") if key in failed}
    if "flowVersion" in shown:
        shown["flowVersion"] = {"displayName": shown["flowVersion"]["displayName"]}
    return shown


def _iso_or_none(moment: float | None) -> str | None:
    return None if moment is None else iso_time(moment)
