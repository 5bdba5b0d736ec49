"""The argument ``extract_to``: where the tables of a run's extractions are written, and the writing itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_flowruns.exceptions import ExtractionFailed, ExtractToFailed
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.extractions import ExtractedTable, Extraction
from airflow_provider_flowruns.polling.messages import describe
from airflow_provider_flowruns.services.parsing import describe_value
from airflow_provider_flowruns.services.tableflow_arguments import validate_table
from airflow_provider_flowruns.services.tableflow_extractions import list_table_rows
from airflow_provider_flowruns.services.tableflow_run_extractions import find_run_extractions
from airflow_provider_flowruns.tasks.arguments import is_known
from airflow_provider_flowruns.tasks.extractions import require_completed
from airflow_provider_flowruns.tasks.output_file import OutputFileTask, validate_output_path
from airflow_provider_flowruns.tasks.table_files import FORMATS, require_parquet, write_table

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.hooks.tableflow import TableFlowHook
    from airflow_provider_flowruns.model.runs import FlowRun

PLACEHOLDERS = ("run_id", "flow_id", "step_id", "extraction_id", "table")
_IN_BRACES = re.compile(r"\{([^{}]*)\}")
#: What Airflow renders, with braces of its own.
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
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


class ExtractToTask(OutputFileTask):
    """Mixin of the operator that writes the tables of its run; it comes before the operator's other base classes."""

    _is_extracting = False

    def write_tables(self, pattern: str, run: FlowRun, context: Context) -> list[dict[str, Any]]:
        """Write each table of each extraction of a run, and return a manifest of each file.

        :param pattern: path with placeholders, as :func:`validate_extract_to` returns it.
        :param run: the run with its whole record, which has succeeded.
        :param context: Airflow's context of the task.
        :raises ExtractToFailed: the run made nothing that could be written.
        :raises InvalidArgumentError: two tables would get the same path, or a path is a directory.
        :raises ExtractionNotReady: an extraction is still being processed.
        :raises ApiError: there is no usable response.
        """
        self._is_extracting = True
        try:
            files = plan_files(pattern, run, self._read_extractions(run))
            return [self._write_planned(file, context) for file in files]
        finally:
            self._is_extracting = False

    def on_kill(self) -> None:
        """Stop writing, so that the unfinished file is removed; the run has ended then."""
        if self._is_extracting:
            raise SystemExit("killed while the tables of the run were being written")
        super().on_kill()

    def _read_extractions(self, run: FlowRun) -> list[tuple[str | None, Extraction]]:
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
        return [(step_id, self._read_extraction(extraction_id)) for extraction_id, step_id in named.items()]

    def _read_extraction(self, extraction_id: str) -> Extraction:
        try:
            extraction = require_completed(self._get_hook().get_extraction(extraction_id))
            for key in extraction.tables:
                validate_table(key)
        except (InvalidArgumentError, ExtractionFailed) as error:
            raise ExtractToFailed(f"The run succeeded, and what it extracted cannot be read: {error}") from error
        return extraction

    def _write_planned(self, planned: PlannedFile, context: Context) -> dict[str, Any]:
        pages = list_table_rows(planned.extraction.extraction_id, planned.table.key)
        with self.open_output(planned.path, context) as file:
            written = write_table(
                self._get_hook().client,
                pages,
                file,
                file_format=_get_format(planned.path),
                columns=[column.key for column in planned.table.columns],
            )
        self.record_output(planned.path, size=written.size, rows=written.count)
        return {
            "extraction_id": planned.extraction.extraction_id,
            "step_id": planned.step_id,
            "table": planned.table.key,
            "path": planned.path,
            "count": written.count,
            "bytes": written.size,
        }

    def _get_hook(self) -> TableFlowHook:
        return cast("TableFlowHook", cast("Any", self).hook)


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


def check_extract_to(value: Any) -> None:
    """Check what is known of the path at DAG parse, before Airflow renders it.

    :param value: the argument's value.
    :raises InvalidArgumentError: it contains an unknown placeholder, or no file can result from it.
    """
    if is_known(value):
        validate_extract_to(value)
    elif isinstance(value, str):
        *_, end = literals = _TEMPLATE.split(value)
        for literal in literals:
            _check_placeholders(literal, value)
        if "." in end:
            _get_format(end, value)


def validate_extract_to(value: Any) -> str:
    """Return the path with placeholders.

    :param value: the rendered argument.
    :raises InvalidArgumentError: it contains an unknown placeholder or no ``{table}``, or ends in another suffix.
    """
    path = validate_output_path(value, argument="extract_to")
    _check_placeholders(path, path)
    if "{table}" not in path:
        raise InvalidArgumentError(f"extract_to must contain {{table}}, as a run may have several, got {path!r}")
    _get_format(path)
    return path


def prepare_extract_to(value: Any) -> str:
    """Return the path with placeholders, if files of its format can be written here.

    :param value: the rendered argument.
    :raises InvalidArgumentError: it is wrong, see :func:`validate_extract_to`, or pyarrow is not installed.
    """
    path = validate_extract_to(value)
    if _get_format(path) == "parquet":
        require_parquet()
    return path


def _check_placeholders(text: str, value: str) -> None:
    unknown = [name for name in _IN_BRACES.findall(text) if name not in PLACEHOLDERS]
    if unknown or {"{", "}"}.intersection(_IN_BRACES.sub("", text)):
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise InvalidArgumentError(f"extract_to may contain the placeholders {known}, got {describe_value(value)}")


def _get_format(path: str, value: str | None = None) -> str:
    suffix = path.rpartition(".")[2]
    if suffix not in FORMATS:
        raise InvalidArgumentError(f"extract_to must end in .jsonl or .parquet, got {describe_value(value or path)}")
    return suffix


def _fill(pattern: str, names: Mapping[str, str | None]) -> str:
    return _IN_BRACES.sub(lambda match: _make_safe(names[match[1]] or "unknown"), pattern)


def _make_safe(name: str) -> str:
    """Return a name as one segment of a path: a table's key must not lead to another folder."""
    safe = _UNSAFE.sub("_", name)
    return safe if safe.strip(".") else "_" * len(safe)
