"""Operators on TableFlow's extractions: what was found in a document, its tables and the document itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_flowruns.model.choices import OnEmpty, RowFormat
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.operators.base import ReadOperator
from airflow_provider_flowruns.services.catalog import TABLEFLOW
from airflow_provider_flowruns.services.tableflow_arguments import (
    validate_extraction_id,
    validate_filter,
    validate_table,
)
from airflow_provider_flowruns.tasks.arguments import (
    check_choice,
    check_when_known,
    get_given_arguments,
    require_rendered,
)
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.output_file import OutputFileTask, prepare_output_path, validate_output_path
from airflow_provider_flowruns.tasks.table_formats import FORMATS, require_parquet

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.hooks.tableflow import TableFlowHook  # noqa: F401 (base classes quote it)


class ExtractionOperator(ReadOperator["TableFlowHook"]):
    """Base of the operators on one extraction.

    :param extraction_id: the extraction's id, templated; a run's extractions are in ``details.steps`` of its summary.
    :param tableflow_conn_id: Airflow connection of type ``tableflow``, templated.
    """

    template_fields: Sequence[str] = ("extraction_id", "tableflow_conn_id")
    info = TABLEFLOW

    def __init__(
        self, *, extraction_id: str, tableflow_conn_id: str = TABLEFLOW.default_conn_id, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.extraction_id = extraction_id
        self.tableflow_conn_id = tableflow_conn_id
        check_when_known(extraction_id, validate_extraction_id)


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
        from airflow_provider_flowruns.operators.extraction_data import read_summary

        return read_summary(self)


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
        from airflow_provider_flowruns.operators.extraction_data import read_rows, write_rows

        for name in self._given:
            require_rendered(getattr(self, name), argument=name)
        path = None if self.output_path is None else prepare_output_path(self.output_path)
        if self.format == "parquet":
            require_parquet()
        return read_rows(self) if path is None else write_rows(self, path, context)

    def _check_format(self) -> None:
        check_choice(self.format, argument="format", choices=FORMATS)
        if not isinstance(self.include_validations, bool):
            raise InvalidArgumentError(f"include_validations must be True or False, got {self.include_validations!r}")
        if self.format == "parquet" and self.output_path is None:
            raise InvalidArgumentError("format 'parquet' requires output_path; in XCom the rows are a list")
        if self.format == "parquet" and self.include_validations:
            raise InvalidArgumentError("include_validations requires format 'jsonl'; Parquet columns are the table's")


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
        from airflow_provider_flowruns.operators.extraction_data import download_csv

        return download_csv(self, prepare_output_path(self.output_path), context)


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
        from airflow_provider_flowruns.operators.extraction_data import download_document

        return download_document(self, prepare_output_path(self.output_path), context)
