"""The steps of the current attempt of a TableFlow run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.steps import RunStep
from airflow_provider_flowruns.services.parsing import parse_texts
from airflow_provider_flowruns.services.tableflow_attempts import split_attempts
from airflow_provider_flowruns.services.tableflow_records import StepExecution, read_steps, read_steps_of_flow


def list_steps(record: Mapping[str, Any]) -> tuple[RunStep, ...]:
    """Return the steps of a run's newest attempt, in the order in which they were sent.

    :param record: the run as the service sends it when it is asked for by its id.
    """
    return _read(record, _find_newest(record))


def find_current_step(run: FlowRun) -> RunStep | None:
    """Return the last step of an active run that has started and not ended; None if its record shows none.

    :param run: the run with its record.
    """
    active = [step for step in _find_newest(run.raw) if step.started_at and not step.completed_at]
    return next(iter(_read(run.raw, active[-1:])), None)


def _find_newest(record: Mapping[str, Any]) -> list[StepExecution]:
    return read_steps(split_attempts(record)[0], [])


def _read(record: Mapping[str, Any], steps: Iterable[StepExecution]) -> tuple[RunStep, ...]:
    defined = read_steps_of_flow(record)
    return tuple(
        RunStep(
            name=step.step_id or "",
            title=step.title or (defined[step.step_id].title if step.step_id in defined else None),
            status=step.status,
            seconds=step.duration_seconds,
            error="; ".join(parse_texts(step.error)) or None,
        )
        for step in steps
    )
