"""Write the tables of a run's extractions to files; imported when a task runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_flowruns.exceptions import ExtractionFailed, ExtractToFailed
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.extractions import ExtractedTable, Extraction
from airflow_provider_flowruns.operators.extract_to import IN_BRACES, ExtractToTask, get_format
from airflow_provider_flowruns.polling.messages import describe
from airflow_provider_flowruns.services.tableflow_arguments import validate_table
from airflow_provider_flowruns.services.tableflow_extractions import list_table_rows
from airflow_provider_flowruns.services.tableflow_run_extractions import find_run_extractions
from airflow_provider_flowruns.tasks.extractions import require_completed
from airflow_provider_flowruns.tasks.table_files import write_table

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.hooks.tableflow import TableFlowHook
    from airflow_provider_flowruns.model.runs import FlowRun

#: The service's names may hold anything; in a path they stay one name.
_UNSAFE = re.compile(r"[^\w.-]")


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A table, and where to write it.

    :param step_id: id of the step that made the extraction, None if unknown.
    :param extraction: the extraction.
    :param table: the table.
    :param path: local path or URL of the file.
    """

    step_id: str | None
    extraction: Extraction
    table: ExtractedTable
    path: str


def write_run_tables(task: ExtractToTask, pattern: str, run: FlowRun, context: Context) -> list[dict[str, Any]]:
    """Write each table of each extraction of a run, and return a manifest of each file.

    :param task: the operator.
    :param pattern: path with placeholders.
    :param run: the run with its whole record, which has succeeded.
    :param context: Airflow's context of the task.
    :raises ExtractToFailed: the run made nothing that could be written.
    :raises InvalidArgumentError: two tables would get the same path, or a path is a directory.
    :raises ExtractionNotReady: an extraction is still being processed.
    :raises ApiError: there is no usable response.
    """
    hook: TableFlowHook = cast("Any", task).hook
    files = plan_files(pattern, run, _read_extractions(hook, run))
    return [_write_planned(task, hook, file, context) for file in files]


def plan_files(pattern: str, run: FlowRun, extractions: Sequence[tuple[str | None, Extraction]]) -> list[PlannedFile]:
    """Return where each table of a run's extractions is written.

    :param pattern: path with placeholders.
    :param run: the run.
    :param extractions: the extractions, each behind the id of its step.
    :raises ExtractToFailed: there are no tables.
    :raises InvalidArgumentError: two of them would get the same path.
    """
    ids = {"run_id": run.run_id, "flow_id": run.flow_id}
    files: dict[str, PlannedFile] = {}
    for step_id, extraction in extractions:
        for key, table in extraction.tables.items():
            names = {**ids, "step_id": step_id, "extraction_id": extraction.extraction_id, "table": key}
            path = _fill(pattern, names)
            if path in files:
                raise InvalidArgumentError(
                    f"extract_to would write two tables to {path}, the second one {key!r} of extraction "
                    f"{extraction.extraction_id}: add {{extraction_id}} to it; nothing was written"
                )
            files[path] = PlannedFile(step_id, extraction, table, path)
    if not files:
        empty = ", ".join(extraction.extraction_id for _, extraction in extractions)
        raise ExtractToFailed(
            f"TableFlow {describe(run)}; its extractions have no tables, so extract_to has nothing to write: {empty}"
        )
    return list(files.values())


def _read_extractions(hook: TableFlowHook, run: FlowRun) -> list[tuple[str | None, Extraction]]:
    """Return the completed extractions of a run's current attempt, with the ids of their steps."""
    named, may_have_more = find_run_extractions(run)
    if may_have_more:
        raise ExtractToFailed(
            f"TableFlow {describe(run)}; one of its steps names more extractions than extract_to takes: read their "
            "tables with TableFlowGetTableRowsOperator"
        )
    if not named:
        raise ExtractToFailed(
            f"TableFlow {describe(run)}; its record names no extraction, so extract_to has nothing to write: the "
            "flow needs an extraction step; details.steps show what its steps returned"
        )
    return [(step_id, _read_extraction(hook, extraction_id)) for extraction_id, step_id in named.items()]


def _read_extraction(hook: TableFlowHook, extraction_id: str) -> Extraction:
    try:
        extraction = require_completed(hook.get_extraction(extraction_id))
        for key in extraction.tables:
            validate_table(key)
    except (InvalidArgumentError, ExtractionFailed) as error:
        raise ExtractToFailed(f"The run succeeded, and what it extracted cannot be read: {error}") from error
    return extraction


def _write_planned(task: ExtractToTask, hook: TableFlowHook, planned: PlannedFile, context: Context) -> dict[str, Any]:
    pages = list_table_rows(planned.extraction.extraction_id, planned.table.key)
    with task.open_output(planned.path, context) as file:
        written = write_table(
            hook.client,
            pages,
            file,
            file_format=get_format(planned.path),
            columns=[column.key for column in planned.table.columns],
        )
    task.record_output(planned.path, size=written.size, rows=written.count)
    return {
        "extraction_id": planned.extraction.extraction_id,
        "step_id": planned.step_id,
        "table": planned.table.key,
        "path": planned.path,
        "count": written.count,
        "bytes": written.size,
    }


def _fill(pattern: str, names: Mapping[str, str | None]) -> str:
    return re.sub(IN_BRACES, lambda match: _make_safe(names[match[1]] or "unknown"), pattern)


def _make_safe(name: str) -> str:
    """Return a name as one segment of a path: a table's key must not lead to another folder."""
    safe = _UNSAFE.sub("_", name)
    return safe if safe.strip(".") else "_" * len(safe)
