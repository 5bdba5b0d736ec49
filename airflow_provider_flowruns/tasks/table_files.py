"""Write the rows of a table to a file, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_flowruns.model.errors import UnexpectedResponseError
from airflow_provider_flowruns.services.catalog import TABLEFLOW
from airflow_provider_flowruns.services.parsing import describe_value
from airflow_provider_flowruns.services.tableflow_arguments import MAX_LIMIT
from airflow_provider_flowruns.tasks.json_lines import Written, collect_garbage_less_often, write_json_lines

if TYPE_CHECKING:
    from airflow_provider_flowruns.client.sync import SyncClient
    from airflow_provider_flowruns.model.calls import Pages, Request
    from airflow_provider_flowruns.model.extractions import TableRow

#: Number of rows in a row group of a Parquet file; one group is kept in memory.
_ROWS_PER_GROUP = 10_000


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """The rows of a table in a file.

    :param count: number of rows.
    :param size: number of bytes.
    :param columns: the columns, as the template lists them, else as they are in the first page of rows.
    """

    count: int
    size: int
    columns: tuple[str, ...]


def write_table(
    client: SyncClient,
    pages: Pages[TableRow],
    file: BinaryIO,
    *,
    file_format: str,
    columns: Sequence[str] = (),
    include_validations: bool = False,
) -> WrittenTable:
    """Read the rows of a table and write them to a file; the next page is requested while one is written.

    :param client: the connection's client.
    :param pages: the rows.
    :param file: an open binary file.
    :param file_format: ``jsonl`` or ``parquet``.
    :param columns: keys of the columns; none to find them in the first page of rows.
    :param include_validations: write each row as the service sends it instead of its values.
    :raises ApiError: there was no usable response; a Parquet file has no place for a row's unknown column.
    """
    with collect_garbage_less_often():
        rows = client.iterate_ahead(pages)
        first = list(islice(rows, MAX_LIMIT))
        names = tuple(columns) or tuple(dict.fromkeys(name for row in first for name in row.values))
        every = chain(first, rows)
        if file_format == "parquet":
            written = _write_parquet(every, names, file, pages.first.request)
        else:
            written = write_json_lines((row.to_record() if include_validations else row.values for row in every), file)
    return WrittenTable(written.count, written.size, names)


def _write_parquet(rows: Iterable[TableRow], columns: Sequence[str], file: BinaryIO, request: Request) -> Written:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = pyarrow.schema([(name, pyarrow.string()) for name in columns])
    count = 0
    remaining: Iterator[TableRow] = iter(rows)
    with ParquetWriter(file, schema) as writer:
        while group := list(islice(remaining, _ROWS_PER_GROUP)):
            writer.write_batch(_build_batch(group, schema, request))
            count += len(group)
    return Written(count, file.tell())


def _build_batch(rows: Sequence[TableRow], schema: Any, request: Request) -> Any:
    import pyarrow

    known = {*schema.names}
    for row in rows:
        if not row.values.keys() <= known:
            raise _build_column_error(row.index, row.values, known, request)
    arrays = [pyarrow.array([row.values.get(name) for row in rows], pyarrow.string()) for name in schema.names]
    return pyarrow.record_batch(arrays, schema=schema)


def _build_column_error(
    index: int, values: Mapping[str, Any], known: set[str], request: Request
) -> UnexpectedResponseError:
    unknown = describe_value(next(name for name in values if name not in known))
    return UnexpectedResponseError(
        TABLEFLOW.title,
        request.method,
        request.path,
        200,
        f"row {index} has the column {unknown}, which neither the template nor the first rows have",
        "format 'jsonl' takes rows of any columns",
    )
