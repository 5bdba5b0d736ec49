"""The steps in the record of one Activepieces run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.steps import RunStep
from airflow_provider_flowruns.services.activepieces_definition import read_definition
from airflow_provider_flowruns.services.activepieces_errors import parse_step_message
from airflow_provider_flowruns.services.parsing import is_object, parse_milliseconds, parse_name, parse_status

#: Maximum number of steps that are read.
_MAX_STEPS = 1_000


def read_steps(record: Mapping[str, Any]) -> tuple[RunStep, ...]:
    """Return the steps of a run in the order in which they ran; those within loops are not among them.

    :param record: the run as the server sends it when it is asked for by its id.
    """
    return _read(record, _get_steps(record)[:_MAX_STEPS])


def find_current_step(run: FlowRun) -> RunStep | None:
    """Return the step that an active run has reached, the outermost loop for one within loops; None if not shown.

    :param run: the run with its record, which shows steps only if the run was read by its id.
    """
    return next(iter(_read(run.raw, _get_steps(run.raw)[-1:])), None)


def _get_steps(record: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    steps = record.get("steps")
    return list(steps.items()) if is_object(steps) else []


def _read(record: Mapping[str, Any], steps: Iterable[tuple[Any, Any]]) -> tuple[RunStep, ...]:
    definition = read_definition(record.get("flowVersion"))
    titles = {name: step.title for name, step in definition.items()}
    return tuple(
        RunStep(
            name=parse_name(name) or "",
            title=titles.get(name),
            status=parse_status(step.get("status")),
            seconds=parse_milliseconds(step.get("duration")),
            error=parse_step_message(step.get("errorMessage")),
        )
        for name, step in steps
        if is_object(step)
    )
