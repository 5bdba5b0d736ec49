"""The operators on extractions: what a document contained into XCom or into a file that is never half."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import requests_mock
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_flowruns.exceptions import (
    EmptyTable,
    ExtractionFailed,
    ExtractionNotReady,
    InvalidArgumentError,
    InvalidRequestError,
    NotFoundError,
    ResultTooLarge,
    ServiceConnectionError,
    TableNotFound,
    UnexpectedResponseError,
)
from airflow_provider_flowruns.operators import extraction_data, tableflow_extractions
from airflow_provider_flowruns.operators.tableflow import (
    TableFlowDownloadOriginalOperator,
    TableFlowDownloadTableOperator,
    TableFlowGetExtractionOperator,
    TableFlowGetTableRowsOperator,
)
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.task_modes import task_context

ID = "uT2bJNWN75YPU95r"
URL = f"https://api.tableflow.com/v2/extractions/{ID}"
ROWS = [
    {"description": "Chair", "amount": "249.99"},
    {"description": "", "amount": "119.90"},
    {"description": "Größe\n\"L\", 'x'", "amount": "1"},
]
OPERATORS = [
    TableFlowGetExtractionOperator,
    TableFlowGetTableRowsOperator,
    TableFlowDownloadTableOperator,
    TableFlowDownloadOriginalOperator,
]
#: The operators that read a table's rows into a file.
INTO_FILES = [TableFlowGetTableRowsOperator, TableFlowDownloadTableOperator]
into_files = pytest.mark.parametrize("operator", INTO_FILES, ids=lambda operator: operator.__name__)
every_operator = pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[requests_mock.Mocker]:
    connection = {"conn_type": "tableflow", "password": "made-up-token-0123456789"}
    monkeypatch.setenv("AIRFLOW_CONN_TABLEFLOW_DEFAULT", json.dumps(connection))
    with requests_mock.Mocker() as mocker:
        yield mocker


def extract(sandbox: Sandbox, rows: Any = ROWS, **options: Any) -> str:
    """Return the id of an extraction with a table of these rows."""
    run = sandbox.tableflow.add_flow().add_run(**{"ago": 100.0, "tables": {"line_items": rows}, **options})
    (extraction_id,) = run.attempts[-1].extraction_ids.values()
    return extraction_id


def many(count: int) -> list[dict[str, str]]:
    return [{"n": str(number), "text": "x" * 50} for number in range(count)]


def make(operator: Any, extraction_id: str = ID, path: Any = None, **arguments: Any) -> Any:
    if issubclass(operator, tableflow_extractions.TableOperator):
        arguments = {"table": "line_items", **arguments}
    if path is not None or operator in {TableFlowDownloadTableOperator, TableFlowDownloadOriginalOperator}:
        arguments["output_path"] = "/tmp/never" if path is None else str(path)
    return operator(task_id="read", extraction_id=extraction_id, **arguments)


def read(task: Any, context: Any = None) -> Any:
    return task.execute(context or task_context())


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


# -- what was found


def test_an_extraction_comes_with_its_fields_and_the_sizes_of_its_tables(sandbox) -> None:
    extraction_id = extract(sandbox, fields={"invoice_number": "INV-1", "due": ""})
    summary = read(make(TableFlowGetExtractionOperator, extraction_id))
    assert json.loads(json.dumps(summary)) == summary
    assert summary["fields"] == {"invoice_number": "INV-1", "due": ""}
    assert list(summary["field_validations"]) == ["due"]
    assert summary["field_counts"] == {"valid": 1, "invalid": 1, "total": 2}
    assert summary["tables"]["line_items"]["rows"] == {"valid": 2, "invalid": 1, "total": 3}
    assert [column["key"] for column in summary["tables"]["line_items"]["columns"]] == ["description", "amount"]


def test_an_extraction_that_is_too_large_for_xcom_says_so(sandbox, monkeypatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWRUNS__MAX_XCOM_BYTES", "100")
    with pytest.raises(ResultTooLarge, match="get_extraction"):
        read(make(TableFlowGetExtractionOperator, extract(sandbox)))


@pytest.mark.parametrize("operator", OPERATORS[:3])
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"ago": 0.0, "running": 3600.0}, ExtractionNotReady, "is processing.*wait for the flow run"),
        ({"outcome": "FAILED", "errors": ["Template not found"]}, ExtractionFailed, "failed: Template not found"),
    ],
)
def test_data_that_is_not_there_is_an_error_before_any_row_is_read(
    sandbox, tmp_path, operator, options, error, text
) -> None:
    task = make(operator, extract(sandbox, **options), tmp_path / "rows" if operator in INTO_FILES else None)
    with pytest.raises(error, match=text):
        read(task)
    assert os.listdir(tmp_path) == []
    assert len(sandbox.ledger.requests) == 1


@into_files
def test_an_unknown_table_is_an_error_that_lists_the_others(sandbox, tmp_path, operator) -> None:
    extraction_id = extract(sandbox, tables={"line_items": ROWS, "taxes": ROWS})
    with pytest.raises(TableNotFound, match=r"no table 'lines'; it has: line_items, taxes"):
        read(make(operator, extraction_id, tmp_path / "rows", table="lines"))
    assert os.listdir(tmp_path) == []


@every_operator
def test_an_unknown_extraction_is_an_error(sandbox, tmp_path, operator) -> None:
    path = tmp_path / "file" if operator is not TableFlowGetExtractionOperator else None
    with pytest.raises(NotFoundError, match="no such extraction"):
        read(make(operator, ID, path))
    assert os.listdir(tmp_path) == []


# -- rows


def test_rows_are_objects_of_texts(sandbox) -> None:
    rows = read(make(TableFlowGetTableRowsOperator, extract(sandbox)))
    assert rows == ROWS
    assert json.loads(json.dumps(rows)) == rows


def test_validations_come_on_request(sandbox) -> None:
    task = make(TableFlowGetTableRowsOperator, extract(sandbox), filter="invalid", include_validations=True)
    (row,) = read(task)
    assert (row["index"], row["values"], list(row["validations"])) == (1, ROWS[1], ["description"])


@pytest.mark.parametrize(("words", "count"), [("all", 3), ("valid", 2), ("invalid", 1), ("valid,invalid", 3)])
def test_a_filter_selects_rows_for_xcom_and_files_alike(sandbox, tmp_path, words, count) -> None:
    extraction_id = extract(sandbox)
    assert len(read(make(TableFlowGetTableRowsOperator, extraction_id, filter=words))) == count
    for operator in INTO_FILES:
        assert read(make(operator, extraction_id, tmp_path / "rows", filter=words))["count"] == count


def test_rows_of_many_pages_are_written_as_json_lines(sandbox, tmp_path) -> None:
    extraction_id, path = extract(sandbox, many(2_500)), tmp_path / "a" / "rows.jsonl"
    manifest = read(make(TableFlowGetTableRowsOperator, extraction_id, path))
    assert lines_of(path) == many(2_500)
    assert manifest == {
        "path": str(path),
        "count": 2_500,
        "bytes": path.stat().st_size,
        "extraction_id": extraction_id,
        "table": "line_items",
        "columns": ["n", "text"],
        "format": "jsonl",
    }
    assert len(sandbox.ledger.requests) == 4


def test_lines_may_have_their_validations(sandbox, tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    read(make(TableFlowGetTableRowsOperator, extract(sandbox), path, include_validations=True))
    assert [line["index"] for line in lines_of(path)] == [0, 1, 2]
    assert [line["values"] for line in lines_of(path)] == ROWS


def test_rows_of_many_pages_are_written_as_parquet(sandbox, tmp_path) -> None:
    path = tmp_path / "rows.parquet"
    manifest = read(make(TableFlowGetTableRowsOperator, extract(sandbox, many(2_500)), path, format="parquet"))
    table = pyarrow.parquet.read_table(path)
    assert table.to_pylist() == many(2_500)
    assert {str(field.type) for field in table.schema} == {"string"}
    assert (manifest["count"], manifest["bytes"], manifest["format"]) == (2_500, path.stat().st_size, "parquet")


@pytest.mark.parametrize("operator", INTO_FILES)
@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_a_file_can_go_to_any_object_storage(sandbox, memory_storage, operator, file_format) -> None:
    more = {"format": file_format} if operator is TableFlowGetTableRowsOperator else {}
    manifest = read(make(operator, extract(sandbox), "memory://bucket/rows", **more))
    assert [name.rpartition("/")[2] for name in memory_storage.ls("/bucket", detail=False)] == ["rows"]
    assert len(memory_storage.cat_file("/bucket/rows")) == manifest["bytes"]


def test_rows_that_are_too_large_for_xcom_name_the_way_out(sandbox, monkeypatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWRUNS__MAX_XCOM_BYTES", "4000")
    with pytest.raises(ResultTooLarge, match="output_path"):
        read(make(TableFlowGetTableRowsOperator, extract(sandbox, many(9_000))))
    # The extraction, and the page after the first may have been requested.
    assert len(sandbox.ledger.requests) <= 3


def page(*rows: Any, **pagination: Any) -> dict[str, Any]:
    values = [{"index": index, "values": row} if isinstance(row, dict) else row for index, row in enumerate(rows)]
    return {"rows": values, "pagination": pagination}


def serve(wire: requests_mock.Mocker, *, total: int | None = 2, columns: Any = None, **fields: Any) -> None:
    """Serve a completed extraction with a table of this size."""
    tables = {"line_items": {"rows": {"total": total}}}
    template = {"tables": [{"key": "line_items", "columns": columns}]}
    wire.get(URL, json={"id": ID, "status": "completed", "stats": {"tables": tables}, "template": template, **fields})


def test_without_a_template_the_first_page_says_the_columns(wire, tmp_path) -> None:
    serve(wire)
    wire.get(f"{URL}/tables/line_items/rows", json=page({"a": "1"}, {"b": "2", "a": None}))
    for file_format, expected in (("jsonl", None), ("parquet", [{"a": "1", "b": None}, {"a": None, "b": "2"}])):
        path = tmp_path / file_format
        assert read(make(TableFlowGetTableRowsOperator, ID, path, format=file_format))["columns"] == ["a", "b"]
        assert expected is None or pyarrow.parquet.read_table(path).to_pylist() == expected


@pytest.mark.parametrize("columns", [[{"key": "a"}], None])
def test_a_row_with_an_unknown_column_is_an_error_and_no_parquet_file(wire, tmp_path, columns) -> None:
    serve(wire, total=1_002, columns=columns)
    first = page(*[{"a": str(number)} for number in range(1_000)], next_offset=1_000)
    second = {"rows": [{"index": 1_000, "values": {"a": "1"}}, {"index": 1_001, "values": {"a": "1", "b": "2"}}]}
    wire.get(f"{URL}/tables/line_items/rows", [{"json": first}, {"json": second}])
    with pytest.raises(UnexpectedResponseError, match=r"row 1001 has the column 'b'.*jsonl"):
        read(make(TableFlowGetTableRowsOperator, ID, tmp_path / "rows.parquet", format="parquet"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("odd", [None, {"index": 7}, "text"])
@pytest.mark.parametrize("path", [None, "rows.jsonl"])
def test_a_row_that_cannot_be_read_fails_the_task(wire, tmp_path, odd, path) -> None:
    serve(wire)
    rows = page({"a": "1"})
    wire.get(f"{URL}/tables/line_items/rows", json={"rows": [*rows["rows"], odd]})
    with pytest.raises(UnexpectedResponseError, match="expected"):
        read(make(TableFlowGetTableRowsOperator, ID, path and tmp_path / path))
    assert os.listdir(tmp_path) == []


def test_a_list_of_rows_that_ends_early_fails_the_task(wire, tmp_path) -> None:
    serve(wire, total=3)
    wire.get(f"{URL}/tables/line_items/rows", json=page({"a": "1"}, {"a": "2"}, total=3, next_offset=None))
    with pytest.raises(UnexpectedResponseError, match="expected 3 rows, got a list that ends after 2"):
        read(make(TableFlowGetTableRowsOperator, ID, tmp_path / "rows.jsonl"))
    assert os.listdir(tmp_path) == []


def test_parquet_without_pyarrow_is_an_error_before_any_request(wire, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InvalidArgumentError, match=r"airflow-provider-flowruns\[parquet\]"):
        read(make(TableFlowGetTableRowsOperator, ID, tmp_path / "rows", format="parquet"))
    assert not wire.called


# -- empty tables


@into_files
@pytest.mark.parametrize(
    ("on_empty", "error"), [("fail", EmptyTable), ("skip", AirflowSkipException), ("succeed", None)]
)
def test_an_empty_table_fails_skips_or_succeeds(sandbox, tmp_path, operator, on_empty, error) -> None:
    task = make(operator, extract(sandbox, []), tmp_path / "rows", on_empty=on_empty)
    if error:
        with pytest.raises(error, match=r"line_items.*has no rows"):
            read(task)
        assert os.listdir(tmp_path) == []
    else:
        assert read(task)["count"] == 0
        assert os.listdir(tmp_path) == ["rows"]


@pytest.mark.parametrize("on_empty", ["fail", "skip"])
def test_an_empty_table_whose_size_is_unknown_is_found_empty_when_it_is_read(wire, tmp_path, on_empty) -> None:
    serve(wire, total=None)
    wire.get(f"{URL}/tables/line_items/rows", json=page())
    wire.get(f"{URL}/tables/line_items/download", text="a,b\n")
    for operator, path in (
        (TableFlowGetTableRowsOperator, None),
        (TableFlowGetTableRowsOperator, tmp_path / "rows"),
        (TableFlowDownloadTableOperator, tmp_path / "rows"),
    ):
        with pytest.raises((EmptyTable, AirflowSkipException), match="has no rows"):
            read(make(operator, ID, path, on_empty=on_empty))
        assert read(make(operator, ID, path, filter="invalid")) == [] or path
        (tmp_path / "rows").unlink(missing_ok=True)
    assert os.listdir(tmp_path) == []


def test_no_columns_and_no_rows_are_a_parquet_file_nevertheless(wire, tmp_path) -> None:
    serve(wire, total=0)
    wire.get(f"{URL}/tables/line_items/rows", json=page())
    path = tmp_path / "rows.parquet"
    read(make(TableFlowGetTableRowsOperator, ID, path, format="parquet", on_empty="succeed"))
    assert pyarrow.parquet.read_table(path).num_rows == 0


@into_files
def test_a_filter_that_leaves_no_row_is_no_error(sandbox, tmp_path, operator) -> None:
    assert read(make(operator, extract(sandbox), tmp_path / "rows", filter="warn"))["count"] == 0


# -- CSV


def test_a_table_is_downloaded_as_csv(sandbox, tmp_path) -> None:
    extraction_id, path = extract(sandbox), tmp_path / "rows.csv"
    manifest = read(make(TableFlowDownloadTableOperator, extraction_id, path))
    assert path.read_bytes().startswith(b"description,amount\r\n")
    assert manifest == {
        "path": str(path),
        "count": 3,
        "bytes": path.stat().st_size,
        "extraction_id": extraction_id,
        "table": "line_items",
        "format": "csv",
    }


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('a,b\n1,"x\n', "ends within a value, after 1 row"),
        ("a,b\n1,2\n", "has 1 row, and the table 2"),
        ("a,b\n1,2\n3,4\n5,6", "has 3 rows, and the table 2"),
        ("", "has 0 rows, and the table 2"),
    ],
)
def test_a_csv_that_is_not_whole_is_an_error_and_not_kept(wire, tmp_path, body, text) -> None:
    serve(wire)
    wire.get(f"{URL}/tables/line_items/download", text=body)
    with pytest.raises(UnexpectedResponseError, match=text):
        read(make(TableFlowDownloadTableOperator, ID, tmp_path / "rows.csv"))
    assert os.listdir(tmp_path) == []


def test_a_page_in_place_of_a_csv_is_an_error(wire, tmp_path) -> None:
    serve(wire)
    headers = {"Content-Type": "text/html; charset=utf-8"}
    wire.get(f"{URL}/tables/line_items/download", text="<html>\n\n", headers=headers)
    with pytest.raises(UnexpectedResponseError, match="text/html instead of CSV"):
        read(make(TableFlowDownloadTableOperator, ID, tmp_path / "rows.csv", filter="valid"))
    assert os.listdir(tmp_path) == []


def test_more_rows_than_a_csv_takes_are_an_error_that_names_the_other_operator(wire, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(extraction_data, "MAX_CSV_ROWS", 2)
    serve(wire, total=3)
    wire.get(f"{URL}/tables/line_items/download", text="a,b\n1,2\n3,4\n")
    with pytest.raises(InvalidArgumentError, match="TableFlowGetTableRowsOperator"):
        read(make(TableFlowDownloadTableOperator, ID, tmp_path / "rows.csv"))
    with pytest.raises(UnexpectedResponseError, match="others may be missing"):
        read(make(TableFlowDownloadTableOperator, ID, tmp_path / "rows.csv", filter="valid"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("operator", [TableFlowDownloadTableOperator, TableFlowDownloadOriginalOperator])
def test_a_connection_that_ends_early_is_an_error_and_leaves_no_file(sandbox, tmp_path, operator) -> None:
    extraction_id = extract(sandbox)
    sandbox.faults.add("truncated", after=1)
    with pytest.raises(ServiceConnectionError, match="ended early"):
        read(make(operator, extraction_id, tmp_path / "file"))
    assert os.listdir(tmp_path) == []


# -- documents


def test_a_document_is_downloaded_as_it_was_uploaded(sandbox, tmp_path) -> None:
    path = tmp_path / "document.pdf"
    manifest = read(make(TableFlowDownloadOriginalOperator, extract(sandbox), path))
    assert path.read_bytes().startswith(b"%PDF")
    assert manifest == {
        "path": str(path),
        "bytes": path.stat().st_size,
        "file_name": "document.pdf",
        "content_type": "application/pdf",
    }


def test_a_document_can_be_had_whatever_became_of_its_extraction(sandbox, tmp_path) -> None:
    path = tmp_path / "document.pdf"
    read(make(TableFlowDownloadOriginalOperator, extract(sandbox, outcome="FAILED"), path))
    assert path.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(("size", "fits"), [(4, True), (None, True), (3, False), (5, False)])
def test_a_document_of_another_size_is_an_error_and_not_kept(wire, tmp_path, size, fits) -> None:
    serve(wire, file_size=size)
    wire.get(f"{URL}/download-original", content=b"%PDF", headers={"Content-Disposition": "attachment; filename=x.pdf"})
    task = make(TableFlowDownloadOriginalOperator, ID, tmp_path / "x")
    if fits:
        assert read(task)["file_name"] == "x.pdf"
    else:
        with pytest.raises(UnexpectedResponseError, match=f"4 bytes of {size}"):
            read(task)
        assert os.listdir(tmp_path) == []


# -- never half


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    path = tmp_path / "rows"
    path.write_text("an earlier one")
    return path


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_a_fault_in_the_middle_leaves_the_earlier_file_as_it_was(sandbox, earlier, file_format) -> None:
    extraction_id = extract(sandbox, many(3_500))
    fault = sandbox.faults.add("status", status=400, after=3)
    with pytest.raises(InvalidRequestError):
        read(make(TableFlowGetTableRowsOperator, extraction_id, earlier, format=file_format))
    assert fault.hits == 1
    assert os.listdir(earlier.parent) == [earlier.name]
    assert earlier.read_text() == "an earlier one"


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_a_killed_task_leaves_nothing_and_its_retry_overwrites(sandbox, earlier, file_format) -> None:
    extraction_id = extract(sandbox, many(3_500))
    fault = sandbox.faults.add("hang", seconds=30, after=3)
    task = make(TableFlowGetTableRowsOperator, extraction_id, earlier, format=file_format)
    was_there: list[str] = []

    def kill() -> None:
        while not fault.hits or len(os.listdir(earlier.parent)) < 2:
            time.sleep(0.01)
        was_there.extend(os.listdir(earlier.parent))
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: task.on_kill())
    try:
        threading.Thread(target=kill, daemon=True).start()
        with pytest.raises(SystemExit):
            read(task)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(was_there) == 2
    assert os.listdir(earlier.parent) == [earlier.name]
    assert earlier.read_text() == "an earlier one"
    sandbox.faults.clear()
    assert read(task, task_context(try_number=2))["count"] == 3_500
    assert os.listdir(earlier.parent) == [earlier.name]


# -- arguments

WRONG: list[tuple[type, dict[str, Any], str]] = [
    *[(operator, {"extraction_id": value}, "extraction_id") for operator in OPERATORS for value in ("../x", "", None)],
    *[(operator, {"table": value}, "table") for operator in INTO_FILES for value in ("a/b", "..", "", None)],
    *[(operator, {"filter": value}, "filter") for operator in INTO_FILES for value in ("every", "", None)],
    *[(operator, {"on_empty": "ignore"}, "on_empty") for operator in INTO_FILES],
    *[(operator, {"path": value}, "output_path") for operator in OPERATORS[1:] for value in ("", " ", "s3://b/f/")],
    (TableFlowGetTableRowsOperator, {"format": "csv", "path": "x"}, "format"),
    (TableFlowGetTableRowsOperator, {"format": "parquet"}, "output_path"),
    (TableFlowGetTableRowsOperator, {"include_validations": "yes"}, "include_validations"),
    (TableFlowGetTableRowsOperator, {"format": "parquet", "path": "x", "include_validations": True}, "jsonl"),
]


@pytest.mark.parametrize(("operator", "arguments", "named"), WRONG)
def test_a_wrong_argument_breaks_the_dag_file(operator, arguments, named) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        make(operator, **arguments)


@pytest.mark.parametrize("operator", OPERATORS[1:])
@pytest.mark.parametrize("rendered", ["", "None", None])
def test_a_path_that_rendered_to_nothing_is_refused_before_any_request(wire, operator, rendered) -> None:
    task = make(operator, ID, "{{ params.path }}")
    task.output_path = rendered
    with pytest.raises(InvalidArgumentError, match="output_path"):
        read(task)
    assert not wire.called


@pytest.mark.parametrize("operator", OPERATORS[1:])
def test_a_folder_is_no_output_path(wire, tmp_path, operator) -> None:
    with pytest.raises(InvalidArgumentError, match="directory"):
        read(make(operator, ID, tmp_path))
    assert not wire.called
    assert os.listdir(tmp_path) == []


@into_files
@pytest.mark.parametrize(("name", "rendered"), [("table", "a/b"), ("filter", "every"), ("extraction_id", "../x")])
def test_what_a_template_rendered_to_is_checked_before_any_request(wire, tmp_path, operator, name, rendered) -> None:
    task = make(operator, path=tmp_path / "rows", **{name: "{{ params.value }}"})
    setattr(task, name, rendered)
    with pytest.raises(InvalidArgumentError, match=name):
        read(task)
    assert not wire.called
    assert os.listdir(tmp_path) == []
