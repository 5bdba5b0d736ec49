"""The hook reads extractions, rows and files: documented requests out, typed records and bytes in."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests_mock

from airflow_provider_flowruns.exceptions import InvalidArgumentError, NotFoundError, UnexpectedResponseError
from airflow_provider_flowruns.hooks.tableflow import TableFlowHook
from airflow_provider_flowruns.model.extractions import DownloadedFile

TOKEN = "made-up-token-0123456789"
ID = "uT2bJNWN75YPU95r"
URL = f"https://api.tableflow.com/v2/extractions/{ID}"
EXTRACTION = {"id": ID, "status": "completed", "file_name": "invoice.pdf"}


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[requests_mock.Mocker]:
    monkeypatch.setenv("AIRFLOW_CONN_TABLEFLOW_DEFAULT", json.dumps({"conn_type": "tableflow", "password": TOKEN}))
    with requests_mock.Mocker() as mocker:
        yield mocker


def page(*indexes: int, **pagination: Any) -> dict[str, Any]:
    rows = [{"index": index, "values": {"n": str(index)}, "validations": {}} for index in indexes]
    return {"rows": rows, "pagination": pagination}


def test_an_extraction_is_read_by_its_id(wire) -> None:
    wire.get(URL, json=EXTRACTION)
    with TableFlowHook() as hook:
        extraction = hook.get_extraction(ID)
    assert (extraction.extraction_id, extraction.file_name) == (ID, "invoice.pdf")
    assert wire.last_request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_rows_are_read_page_by_page_and_a_row_that_comes_twice_once(wire) -> None:
    pages = [page(0, 1, next_offset=2), page(1, 2, next_offset=4), page(3, next_offset=None)]
    wire.get(f"{URL}/tables/line_items/rows", [{"json": one} for one in pages])
    with TableFlowHook() as hook:
        rows = list(hook.iterate_table_rows(ID, "line_items", filter="valid", limit=2))
    assert [row.values["n"] for row in rows] == ["0", "1", "2", "3"]
    assert [request.qs for request in wire.request_history] == [
        {"offset": [offset], "limit": ["2"], "filter": ["valid"]} for offset in ("0", "2", "4")
    ]


def test_a_row_that_cannot_be_read_is_an_error_and_none_is_left_out(wire) -> None:
    wire.get(f"{URL}/tables/line_items/rows", json={"rows": [*page(0)["rows"], {"index": 1}]})
    with TableFlowHook() as hook, pytest.raises(UnexpectedResponseError, match="row with an object of values"):
        list(hook.iterate_table_rows(ID, "line_items"))


def test_a_table_is_written_to_a_file_as_it_arrives(wire) -> None:
    headers = {"Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="line_items.csv"'}
    wire.get(f"{URL}/tables/line_items/download", content=b"n\n0\n", headers=headers)
    file = io.BytesIO()
    with TableFlowHook() as hook:
        written = hook.download_table(ID, "line_items", file, filter="invalid")
    assert file.getvalue() == b"n\n0\n"
    assert written == DownloadedFile(4, "line_items.csv", "text/csv")
    assert wire.last_request.qs == {"filter": ["invalid"]}
    assert wire.last_request.headers["Accept"] == "text/csv"


def test_a_document_is_written_to_a_file(wire) -> None:
    wire.get(f"{URL}/download-original", content=b"%PDF", headers={"Content-Type": "application/pdf"})
    file = io.BytesIO()
    with TableFlowHook() as hook:
        assert hook.download_original(ID, file) == DownloadedFile(4, None, "application/pdf")
    assert file.getvalue() == b"%PDF"


def test_an_unknown_extraction_is_an_error_and_writes_nothing(wire) -> None:
    wire.get(requests_mock.ANY, status_code=404, json={"error": "Not Found", "message": "There is no such extraction"})
    file = io.BytesIO()
    with TableFlowHook() as hook:
        for read in (
            lambda: hook.get_extraction(ID),
            lambda: next(hook.iterate_table_rows(ID, "line_items")),
            lambda: hook.download_table(ID, "line_items", file),
            lambda: hook.download_original(ID, file),
        ):
            with pytest.raises(NotFoundError, match="no such extraction"):
                read()
    assert file.getvalue() == b""


def test_a_wrong_argument_is_refused_before_any_request(wire) -> None:
    file = io.BytesIO()
    with TableFlowHook() as hook:
        for read, named in (
            (lambda: hook.get_extraction("../x"), "extraction_id"),
            (lambda: hook.iterate_table_rows(ID, "a/b"), "table"),
            (lambda: hook.download_table(ID, "line_items", file, filter="every"), "filter"),
            (lambda: hook.download_original("", file), "extraction_id"),
        ):
            with pytest.raises(InvalidArgumentError, match=named):
                read()
    assert not wire.called
