"""TableFlow's extractions: the calls for what a document contained, and how to read the responses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.message import Message
from typing import Any
from urllib.parse import quote

from airflow_provider_flowruns.model.calls import Call, Download, Page, Pages, Request
from airflow_provider_flowruns.model.clean import clean_text
from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.model.extractions import (
    Column,
    DownloadedFile,
    ExtractedTable,
    Extraction,
    TableRow,
    ValidationCounts,
)
from airflow_provider_flowruns.model.runs import Disposition
from airflow_provider_flowruns.services.catalog import TABLEFLOW
from airflow_provider_flowruns.services.parsing import (
    describe_shape,
    describe_value,
    is_object,
    parse_count,
    parse_id,
    parse_name,
    parse_status,
    parse_text,
    parse_texts,
    parse_time,
    parse_word,
    unwrap_list,
    unwrap_object,
)
from airflow_provider_flowruns.services.tableflow import parse_next_offset
from airflow_provider_flowruns.services.tableflow_arguments import (
    MAX_LIMIT,
    validate_extraction_id,
    validate_filter,
    validate_table,
)
from airflow_provider_flowruns.services.validation import validate_limit

_DISPOSITIONS = {"COMPLETED": Disposition.SUCCEEDED, "FAILED": Disposition.FAILED}


def get_extraction(extraction_id: str) -> Call[Extraction]:
    """``GET /v2/extractions/{id}``: one extraction, with its fields and what tables it has.

    :param extraction_id: the extraction's id.
    """
    wanted = validate_extraction_id(extraction_id)
    request = Request("GET", f"/v2/extractions/{wanted}", names="extraction")
    return Call(TABLEFLOW.name, request, lambda body: _read_extraction(_unwrap_extraction(body, wanted)))


def list_table_rows(
    extraction_id: str, table: str, filter: str = "all", limit: int | str = MAX_LIMIT
) -> Pages[TableRow]:
    """``GET /v2/extractions/{id}/tables/{key}/rows``: the rows of a table in their order.

    A row that cannot be read, or a list that ends before its total, is an error, unlike in lists of runs: data must not
    lack a row silently.

    :param extraction_id: the extraction's id.
    :param table: the table's key.
    :param filter: which rows, see :func:`validate_filter`.
    :param limit: rows a page, 1 to 1000.
    """
    path = f"{_build_table_path(extraction_id, table)}/rows"
    size, words = validate_limit(limit, maximum=MAX_LIMIT), validate_filter(filter)

    def page(offset: int) -> Call[Page[TableRow]]:
        def read(body: Any) -> Page[TableRow]:
            rows = _read_rows(body)
            reached = offset + len(rows)
            following = parse_next_offset(body, reached)
            if rows and following is not None and following > offset:
                # A server that sends fewer rows than it was asked for, and counts on as if it had not, skips some.
                return Page(rows, page(min(following, reached) if words == "all" else following))
            if words == "all":
                _check_end(body, reached)
            return Page(rows)

        query = (("offset", str(offset)), ("limit", str(size)), ("filter", words))
        return Call(TABLEFLOW.name, Request("GET", path, query, names="extraction"), read)

    return Pages(first=page(0), identity=lambda row: row.index)


def download_table(extraction_id: str, table: str, filter: str = "all") -> Download:
    """``GET /v2/extractions/{id}/tables/{key}/download``: a table as CSV, at most 500,000 rows.

    :param extraction_id: the extraction's id.
    :param table: the table's key.
    :param filter: which rows, see :func:`validate_filter`.
    """
    path = f"{_build_table_path(extraction_id, table)}/download"
    query = (("filter", validate_filter(filter)),)
    return Download(TABLEFLOW.name, Request("GET", path, query, accept="text/csv"))


def download_original(extraction_id: str) -> Download:
    """``GET /v2/extractions/{id}/download-original``: the document as it was uploaded.

    :param extraction_id: the extraction's id.
    """
    path = f"/v2/extractions/{validate_extraction_id(extraction_id)}/download-original"
    return Download(TABLEFLOW.name, Request("GET", path, accept="*/*", names="extraction"))


def describe_file(headers: Mapping[str, str], size: int) -> DownloadedFile:
    """Return what the headers of a download say about the file.

    :param headers: the response's headers by their names in lower case.
    :param size: number of bytes that were received.
    """
    message = Message()
    message["Content-Disposition"] = headers.get("content-disposition", "")
    # The name is the service's: what looks like a folder in it means nothing here.
    name = (message.get_filename() or "").replace("\\", "/").rpartition("/")[2]
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return DownloadedFile(size, parse_name(clean_text(name.strip())), content_type or None)


def _build_table_path(extraction_id: str, table: str) -> str:
    key = quote(validate_table(table), safe="")
    return f"/v2/extractions/{validate_extraction_id(extraction_id)}/tables/{key}"


def _unwrap_extraction(body: Any, extraction_id: str) -> Mapping[str, Any]:
    # An extraction has a member "data" itself, so only one without an id can be a wrapper.
    record = body if is_object(body) and "id" in body else unwrap_object(body)
    if parse_id(record.get("id")) != extraction_id:
        raise ValueError(f"requested {extraction_id}, got a response about {describe_value(record.get('id'))}")
    return record


def _read_extraction(record: Mapping[str, Any]) -> Extraction:
    fields = _get_object(_get_object(record, "data"), "fields")
    return Extraction(
        extraction_id=str(parse_id(record.get("id"))),
        status=parse_status(record.get("status")),
        disposition=_DISPOSITIONS.get(parse_word(record.get("status")), Disposition.NONE),
        workspace_id=parse_name(record.get("workspace_id")),
        template_id=parse_name(record.get("template_id")),
        template_name=parse_name(record.get("template_name")),
        file_name=parse_name(record.get("file_name")),
        file_size=_parse_known_count(record.get("file_size")),
        file_type=_parse_file_type(record.get("file_type")),
        status_history=_parse_history(record.get("status_history")),
        fields=_read_values(_get_object(fields, "values")),
        field_validations=_get_object(fields, "validations"),
        field_counts=_read_counts(_get_object(_get_object(record, "stats"), "fields")),
        tables=_read_tables(record),
        message=_parse_message(record),
    )


def _read_tables(record: Mapping[str, Any]) -> dict[str, ExtractedTable]:
    """Return the tables that the template, the data or the statistics name, in this order."""
    template = _get_object(record, "template").get("tables")
    listed = [one for one in template if is_object(one)] if isinstance(template, list) else []
    templates = {key: one for one in listed if (key := parse_text(one.get("key")))}
    data = _get_object(_get_object(record, "data"), "tables")
    stats = _get_object(_get_object(record, "stats"), "tables")
    return {
        key: ExtractedTable(
            key,
            parse_name(_get_object(templates, key).get("name")),
            _read_columns(_get_object(templates, key).get("columns")),
            _read_table_counts(_get_object(stats, key), _get_object(data, key)),
        )
        for key in dict.fromkeys([*templates, *data, *stats])
    }


def _read_columns(value: Any) -> tuple[Column, ...]:
    columns = [one for one in value if is_object(one)] if isinstance(value, list) else []
    by_key = {
        key: Column(key, parse_name(one.get("name")), parse_name(one.get("data_type")))
        for one in columns
        if (key := parse_text(one.get("key")))
    }
    return tuple(by_key.values())


def _read_table_counts(stats: Mapping[str, Any], data: Mapping[str, Any]) -> ValidationCounts:
    counts = _read_counts(_get_object(stats, "rows"))
    if counts.total is not None:
        return counts
    # The inline rows are only a first page, and their pagination says of how many.
    return ValidationCounts(
        counts.valid, counts.invalid, _parse_known_count(_get_object(data, "pagination").get("total"))
    )


def _read_counts(record: Mapping[str, Any]) -> ValidationCounts:
    return ValidationCounts(*(_parse_known_count(record.get(name)) for name in ("valid", "invalid", "total")))


def _parse_known_count(value: Any) -> int | None:
    """Return a number, None if there is none: 0 has a meaning of its own here."""
    count = parse_count(value)
    is_zero = (value == 0 and not isinstance(value, bool)) or value == "0"
    return count if count or is_zero else None


def _parse_file_type(value: Any) -> str | None:
    if is_object(value):
        return next((name for key in ("mime_type", "extension", "key") if (name := parse_name(value.get(key)))), None)
    return parse_name(value)


def _parse_history(value: Any) -> tuple[tuple[str, datetime | None, str | None], ...]:
    changes = [one for one in value if is_object(one)] if isinstance(value, list) else []
    return tuple(
        (parse_status(one.get("status")), parse_time(one.get("time")), parse_text(one.get("message")))
        for one in changes
    )


def _parse_message(record: Mapping[str, Any]) -> str | None:
    history = _parse_history(record.get("status_history"))
    return "; ".join(parse_texts(record.get("error"))) or (history[-1][2] if history else None)


def _read_rows(body: Any) -> tuple[TableRow, ...]:
    rows = tuple(map(_read_row, unwrap_list(body, "rows", "data")))
    if len({row.index for row in rows}) < len(rows):
        raise ValueError("expected rows with an index of their own, got two with the same one")
    return rows


def _check_end(body: Any, reached: int) -> None:
    """Check that a list does not end before its own total."""
    pagination = _get_object(body, "pagination") if is_object(body) else {}
    total = _parse_known_count(pagination.get("total"))
    if total is not None and reached < total:
        raise ValueError(f"expected {format_count(total, 'row')}, got a list that ends after {reached:,}")


def _read_row(row: Any) -> TableRow:
    if not is_object(row) or not is_object(row.get("values")):
        raise ValueError(f"expected a row with an object of values, got {describe_shape(row)}")
    index = row.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        raise ValueError(f"expected the index of a row, got {describe_value(index)}")
    return TableRow(index, _read_values(row["values"]), _get_object(row, "validations"))


def _read_values(values: Mapping[str, Any]) -> Mapping[str, str | None]:
    """Return values as texts, which all are by the documentation."""
    if all(type(value) is str for value in values.values()):
        return values
    return {key: _read_value(value) for key, value in values.items()}


def _read_value(value: Any) -> str | None:
    import msgspec

    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _get_object(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record.get(name)
    return value if is_object(value) else {}
