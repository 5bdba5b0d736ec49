"""TableFlow's extractions: what their records and rows say, and that no key changes the shape of a request's path."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model.calls import Page
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.extractions import DownloadedFile, Extraction, TableRow
from airflow_provider_flowruns.model.runs import Disposition
from airflow_provider_flowruns.services import tableflow_extractions as api

MISSING = object()
ID = "uT2bJNWN75YPU95r"
VALUES = {"description": "Chair", "amount": "249.99"}
ROW: dict[str, Any] = {"index": 0, "values": VALUES, "validations": {}}
EXTRACTION: dict[str, Any] = {
    "id": ID,
    "workspace_id": "dk4g1tUg1uHLs8YU",
    "template_id": "JlLZVabDjYWzu7C9",
    "template_name": "Invoice Template",
    "file_name": "invoice.pdf",
    "file_size": 245872,
    "file_type": {"key": "document", "extension": "pdf", "mime_type": "application/pdf"},
    "status": "completed",
    "status_history": [
        {"status": "processing", "time": 1682366228, "message": "File uploaded"},
        {"status": "completed", "time": 1682366240, "message": "Extraction completed"},
    ],
    "data": {
        "fields": {
            "values": {"invoice_number": "INV-1", "total": "249.99"},
            "validations": {"total": [{"validation": "sum", "severity": "warn", "message": "differs"}]},
        },
        "tables": {"line_items": {"pagination": {"total": 250, "next_offset": 100}, "rows": [ROW]}},
    },
    "stats": {
        "fields": {"valid": 1, "invalid": 1, "total": 2},
        "tables": {"line_items": {"rows": {"valid": 240, "invalid": 10, "total": 250}, "columns": {"total": 2}}},
    },
    "template": {
        "fields": [{"key": "invoice_number", "name": "Invoice Number", "data_type": "string"}],
        "tables": [
            {
                "key": "line_items",
                "name": "Line Items",
                "columns": [
                    {"key": "description", "name": "Description", "data_type": "string"},
                    {"key": "amount", "name": "Amount", "data_type": "number"},
                ],
            }
        ],
    },
}
SUMMARY = {
    "extraction_id": ID,
    "workspace_id": "dk4g1tUg1uHLs8YU",
    "template_id": "JlLZVabDjYWzu7C9",
    "template_name": "Invoice Template",
    "file_name": "invoice.pdf",
    "file_size": 245872,
    "file_type": "application/pdf",
    "status": "completed",
    "status_history": [
        {"status": "processing", "time": "2023-04-24T19:57:08+00:00", "message": "File uploaded"},
        {"status": "completed", "time": "2023-04-24T19:57:20+00:00", "message": "Extraction completed"},
    ],
    "fields": {"invoice_number": "INV-1", "total": "249.99"},
    "field_validations": {"total": [{"validation": "sum", "severity": "warn", "message": "differs"}]},
    "field_counts": {"valid": 1, "invalid": 1, "total": 2},
    "tables": {
        "line_items": {
            "name": "Line Items",
            "columns": [
                {"key": "description", "name": "Description", "data_type": "string"},
                {"key": "amount", "name": "Amount", "data_type": "number"},
            ],
            "rows": {"valid": 240, "invalid": 10, "total": 250},
        }
    },
}

#: The same examples every time, and none that fails because a machine is busy.
examples = settings(deadline=None, derandomize=True, database=None, max_examples=50)


def read(**fields: object) -> Extraction:
    record = {name: value for name, value in {**EXTRACTION, **fields}.items() if value is not MISSING}
    return api.get_extraction(ID).read(record)


def read_page(body: Any, limit: int = 2) -> Page[TableRow]:
    return api.list_table_rows(ID, "line_items", limit=limit).first.read(body)


def rows(*indexes: int) -> list[dict[str, Any]]:
    return [{**ROW, "index": index} for index in indexes]


# -- extractions


def test_the_summary_has_everything_but_the_rows_and_is_plain_json() -> None:
    assert read().summary() == SUMMARY
    assert json.loads(json.dumps(SUMMARY)) == SUMMARY


def test_an_extraction_has_data_of_its_own_and_may_be_wrapped_nevertheless() -> None:
    assert api.get_extraction(ID).read({"data": EXTRACTION}) == read()


@pytest.mark.parametrize("body", [{**EXTRACTION, "id": "another"}, {"data": {"fields": {}}}, [], None, "text", {}])
def test_a_response_about_something_else_is_refused(body) -> None:
    with pytest.raises(ValueError, match=r"requested|expected"):
        api.get_extraction(ID).read(body)


@pytest.mark.parametrize(
    ("status", "disposition"),
    [
        ("completed", Disposition.SUCCEEDED),
        (" Completed", Disposition.SUCCEEDED),
        ("failed", Disposition.FAILED),
        ("processing", Disposition.NONE),
        ("a new word", Disposition.NONE),
        (None, Disposition.NONE),
        ({}, Disposition.NONE),
    ],
)
def test_only_a_completed_extraction_has_succeeded(status, disposition) -> None:
    assert read(status=status).disposition is disposition


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("pdf", "pdf"),
        ({"extension": "pdf"}, "pdf"),
        ({"key": "document"}, "document"),
        ({}, None),
        (None, None),
        (MISSING, None),
    ],
)
def test_a_file_type_is_an_object_or_a_text(value, text) -> None:
    assert read(file_type=value).file_type == text


@pytest.mark.parametrize("odd", [None, [], "", "text", 5, {}, MISSING])
@pytest.mark.parametrize("name", [*EXTRACTION])
def test_what_is_missing_or_of_another_type_hides_nothing_else(name, odd) -> None:
    if name == "id":
        return
    summary = read(**{name: odd}).summary()
    assert json.loads(json.dumps(summary)) == summary
    # What the statistics, the data and the template say complements each other.
    assert "line_items" in summary["tables"]
    others = {key for key in SUMMARY if key not in {name, "tables", "fields", "field_validations", "field_counts"}}
    assert {key: summary[key] for key in others} == {key: SUMMARY[key] for key in others}


@pytest.mark.parametrize(
    ("fields", "total"),
    [
        ({}, 250),
        ({"stats": None}, 250),  # from the pagination of the inline rows, never from their number
        ({"stats": {"tables": {"line_items": {"rows": {"total": 0}}}}}, 0),
        ({"stats": {"tables": {"line_items": {"rows": {"total": "12"}}}}}, 12),
        ({"stats": None, "data": {"tables": {"line_items": {"rows": [ROW]}}}}, None),
        ({"stats": {"tables": {"line_items": {"rows": {"total": -1}}}}, "data": None}, None),
        ({"stats": {"tables": {"line_items": {"rows": {"total": False}}}}, "data": None}, None),
        ({"stats": {"tables": {"line_items": {"rows": {"total": [1]}}}}, "data": None}, None),
    ],
)
def test_how_many_rows_a_table_has_is_known_or_not(fields, total) -> None:
    assert read(**fields).tables["line_items"].rows.total == total


def test_a_failed_extraction_says_why() -> None:
    history = [{"status": "failed", "time": 1682366240, "message": "Template not found"}]
    assert read(status="failed", status_history=history).message == "Template not found"
    assert read(status="failed", error="No pages").message == "No pages"
    assert read(status="failed", status_history=None).message is None


# -- rows


def test_rows_are_read_as_they_are_sent() -> None:
    page = read_page({"rows": [ROW], "pagination": {"next_offset": None}})
    assert [row.to_record() for row in page.items] == [ROW]
    assert page.next is None


def test_values_that_are_no_text_become_one() -> None:
    values = {"a": 1, "b": None, "c": True, "d": [1, "x"], "e": "text"}
    (row,) = read_page({"rows": [{**ROW, "values": values}]}).items
    assert row.values == {"a": "1", "b": None, "c": "true", "d": '[1,"x"]', "e": "text"}


@pytest.mark.parametrize(
    "row", [None, "text", [], {}, {"index": 1}, {**ROW, "values": None}, {**ROW, "index": None}, {**ROW, "index": True}]
)
def test_a_row_that_cannot_be_read_fails_the_page(row) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_page({"rows": [*rows(0), row]})


def test_two_rows_with_one_index_fail_the_page_because_one_would_be_left_out() -> None:
    with pytest.raises(ValueError, match="same"):
        read_page({"rows": rows(3, 3)})


@pytest.mark.parametrize("body", [None, {}, {"rows": None}, {"rows": {}}, "text"])
def test_a_page_without_a_list_is_refused(body) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_page(body)


@pytest.mark.parametrize(
    ("pagination", "following"),
    [
        ({"next_offset": 2}, "2"),
        ({"next_offset": 1}, "1"),
        ({"next_offset": None, "total": 2}, None),
        ({"next_offset": 0}, None),
        ({"next_offset": "2"}, None),
        ({"total": 90}, "2"),
        ({"total": 2}, None),
    ],
)
@pytest.mark.parametrize("is_nested", [True, False])
def test_pages_follow_the_next_offset_while_it_advances(pagination, following, is_nested) -> None:
    body = {"rows": rows(0, 1), **({"pagination": pagination} if is_nested else pagination)}
    page = read_page(body)
    assert (dict(page.next.request.query)["offset"] if page.next else None) == following


def test_a_page_that_is_shorter_than_the_next_offset_says_skips_no_row() -> None:
    body = {"rows": rows(0, 1), "pagination": {"next_offset": 100}}
    assert dict(read_page(body).next.request.query)["offset"] == "2"
    # What a filtered list counts is not documented.
    filtered = api.list_table_rows(ID, "line_items", "valid").first.read(body)
    assert dict(filtered.next.request.query)["offset"] == "100"


@pytest.mark.parametrize("found", [rows(0, 1), []])
def test_a_list_that_ends_before_its_total_is_an_error(found) -> None:
    with pytest.raises(ValueError, match=f"expected 90 rows, got a list that ends after {len(found)}"):
        read_page({"rows": found, "pagination": {"next_offset": None, "total": 90}})


def test_a_filtered_list_may_say_the_total_of_the_whole_table() -> None:
    page = api.list_table_rows(ID, "line_items", "invalid").first
    assert page.read({"rows": rows(4), "pagination": {"next_offset": None, "total": 90}}).next is None


def test_a_page_without_rows_is_the_last() -> None:
    assert read_page({"rows": [], "pagination": {"next_offset": 100}}).next is None


# -- anything


KEYS = ["id", "key", "name", "columns", "rows", "values", "index", "total", "tables", "fields", "line_items", "data"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.sampled_from(KEYS), inner),
    max_leaves=8,
)


def replaced(value: Any, choose: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """Return a JSON value with something else in one place."""
    if isinstance(value, dict | list) and value and choose(st.integers(0, 3)):
        place = choose(st.sampled_from([*value] if isinstance(value, dict) else range(len(value))))
        changed = dict(value) if isinstance(value, dict) else list(value)
        changed[place] = replaced(value[place], choose)
        return changed
    return choose(JSON)


@examples
@given(data=st.data())
def test_any_extraction_is_read_as_plain_json_or_refused(data) -> None:
    record = replaced(EXTRACTION, data.draw)
    try:
        extraction = api.get_extraction(ID).read(record)
    except ValueError:
        return
    assert extraction.extraction_id == ID
    assert json.loads(json.dumps(extraction.summary())) == extraction.summary()
    is_completed = isinstance(record.get("status"), str) and record["status"].strip().lower() == "completed"
    assert (extraction.disposition is Disposition.SUCCEEDED) == is_completed


@examples
@given(data=st.data())
def test_any_page_of_rows_is_read_whole_or_refused(data) -> None:
    body = replaced({"pagination": {"next_offset": 2, "total": 4}, "rows": rows(0, 1)}, data.draw)
    try:
        page = read_page(body)
    except ValueError:
        return
    sent = body if isinstance(body, list) else body["rows"] if isinstance(body.get("rows"), list) else body["data"]
    assert [(row.index, row.values.keys()) for row in page.items] == [
        (row["index"], row["values"].keys()) for row in sent
    ]
    assert all(value is None or type(value) is str for row in page.items for value in row.values.values())


# -- arguments

TABLE_CALLS: list[Callable[..., Any]] = [
    lambda **arguments: api.list_table_rows(**{"extraction_id": ID, "table": "t", **arguments}).first,
    lambda **arguments: api.download_table(**{"extraction_id": ID, "table": "t", **arguments}),
]


@pytest.mark.parametrize("call", TABLE_CALLS)
def test_a_table_leads_to_the_documented_path(call) -> None:
    assert call(table=" line_items\n").request.path.startswith(f"/v2/extractions/{ID}/tables/line_items/")
    assert "/tables/Gr%C3%B6%C3%9Fe%20%26%20Co./" in call(table="Größe & Co.").request.path


ODD_TABLES = [
    "", " ", ".", "..", "...", "a/b", "/", "../x", "a\\b", "a?x=1", "a#b", "a;b", "%2e%2e", "a%2fb", "a\nb", "a\0b",
    "a\r\nX-Injected: 1", "None", "a" * 201, "\ud800", "a\u2028b", None, 5, True, b"line_items", ["line_items"],
]  # fmt: skip


@pytest.mark.parametrize("call", TABLE_CALLS)
@pytest.mark.parametrize("table", ODD_TABLES, ids=ascii)
def test_a_table_that_could_change_the_path_is_refused_by_name(call, table) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: table must look like line_items"):
        call(table=table)


@pytest.mark.parametrize("call", TABLE_CALLS)
@examples
@given(table=st.text(max_size=24) | st.text(alphabet="abc./%?#&=\\ \n٣é", max_size=24))
def test_any_table_fits_into_its_segment_or_is_refused(call, table) -> None:
    try:
        request = call(table=table).request
    except InvalidArgumentError:
        return
    assert re.fullmatch(rf"/v2/extractions/{ID}/tables/(?!\.+/)[\w.~%-]+/(rows|download)", request.path, re.ASCII)


@pytest.mark.parametrize("call", TABLE_CALLS)
@pytest.mark.parametrize(
    ("value", "sent"),
    [("all", "all"), ("Valid", "valid"), ("error, warn", "error,warn"), ("invalid,info", "invalid,info")],
)
def test_a_filter_is_one_of_the_documented_words_or_several(call, value, sent) -> None:
    assert dict(call(filter=value).request.query)["filter"] == sent


@pytest.mark.parametrize("call", TABLE_CALLS)
@pytest.mark.parametrize("value", ["", "everything", "valid,", ",", "valid;invalid", "all&x=1", None, 5, ["all"]])
def test_any_other_filter_is_refused_by_name(call, value) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: filter must be all, valid, invalid"):
        call(filter=value)


@pytest.mark.parametrize("limit", [0, 1001, "ten", None])
def test_a_page_has_at_most_1000_rows(limit) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: limit must"):
        api.list_table_rows(ID, "line_items", limit=limit)


def test_a_file_is_asked_for_as_what_it_is() -> None:
    assert api.download_table(ID, "line_items").request.accept == "text/csv"
    original = api.download_original(ID).request
    assert (original.path, original.accept) == (f"/v2/extractions/{ID}/download-original", "*/*")


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="invoice 1.pdf"', "invoice 1.pdf"),
        ("attachment; filename=invoice.pdf", "invoice.pdf"),
        ("attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe.csv", "Größe.csv"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        (r'attachment; filename="C:\\folder\\x.csv"', "x.csv"),
        ("attachment", None),
        ("", None),
        (None, None),
    ],
)
def test_a_download_says_its_name_and_type(disposition, name) -> None:
    headers = {} if disposition is None else {"content-disposition": disposition}
    file = api.describe_file({**headers, "content-type": "Text/CSV; charset=utf-8"}, 5)
    assert file == DownloadedFile(5, name, "text/csv")
    assert api.describe_file({}, 0) == DownloadedFile(0)
