"""Operators on TableFlow's extractions: what was found in a document, its tables and the document itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, get_args

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_flowruns.exceptions import EmptyTable
from airflow_provider_flowruns.hooks.tableflow import TableFlowHook
from airflow_provider_flowruns.model.calls import Pages, Request
from airflow_provider_flowruns.model.choices import OnEmpty, RowFormat
from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.model.errors import InvalidArgumentError, UnexpectedResponseError
from airflow_provider_flowruns.model.extractions import ExtractedTable, Extraction, TableRow
from airflow_provider_flowruns.operators.base import ReadOperator
from airflow_provider_flowruns.services.csv_rows import CsvRowCounter
from airflow_provider_flowruns.services.tableflow_arguments import (
    MAX_CSV_ROWS,
    validate_extraction_id,
    validate_filter,
    validate_table,
)
from airflow_provider_flowruns.services.tableflow_extractions import download_original, download_table, list_table_rows
from airflow_provider_flowruns.tasks.arguments import (
    check_choice,
    check_when_known,
    get_given_arguments,
    require_rendered,
)
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.extractions import find_table, require_completed
from airflow_provider_flowruns.tasks.output_file import OutputFileTask, prepare_output_path, validate_output_path
from airflow_provider_flowruns.tasks.table_files import FORMATS, require_parquet, write_table
from airflow_provider_flowruns.tasks.xcom_size import check_xcom_size, collect_for_xcom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Media types of responses that are no CSV, whatever their status says.
_OTHER_TYPES = frozenset({"text/html", "application/json"})


class ExtractionOperator(ReadOperator[TableFlowHook]):
    """Base of the operators on one extraction.

    :param extraction_id: the extraction's id, templated; a run's extractions are in ``details.steps`` of its summary.
    :param tableflow_conn_id: Airflow connection of type ``tableflow``, templated.
    """

    template_fields: Sequence[str] = ("extraction_id", "tableflow_conn_id")
    hook_class = TableFlowHook

    def __init__(
        self, *, extraction_id: str, tableflow_conn_id: str = TableFlowHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.extraction_id = extraction_id
        self.tableflow_conn_id = tableflow_conn_id
        check_when_known(extraction_id, validate_extraction_id)

    def get_completed_extraction(self) -> Extraction:
        """Return the extraction, whose data can be read."""
        return require_completed(self.hook.get_extraction(self.extraction_id))


class TableOperator(OutputFileTask, ExtractionOperator):
    """Base of the operators on one table of an extraction.

    :param table: the table's key, such as ``line_items``, templated.
    :param filter: which rows: ``all``, ``valid``, ``invalid``, ``error``, ``warn`` or ``info``, or several with
        commas between, templated.
    :param on_empty: what a table without any rows means: ``fail`` with ``EmptyTable``, ``skip`` or ``succeed``. A
        filter that leaves no row of a table that has some succeeds.
    """

    template_fields: Sequence[str] = ("extraction_id", "table", "filter", "output_path", "tableflow_conn_id")

    def __init__(self, *, table: str, filter: str = "all", on_empty: OnEmpty = "fail", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.filter = filter
        self.on_empty = on_empty
        check_when_known(table, validate_table)
        check_when_known(filter, validate_filter)
        check_choice(on_empty, argument="on_empty", choices=get_args(OnEmpty))

    def find_table(self) -> ExtractedTable:
        """Return the table, which has rows or may have none.

        :raises TableNotFound: the extraction has no such table.
        :raises EmptyTable: it has no rows, and that fails the task.
        """
        table = find_table(self.get_completed_extraction(), validate_table(self.table))
        if table.rows.total == 0:
            self._check_empty_allowed()
        return table

    def check_count(self, table: ExtractedTable, count: int) -> None:
        """Check that there are rows, where the extraction does not say their number.

        :param table: the table.
        :param count: number of rows that were read.
        """
        if count == 0 and table.rows.total is None and validate_filter(self.filter) == "all":
            self._check_empty_allowed()

    def _check_empty_allowed(self) -> None:
        text = f"Table {self.table!r} of TableFlow extraction {self.extraction_id} has no rows"
        if self.on_empty == "skip":
            raise AirflowSkipException(text)
        if self.on_empty == "fail":
            raise EmptyTable(f"{text}; if that is expected, set on_empty to 'skip' or 'succeed'")


class TableFlowGetExtractionOperator(ExtractionOperator):
    """Return what was found in a document: its fields, and for each table its columns and numbers of rows.

    Reads ``GET /v2/extractions/{id}``. The result is the extraction's summary, without the rows of its tables.

    :raises InvalidArgumentError: an invalid id, at DAG parse where its value is known by then.
    :raises ExtractionNotReady: the document is still being processed.
    :raises ExtractionFailed: it could not be read.
    :raises ApiError: there is no usable response.
    :raises ResultTooLarge: the summary takes more bytes of JSON than ``[flowruns] max_xcom_bytes``.
    """

    @explains_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Return the extraction's summary."""
        with self.hook:
            summary = self.get_completed_extraction().summary()
        check_xcom_size(
            summary, f"extraction {self.extraction_id}", "read its fields with TableFlowHook.get_extraction in a task"
        )
        return summary


