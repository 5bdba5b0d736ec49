"""Tables of TableFlow extractions: rows with validations, filters, pages and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from airflow_provider_flowruns.sandbox.output_options import Row
from airflow_provider_flowruns.sandbox.tableflow_errors import raise_bad_request

ALL = "all"
FILTERS = frozenset({ALL, "valid", "invalid", "error", "warn", "info"})
"""The filters. ``error``, ``warn`` and ``info`` are severities; ``error`` is also the older name of ``invalid``."""
DEFAULT_ROWS: tuple[Row, ...] = (
    {"description": "Office chair", "quantity": "1", "amount": "249.99"},
    {"description": "Keyboard", "quantity": "2", "amount": "119.90"},
    {"description": "Monitor", "quantity": "", "amount": "329.99"},
)
DEFAULT_TABLES: Mapping[str, tuple[Row, ...]] = {"line_items": DEFAULT_ROWS}
MAX_DOWNLOAD_ROWS = 500_000
"""Maximum number of rows in a CSV file; further rows are left out without a word."""
_ROWS_PER_CHUNK = 1_000


def parse_filter(text: str) -> frozenset[str]:
    """Return the names in a filter, which is a comma-separated list.

    :param text: the filter as sent.
    """
    names = frozenset(name.strip() for name in text.split(","))
    if unknown := names - FILTERS:
        raise_bad_request(f"The filter {', '.join(sorted(unknown))!r} is unknown")
    return names


def build_validations(values: Row) -> dict[str, list[dict[str, str]]]:
    """Return what is wrong with a row or with the fields: a value that is empty, by its key."""
    issue = {"validation": "required", "severity": "error", "message": "A value is required"}
    return {key: [issue] for key, text in values.items() if not text}


class Table:
    """One table of an extraction.

    :param key: its key.
    :param rows: its rows, each column with its text.
    """

    def __init__(self, key: str, rows: Sequence[Row]) -> None:
        self.key = key
        self.rows = rows

    @cached_property
    def columns(self) -> list[str]:
        """The keys of the columns in the order of the rows; those of the default table if there is no row."""
        return list(dict.fromkeys(column for row in self.rows or DEFAULT_ROWS for column in row))

    @cached_property
    def _invalid_indexes(self) -> Sequence[int]:
        return [index for index, row in enumerate(self.rows) if not all(row.values())]

    @cached_property
    def _valid_indexes(self) -> Sequence[int]:
        return [index for index, row in enumerate(self.rows) if all(row.values())]

    def select(self, names: frozenset[str]) -> Sequence[int]:
        """Return the indexes of the rows that pass one of the filters.

        :param names: names of filters. All issues are errors here, so ``warn`` and ``info`` select no row.
        """
        is_valid, is_invalid = "valid" in names, bool(names & {"invalid", "error"})
        if ALL in names or (is_valid and is_invalid):
            return range(len(self.rows))
        if is_valid:
            return self._valid_indexes
        return self._invalid_indexes if is_invalid else ()

    def build_page(self, offset: int, limit: int, filter_text: str) -> dict[str, Any]:
        """Return a page of rows.

        :param offset: number of rows to skip.
        :param limit: maximum number of rows.
        :param filter_text: the filter as sent.
        """
        indexes = self.select(parse_filter(filter_text))
        after = offset + limit
        return {
            "pagination": {
                "offset": offset,
                "limit": limit,
                "total": len(indexes),
                "next_offset": after if after < len(indexes) else None,
                "filter": filter_text,
            },
            "rows": [self._build_row(index) for index in indexes[offset:after]],
        }

    def build_stats(self) -> dict[str, Any]:
        """Return the numbers of rows and columns."""
        invalid = len(self._invalid_indexes)
        return {
            "rows": {"valid": len(self.rows) - invalid, "invalid": invalid, "total": len(self.rows)},
            "columns": {"total": len(self.columns)},
        }

    def build_template(self) -> dict[str, Any]:
        """Return the definition of the table."""
        return {"key": self.key, "name": make_name(self.key), "columns": build_definitions(self.columns)}

    def iterate_csv(self, names: frozenset[str]) -> Iterator[bytes]:
        """Return the CSV file in pieces: a header row with the column keys, then the rows.

        :param names: names of filters.
        """
        indexes = iter(self.select(names)[:MAX_DOWNLOAD_ROWS])
        rows = [self.columns]
        while rows:
            piece = io.StringIO(newline="")
            csv.writer(piece).writerows(rows)
            yield piece.getvalue().encode()
            some = islice(indexes, _ROWS_PER_CHUNK)
            rows = [[self.rows[index].get(column, "") for column in self.columns] for index in some]

    def _build_row(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        return {"index": index, "values": row, "validations": build_validations(row)}


def build_definitions(keys: Sequence[str]) -> list[dict[str, str]]:
    """Return the definitions of fields or columns. All of them are text.

    :param keys: their keys.
    """
    return [{"key": key, "name": make_name(key), "data_type": "string"} for key in keys]


def make_name(key: str) -> str:
    """Return the display name of a field, column or table.

    :param key: its key.
    """
    return key.replace("_", " ").capitalize()
