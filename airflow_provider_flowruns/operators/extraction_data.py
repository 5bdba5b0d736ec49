"""Read the data of TableFlow's extractions, for its operators; imported when a task runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_flowruns.exceptions import EmptyTable
from airflow_provider_flowruns.model.calls import Request
from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.model.errors import InvalidArgumentError, UnexpectedResponseError
from airflow_provider_flowruns.model.extractions import ExtractedTable, Extraction
from airflow_provider_flowruns.services.catalog import TABLEFLOW
from airflow_provider_flowruns.services.csv_rows import CsvRowCounter
from airflow_provider_flowruns.services.tableflow_arguments import MAX_CSV_ROWS, validate_filter, validate_table
from airflow_provider_flowruns.services.tableflow_extractions import download_original, download_table, list_table_rows
from airflow_provider_flowruns.tasks import extractions
from airflow_provider_flowruns.tasks.table_files import write_table
from airflow_provider_flowruns.tasks.xcom_size import check_xcom_size, collect_for_xcom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.operators.tableflow_extractions import (
        ExtractionOperator,
        TableFlowDownloadOriginalOperator,
        TableFlowDownloadTableOperator,
        TableFlowGetTableRowsOperator,
        TableOperator,
    )

#: Media types of responses that are no CSV, whatever their status says.
_OTHER_TYPES = frozenset({"text/html", "application/json"})


def read_summary(task: ExtractionOperator) -> dict[str, Any]:
    """Return the summary of a task's extraction, as far as it fits into XCom.

    :param task: the operator.
    """
    with task.hook:
        summary = _get_completed_extraction(task).summary()
    check_xcom_size(
        summary, f"extraction {task.extraction_id}", "read its fields with TableFlowHook.get_extraction in a task"
    )
    return summary


def read_rows(task: TableFlowGetTableRowsOperator) -> list[dict[str, Any]]:
    """Return the rows of a task's table, as far as they fit into XCom.

    :param task: the operator.
    """
    pages = list_table_rows(task.extraction_id, task.table, task.filter)
    with task.hook:
        table = _find_table(task)
        rows = task.hook.client.iterate_ahead(pages)
        found = collect_for_xcom(
            (row.to_record() if task.include_validations else dict(row.values) for row in rows), "row"
        )
        _check_count(task, table, len(found))
        return found


def write_rows(task: TableFlowGetTableRowsOperator, path: str, context: Context) -> dict[str, Any]:
    """Write the rows of a task's table to a file, and return its manifest.

    :param task: the operator.
    :param path: path or URL of the file.
    :param context: Airflow's context of the task.
    """
    pages = list_table_rows(task.extraction_id, task.table, task.filter)
    with task.hook:
        table = _find_table(task)
        with task.open_output(path, context) as file:
            written = write_table(
                task.hook.client,
                pages,
                file,
                file_format=task.format,
                columns=[column.key for column in table.columns],
                include_validations=task.include_validations,
            )
            _check_count(task, table, written.count)
    task.record_output(path, size=written.size, rows=written.count)
    return {
        "path": path,
        "count": written.count,
        "bytes": written.size,
        "extraction_id": task.extraction_id,
        "table": table.key,
        "columns": list(written.columns),
        "format": task.format,
    }


def download_csv(task: TableFlowDownloadTableOperator, path: str, context: Context) -> dict[str, Any]:
    """Write a task's table to a file as CSV, and return its manifest.

    :param task: the operator.
    :param path: path or URL of the file.
    :param context: Airflow's context of the task.
    """
    request = download_table(task.extraction_id, task.table, task.filter).request
    counter = CsvRowCounter()
    with task.hook as hook:
        table = _find_table(task)
        _check_size(task, table)
        with task.open_output(path, context) as file:
            written = hook.download_table(
                task.extraction_id, table.key, _ObservedFile(file, counter.add), filter=task.filter
            )
            if problem := _find_problem(task, table, counter, written.content_type):
                raise _build_error(request, problem)
            _check_count(task, table, counter.rows)
    task.record_output(path, size=written.size, rows=counter.rows)
    return {
        "path": path,
        "count": counter.rows,
        "bytes": written.size,
        "extraction_id": task.extraction_id,
        "table": table.key,
        "format": "csv",
    }


def download_document(task: TableFlowDownloadOriginalOperator, path: str, context: Context) -> dict[str, Any]:
    """Write the document of a task's extraction to a file, and return its manifest.

    :param task: the operator.
    :param path: path or URL of the file.
    :param context: Airflow's context of the task.
    """
    with task.hook as hook:
        extraction = hook.get_extraction(task.extraction_id)
        with task.open_output(path, context) as file:
            written = hook.download_original(task.extraction_id, file)
            if extraction.file_size is not None and written.size != extraction.file_size:
                request = download_original(task.extraction_id).request
                raise _build_error(request, f"got {format_count(written.size, 'byte')} of {extraction.file_size:,}")
    task.record_output(path, size=written.size)
    return {
        "path": path,
        "bytes": written.size,
        "file_name": extraction.file_name or written.file_name,
        "content_type": written.content_type,
    }


def _get_completed_extraction(task: ExtractionOperator) -> Extraction:
    return extractions.require_completed(task.hook.get_extraction(task.extraction_id))


def _find_table(task: TableOperator) -> ExtractedTable:
    """Return a task's table, which has rows or may have none.

    :raises TableNotFound: the extraction has no such table.
    :raises EmptyTable: it has no rows, and that fails the task.
    """
    table = extractions.find_table(_get_completed_extraction(task), validate_table(task.table))
    if table.rows.total == 0:
        _check_empty_allowed(task)
    return table


def _check_count(task: TableOperator, table: ExtractedTable, count: int) -> None:
    """Check that there are rows, where the extraction does not say their number."""
    if count == 0 and table.rows.total is None and validate_filter(task.filter) == "all":
        _check_empty_allowed(task)


def _check_empty_allowed(task: TableOperator) -> None:
    text = f"Table {task.table!r} of TableFlow extraction {task.extraction_id} has no rows"
    if task.on_empty == "skip":
        raise AirflowSkipException(text)
    if task.on_empty == "fail":
        raise EmptyTable(f"{text}; if that is expected, set on_empty to 'skip' or 'succeed'")


def _check_size(task: TableOperator, table: ExtractedTable) -> None:
    if validate_filter(task.filter) == "all" and (table.rows.total or 0) > MAX_CSV_ROWS:
        raise InvalidArgumentError(
            f"table {task.table!r} has {format_count(table.rows.total or 0, 'row')}, and TableFlow's CSV takes at "
            f"most {MAX_CSV_ROWS:,}: read it with TableFlowGetTableRowsOperator"
        )


def _find_problem(
    task: TableOperator, table: ExtractedTable, counter: CsvRowCounter, content_type: str | None
) -> str | None:
    """Return what is wrong with the file, None if it is whole."""
    if content_type in _OTHER_TYPES:
        return f"got {content_type} instead of CSV"
    if counter.is_cut:
        return f"the CSV ends within a value, after {format_count(counter.rows, 'row')}"
    total = table.rows.total
    if total is not None and validate_filter(task.filter) == "all" and counter.rows != total:
        return f"the CSV has {format_count(counter.rows, 'row')}, and the table {total:,}"
    if counter.rows >= MAX_CSV_ROWS and (total is None or total > MAX_CSV_ROWS):
        return f"the CSV has {format_count(counter.rows, 'row')}, TableFlow's maximum, so that others may be missing"
    return None


class _ObservedFile:
    """A file that passes on what is written to it."""

    def __init__(self, file: BinaryIO, observe: Callable[[bytes], None]) -> None:
        self._file = file
        self._observe = observe

    def write(self, data: bytes, /) -> None:
        """Write a piece of the file."""
        self._observe(data)
        self._file.write(data)


def _build_error(request: Request, text: str) -> UnexpectedResponseError:
    return UnexpectedResponseError(TABLEFLOW.title, request.method, request.path, 200, text)