class TableFlowGetTableRowsOperator(TableOperator):
    """Return the rows of a table as a list of objects, one text per column, or write them to a file.

    Reads ``GET /v2/extractions/{id}/tables/{key}/rows`` page by page; the next page is requested while one is
    processed. All values are texts, as TableFlow sends them.

    With ``output_path`` the rows are written as JSON lines or as a Parquet file whose columns are texts, with at most a
    few pages in memory, and the result is a manifest: ``{"path", "count", "bytes", "extraction_id", "table", "columns",
    "format"}``. The file gets its name when it is complete, and replaces an earlier one; a task that fails writes none.

    :param output_path: local path, or any URL that Airflow's object storage knows, of a file to write, templated.
    :param format: of the file: ``jsonl`` or, with the extra ``parquet``, ``parquet``.
    :param include_validations: return or write each row as ``{"index", "values", "validations"}``; not for Parquet.
    :raises InvalidArgumentError: a bad argument, at DAG parse where its value is known by then.
    :raises ExtractionNotReady: the document is still being processed.
    :raises ExtractionFailed: it could not be read.
    :raises ApiError: there is no usable response; a row that cannot be read is an ``UnexpectedResponseError``.
    :raises ResultTooLarge: without ``output_path``, as soon as the rows take more bytes of JSON than
        ``[flowruns] max_xcom_bytes`` (default 1 MiB).
    """

    def __init__(
        self,
        *,
        output_path: str | None = None,
        format: RowFormat = "jsonl",
        include_validations: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.format = format
        self.include_validations = include_validations
        if output_path is not None:
            check_when_known(output_path, validate_output_path)
        self._check_format()
        self._given = get_given_arguments(self, "output_path")

    @explains_errors
    def execute(self, context: Context) -> list[dict[str, Any]] | dict[str, Any]:
        """Return the rows, or the manifest of the file that was written."""
        for name in self._given:
            require_rendered(getattr(self, name), argument=name)
        path = None if self.output_path is None else prepare_output_path(self.output_path)
        if self.format == "parquet":
            require_parquet()
        pages = list_table_rows(self.extraction_id, self.table, self.filter)
        with self.hook:
            table = self.find_table()
            return self._collect(table, pages) if path is None else self._write(table, pages, path, context)

    def _check_format(self) -> None:
        check_choice(self.format, argument="format", choices=FORMATS)
        if not isinstance(self.include_validations, bool):
            raise InvalidArgumentError(f"include_validations must be True or False, got {self.include_validations!r}")
        if self.format == "parquet" and self.output_path is None:
            raise InvalidArgumentError("format 'parquet' requires output_path; in XCom the rows are a list")
        if self.format == "parquet" and self.include_validations:
            raise InvalidArgumentError("include_validations requires format 'jsonl'; Parquet columns are the table's")

    def _collect(self, table: ExtractedTable, pages: Pages[TableRow]) -> list[dict[str, Any]]:
        rows = self.hook.client.iterate_ahead(pages)
        found = collect_for_xcom(
            (row.to_record() if self.include_validations else dict(row.values) for row in rows), "row"
        )
        self.check_count(table, len(found))
        return found

    def _write(self, table: ExtractedTable, pages: Pages[TableRow], path: str, context: Context) -> dict[str, Any]:
        with self.open_output(path, context) as file:
            written = write_table(
                self.hook.client,
                pages,
                file,
                file_format=self.format,
                columns=[column.key for column in table.columns],
                include_validations=self.include_validations,
            )
            self.check_count(table, written.count)
        self.record_output(path, size=written.size, rows=written.count)
        return {
            "path": path,
            "count": written.count,
            "bytes": written.size,
            "extraction_id": self.extraction_id,
            "table": table.key,
            "columns": list(written.columns),
            "format": self.format,
        }


class TableFlowDownloadTableOperator(TableOperator):
    """Write a table to a file as CSV, whose first line has the keys of the columns.

    Streams ``GET /v2/extractions/{id}/tables/{key}/download`` and counts the rows meanwhile. The result is a manifest:
    ``{"path", "count", "bytes", "extraction_id", "table", "format"}``. A file that ends early (within a value, or
    before the table's last row) is an ``UnexpectedResponseError`` and is not kept. TableFlow puts at most 500,000 rows
    into such a file; ``TableFlowGetTableRowsOperator`` reads any number.

    :param output_path: local path, or any URL that Airflow's object storage knows, of a file to write, templated.
    :raises InvalidArgumentError: a bad argument, at DAG parse where its value is known by then.
    :raises ExtractionNotReady: the document is still being processed.
    :raises ExtractionFailed: it could not be read.
    :raises ApiError: there is no usable response.
    """

    def __init__(self, *, output_path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        check_when_known(output_path, validate_output_path)

    @explains_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Return the manifest of the file that was written."""
        path = prepare_output_path(self.output_path)
        request = download_table(self.extraction_id, self.table, self.filter).request
        counter = CsvRowCounter()
        with self.hook as hook:
            table = self.find_table()
            self._check_size(table)
            with self.open_output(path, context) as file:
                written = hook.download_table(
                    self.extraction_id, table.key, _ObservedFile(file, counter.add), filter=self.filter
                )
                if problem := self._find_problem(table, counter, written.content_type):
                    raise _build_error(request, problem)
                self.check_count(table, counter.rows)
        self.record_output(path, size=written.size, rows=counter.rows)
        return {
            "path": path,
            "count": counter.rows,
            "bytes": written.size,
            "extraction_id": self.extraction_id,
            "table": table.key,
            "format": "csv",
        }

    def _check_size(self, table: ExtractedTable) -> None:
        if validate_filter(self.filter) == "all" and (table.rows.total or 0) > MAX_CSV_ROWS:
            raise InvalidArgumentError(
                f"table {self.table!r} has {format_count(table.rows.total or 0, 'row')}, and TableFlow's CSV takes at "
                f"most {MAX_CSV_ROWS:,}: read it with TableFlowGetTableRowsOperator"
            )

    def _find_problem(self, table: ExtractedTable, counter: CsvRowCounter, content_type: str | None) -> str | None:
        """Return what is wrong with the file, None if it is whole."""
        if content_type in _OTHER_TYPES:
            return f"got {content_type} instead of CSV"
        if counter.is_cut:
            return f"the CSV ends within a value, after {format_count(counter.rows, 'row')}"
        total = table.rows.total
        if total is not None and validate_filter(self.filter) == "all" and counter.rows != total:
            return f"the CSV has {format_count(counter.rows, 'row')}, and the table {total:,}"
        if counter.rows >= MAX_CSV_ROWS and (total is None or total > MAX_CSV_ROWS):
            return (
                f"the CSV has {format_count(counter.rows, 'row')}, TableFlow's maximum, so that others may be missing"
            )
        return None


class TableFlowDownloadOriginalOperator(OutputFileTask, ExtractionOperator):
    """Write the document of an extraction to a file, as it was uploaded, whatever became of the extraction.

    Streams ``GET /v2/extractions/{id}/download-original``. The result is a manifest: ``{"path", "bytes", "file_name",
    "content_type"}``. A file of another size than the extraction says is an ``UnexpectedResponseError`` and is not
    kept.

    :param output_path: local path, or any URL that Airflow's object storage knows, of a file to write, templated.
    :raises InvalidArgumentError: a bad argument, at DAG parse where its value is known by then.
    :raises ApiError: there is no usable response.
    """

    template_fields: Sequence[str] = ("extraction_id", "output_path", "tableflow_conn_id")

    def __init__(self, *, output_path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        check_when_known(output_path, validate_output_path)

    @explains_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Return the manifest of the file that was written."""
        path = prepare_output_path(self.output_path)
        with self.hook as hook:
            extraction = hook.get_extraction(self.extraction_id)
            with self.open_output(path, context) as file:
                written = hook.download_original(self.extraction_id, file)
                if extraction.file_size is not None and written.size != extraction.file_size:
                    request = download_original(self.extraction_id).request
                    raise _build_error(request, f"got {format_count(written.size, 'byte')} of {extraction.file_size:,}")
        self.record_output(path, size=written.size)
        return {
            "path": path,
            "bytes": written.size,
            "file_name": extraction.file_name or written.file_name,
            "content_type": written.content_type,
        }


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
    return UnexpectedResponseError(TableFlowHook.info.title, request.method, request.path, 200, text)
