"""The extractions that a TableFlow run made, by what its record says of its steps."""

from __future__ import annotations

from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.services.tableflow_extraction_ids import find_extraction_ids
from airflow_provider_flowruns.services.tableflow_records import read_attempts, read_steps

#: Number of values in the output of one step that are searched for ids.
_MAX_VALUES = 1_000_000


def find_run_extractions(run: FlowRun) -> tuple[dict[str, str | None], bool]:
    """Return the extractions of a run's current attempt, and whether there may be more.

    Each is its id, with the id of the step that made it or None.

    :param run: the run with its whole record.
    """
    steps = read_steps(run.raw, read_attempts(run.raw))
    current = run.attempt or max((step.attempt for step in steps if step.attempt), default=None)
    found: dict[str, str | None] = {}
    may_have_more = False
    for step in steps:
        if step.attempt in {None, current}:
            ids, _, has_more = find_extraction_ids(step.output, _MAX_VALUES)
            may_have_more |= has_more
            for extraction_id in ids:
                found.setdefault(extraction_id, step.step_id)
    return found, may_have_more
