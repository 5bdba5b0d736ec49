"""The attempts of a TableFlow run, each as the record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_flowruns.services.parsing import parse_count
from airflow_provider_flowruns.services.tableflow_records import Execution, StepExecution, read_attempts, read_steps

#: Fields of a run that are about its current attempt only.
_CURRENT_ONLY = ("status", "error", "start_time", "end_time", "duration", "updated_at", "status_history")


def split_attempts(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the attempts of a run as records of runs, newest first.

    Each has its own status, times, error and steps, and what the run has in common for all. Without ``flow_attempts``
    they are those that the steps name, and the run itself if there are none.

    :param record: the run as sent.
    """
    attempts = read_attempts(record)
    steps = read_steps(record, attempts)
    current = _find_current(record, attempts, steps)
    by_number = {attempt.attempt: attempt for attempt in attempts}
    numbers = {*by_number, *(step.attempt for step in steps), current} - {None}
    newest_first = sorted(numbers, key=lambda number: number or 0, reverse=True)
    return [
        _build_record(
            record,
            by_number.get(number) or Execution({}, attempt=number),
            [step for step in steps if (step.attempt or current) == number],
            is_current=number == current,
        )
        for number in newest_first
    ]


def _find_current(record: Mapping[str, Any], attempts: list[Execution], steps: list[StepExecution]) -> int:
    known = (one.attempt or 0 for one in (*attempts, *steps))
    return parse_count(record.get("current_attempt")) or max(known, default=0) or 1


def _build_record(
    record: Mapping[str, Any], attempt: Execution, steps: list[StepExecution], *, is_current: bool
) -> Mapping[str, Any]:
    own = {
        "status": attempt.record.get("status") or ("" if is_current else _imply_status(steps)),
        "error": attempt.error,
        "start_time": _to_seconds(attempt.started_at or _find_time(steps, "started_at", min)),
        "end_time": _to_seconds(
            attempt.completed_at or (None if is_current else _find_time(steps, "completed_at", max))
        ),
        "duration": attempt.record.get("duration"),
        "status_history": attempt.record.get("status_history"),
    }
    common = {name: value for name, value in record.items() if is_current or name not in _CURRENT_ONLY}
    # An attempt is created when it starts; only the first one is created with its run.
    created_at = own["start_time"] if attempt.attempt != 1 else None
    return {
        **common,
        **{name: value for name, value in own.items() if value},
        "created_at": created_at or record.get("created_at"),
        "current_attempt": attempt.attempt,
        "flow_attempts": [attempt.record] if attempt.record else [],
        "steps": [{"attempt": attempt.attempt, **step.record, "step_id": step.step_id} for step in steps],
    }


def _imply_status(steps: list[StepExecution]) -> str:
    """Return the status of an earlier attempt by those of its steps, empty if they do not tell."""
    statuses = {step.status.lower() for step in steps}
    if "failed" in statuses:
        return "failed"
    return "completed" if statuses == {"completed"} else ""


def _find_time(steps: list[StepExecution], name: str, pick: Any) -> datetime | None:
    moments = [moment for step in steps if (moment := getattr(step, name))]
    return pick(moments) if moments else None


def _to_seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None
