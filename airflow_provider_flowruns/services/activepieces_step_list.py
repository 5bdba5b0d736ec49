"""The steps in the record of one Activepieces run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_flowruns.model.steps import RunStep
from airflow_provider_flowruns.services.activepieces_errors import parse_step_message
from airflow_provider_flowruns.services.parsing import parse_name, parse_status

#: Maximum number of steps that are read.
_MAX_STEPS = 1_000


def read_steps(record: Mapping[str, Any]) -> tuple[RunStep, ...]:
    """Return the steps of a run in the order in which they ran; those within loops are not among them.

    :param record: the run as the server sends it when it is asked for by its id.
    """
    steps = record.get("steps")
    if not isinstance(steps, Mapping):
        return ()
    titles = dict(_iterate_titles(record.get("flowVersion")))
    return tuple(
        _read_step(parse_name(name) or "", step, titles)
        for name, step in list(steps.items())[:_MAX_STEPS]
        if isinstance(step, Mapping)
    )


def _read_step(name: str, step: Mapping[str, Any], titles: Mapping[str, str]) -> RunStep:
    milliseconds = step.get("duration")
    is_number = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool) and milliseconds >= 0
    return RunStep(
        name=name,
        title=titles.get(name),
        status=parse_status(step.get("status")),
        seconds=float(milliseconds) / 1_000 if is_number and milliseconds is not None else None,
        error=parse_step_message(step.get("errorMessage")),
    )


def _iterate_titles(flow_version: Any) -> Iterator[tuple[str, str]]:
    """Yield name and title of each step in a flow's definition, in which steps hold the steps that follow them."""
    pending, seen = [flow_version], 0
    while pending and seen < _MAX_STEPS:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, Mapping):
            seen += 1
            name, title = parse_name(value.get("name")), parse_name(value.get("displayName"))
            if name and title:
                yield name, title
            following = ("trigger", "nextAction", "firstLoopAction", "onSuccessAction", "onFailureAction", "children")
            pending += [value[key] for key in following if key in value]
