"""What a document contained: extractions, their tables and rows. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_flowruns.model.runs import Disposition, format_iso


@dataclass(frozen=True, slots=True)
class ValidationCounts:
    """Numbers of rows of a table, or of fields; None where the service does not say.

    :param valid: those that pass all validations.
    :param invalid: those that fail one.
    :param total: all.
    """

    valid: int | None = None
    invalid: int | None = None
    total: int | None = None

    def summary(self) -> dict[str, int | None]:
        """Return the numbers as plain JSON."""
        return {"valid": self.valid, "invalid": self.invalid, "total": self.total}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, as its template defines it.

    :param key: its key in the rows.
    :param name: its title.
    :param data_type: the service's word for what it holds; values are texts nevertheless.
    """

    key: str
    name: str | None = None
    data_type: str | None = None


@dataclass(frozen=True, slots=True)
class ExtractedTable:
    """A table of an extraction, without its rows.

    :param key: its key.
    :param name: its title.
    :param columns: its columns, none if the service does not list them.
    :param rows: numbers of its rows.
    """

    key: str
    name: str | None
    columns: tuple[Column, ...]
    rows: ValidationCounts

    def summary(self) -> dict[str, Any]:
        """Return the table as plain JSON."""
        columns = [{"key": one.key, "name": one.name, "data_type": one.data_type} for one in self.columns]
        return {"name": self.name, "columns": columns, "rows": self.rows.summary()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What TableFlow found in one document; the rows of its tables are read apart.

    :param extraction_id: its id.
    :param status: the service's word, as sent.
    :param disposition: how it ended; ``NONE`` while it is processed.
    :param workspace_id: id of the workspace.
    :param template_id: id of the template that says what to look for.
    :param template_name: its name.
    :param file_name: name of the document.
    :param file_size: its size in bytes, None if unknown.
    :param file_type: its media type, or the service's word for it.
    :param status_history: status, time and message of each change of status.
    :param fields: the values found, by field.
    :param field_validations: validations that failed, by field, as sent.
    :param field_counts: numbers of fields.
    :param tables: the tables, by key.
    :param message: the service's message about its current status.
    """

    extraction_id: str
    status: str
    disposition: Disposition
    workspace_id: str | None = None
    template_id: str | None = None
    template_name: str | None = None
    file_name: str | None = None
    file_size: int | None = None
    file_type: str | None = None
    status_history: tuple[tuple[str, datetime | None, str | None], ...] = ()
    fields: Mapping[str, str | None]
    field_validations: Mapping[str, Any]
    field_counts: ValidationCounts
    tables: Mapping[str, ExtractedTable]
    message: str | None = None

    def summary(self) -> dict[str, Any]:
        """Return the extraction as plain JSON."""
        return {
            "extraction_id": self.extraction_id,
            "workspace_id": self.workspace_id,
            "template_id": self.template_id,
            "template_name": self.template_name,
            "file_name": self.file_name,
            "file_size": self.file_size,
            "file_type": self.file_type,
            "status": self.status,
            "status_history": [
                {"status": status, "time": format_iso(time), "message": message}
                for status, time, message in self.status_history
            ],
            "fields": dict(self.fields),
            "field_validations": dict(self.field_validations),
            "field_counts": self.field_counts.summary(),
            "tables": {key: table.summary() for key, table in self.tables.items()},
        }


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table.

    :param index: its position in the table, from 0.
    :param values: its values, texts, by column.
    :param validations: validations that failed, by column, as sent.
    """

    index: int
    values: Mapping[str, str | None]
    validations: Mapping[str, Any]

    def to_record(self) -> dict[str, Any]:
        """Return the row as the service sends it."""
        return {"index": self.index, "values": self.values, "validations": self.validations}


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """A file that was downloaded.

    :param size: number of its bytes.
    :param file_name: its name, as the service says.
    :param content_type: its media type, as the service says.
    """

    size: int
    file_name: str | None = None
    content_type: str | None = None
