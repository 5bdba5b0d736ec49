"""The sandbox's TableFlow extractions."""

from __future__ import annotations

import csv
import gc
import io
import tracemalloc

import pytest
import requests

from airflow_provider_flowruns.sandbox import tableflow_tables
from airflow_provider_flowruns.sandbox.tableflow_forms import MAX_KEPT_FILE_BYTES

ERROR_KEYS = {"error", "message"}
TABLES = {
    "line_items": [{"sku": f"A{number}", "quantity": "" if number % 3 == 2 else str(number)} for number in range(250)],
    "totals": [],
}


@pytest.fixture
def tableflow(call):
    def send(path, method="GET", **options):
        return call("tableflow", method, path, **options)

    return send


@pytest.fixture
def flow(sandbox):
    return sandbox.tableflow.add_flow(name="Invoices")


@pytest.fixture
def run(flow):
    return flow.add_run(ago=60, tables=TABLES, fields={"number": "INV-7", "due": ""})


def get_extraction_id(run, step_id="step_1"):
    return run.attempts[-1].extraction_ids[step_id]


def upload(tableflow, flow, content, filename="invoice.pdf", content_type="application/pdf"):
    files = {"document": (filename, content, content_type)}
    tableflow(f"/v2/flows/{flow.id}/run", "POST", files=files)
    return flow.runs[-1]


def test_the_output_of_a_step_names_its_extraction(tableflow, run):
    (step, _) = tableflow(f"/v2/flows/runs/{run.id}").json()["steps"]
    extraction_id = step["output"]["extraction_id"]
    assert len(extraction_id) == 16
    assert tableflow(f"/v2/extractions/{extraction_id}").json()["id"] == extraction_id


def test_an_extraction_has_its_data_and_only_the_first_page_of_each_table(sandbox, tableflow, run, clock):
    row = tableflow(f"/v2/extractions/{get_extraction_id(run)}").json()
    assert row["workspace_id"] == sandbox.tableflow.workspace_id
    assert (row["status"], row["template_name"]) == ("completed", "Read document")
    assert [entry["status"] for entry in row["status_history"]] == ["processing", "completed"]
    assert [entry["time"] for entry in row["status_history"]] == [int(clock.now) - 60, int(clock.now) - 59]
    assert row["file_type"] == {"key": "document", "extension": "pdf", "mime_type": "application/pdf"}
    fields = row["data"]["fields"]
    assert fields["values"] == {"number": "INV-7", "due": ""}
    assert {key: issues[0]["severity"] for key, issues in fields["validations"].items()} == {"due": "error"}
    table = row["data"]["tables"]["line_items"]
    assert table["pagination"] == {"offset": 0, "limit": 100, "total": 250, "next_offset": 100, "filter": "all"}
    assert len(table["rows"]) == 100
    assert table["rows"][2]["values"] == {"sku": "A2", "quantity": ""}
    assert table["rows"][2]["validations"]["quantity"][0].keys() == {"validation", "severity", "message"}
    assert row["data"]["tables"]["totals"]["rows"] == []
    assert row["stats"]["fields"] == {"valid": 1, "invalid": 1, "total": 2}
    stats = row["stats"]["tables"]["line_items"]
    assert stats == {"rows": {"valid": 167, "invalid": 83, "total": 250}, "columns": {"total": 2}}
    (items, totals) = row["template"]["tables"]
    assert [column["key"] for column in items["columns"]] == ["sku", "quantity"]
    assert totals["key"] == "totals"
    assert [field["key"] for field in row["template"]["fields"]] == ["number", "due"]


def test_a_run_without_options_extracts_three_rows(tableflow, flow):
    run = flow.add_run(ago=60)
    row = tableflow(f"/v2/extractions/{get_extraction_id(run)}").json()
    assert row["stats"]["tables"]["line_items"]["rows"] == {"valid": 2, "invalid": 1, "total": 3}
    cells = [cell for entry in row["data"]["tables"]["line_items"]["rows"] for cell in entry["values"].values()]
    assert {type(cell) for cell in [*cells, *row["data"]["fields"]["values"].values()]} == {str}


def test_an_extraction_has_no_data_while_its_run_is_processing(tableflow, flow, clock):
    run = flow.add_run(timeline=[(0, "processing"), (5, "review"), (9, "processing"), (10, "completed")])
    path = f"/v2/extractions/{get_extraction_id(run)}"
    row = tableflow(path).json()
    assert (row["status"], [entry["status"] for entry in row["status_history"]]) == ("processing", ["processing"])
    assert not row.keys() & {"data", "stats"}
    for address in ("rows", "download"):
        assert tableflow(f"{path}/tables/line_items/{address}").status_code == 404
    clock.advance(5)
    assert tableflow(path).json()["status"] == "completed"
    clock.advance(4)
    assert (run.status, tableflow(path).json()["status"]) == ("processing", "completed")


@pytest.mark.parametrize(("timeline", "status"), [([(0, "failed")], "failed"), ([(0, "simmering")], "simmering")])
def test_an_extraction_of_a_run_that_did_not_get_that_far_has_its_status(tableflow, flow, timeline, status):
    run = flow.add_run(timeline=timeline, ago=60)
    row = tableflow(f"/v2/extractions/{get_extraction_id(run)}").json()
    assert row["status"] == row["status_history"][-1]["status"] == status
    assert "data" not in row


def test_a_flow_can_have_several_extractions_or_none(sandbox, tableflow):
    steps = [{"id": step, "title": step, "type": "extraction"} for step in ("order", "invoice")]
    flow = sandbox.tableflow.add_flow(steps=steps, file_fields=[{"key": "a"}, {"key": "b"}])
    files = {"a": ("order.csv", b"1"), "b": ("invoice.xlsx", b"22")}
    tableflow(f"/v2/flows/{flow.id}/run", "POST", files=files)
    extraction_ids = flow.runs[0].attempts[0].extraction_ids
    rows = {step: tableflow(f"/v2/extractions/{extraction_ids[step]}").json() for step in ("order", "invoice")}
    assert [rows["order"]["file_name"], rows["invoice"]["file_name"]] == ["order.csv", "invoice.xlsx"]
    assert rows["order"]["template_id"] != rows["invoice"]["template_id"]
    without = sandbox.tableflow.add_flow(steps=[{"id": "s", "title": "Send", "type": "export"}]).add_run(ago=60)
    assert without.attempts[0].extraction_ids == {}


def test_rows_are_paged(tableflow, run):
    path = f"/v2/extractions/{get_extraction_id(run)}/tables/line_items/rows"
    first = tableflow(path).json()
    assert first["pagination"] == {"offset": 0, "limit": 100, "total": 250, "next_offset": 100, "filter": "all"}
    last = tableflow(path, params={"offset": 200, "limit": 1000}).json()
    assert last["pagination"]["next_offset"] is None
    assert [row["index"] for row in last["rows"]] == list(range(200, 250))
    assert tableflow(path, params={"offset": 900}).json()["rows"] == []


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("all", 250),
        ("valid", 167),
        ("invalid", 83),
        ("error", 83),
        ("error,warn", 83),
        ("warn", 0),
        ("valid, invalid", 250),
    ],
)
def test_rows_can_be_filtered(tableflow, run, text, total):
    path = f"/v2/extractions/{get_extraction_id(run)}/tables/line_items"
    page = tableflow(f"{path}/rows", params={"filter": text, "limit": 1000}).json()
    assert (page["pagination"]["total"], page["pagination"]["filter"]) == (total, text)
    indexes = [row["index"] for row in page["rows"]]
    assert indexes == sorted(indexes)
    assert len(indexes) == total
    lines = tableflow(f"{path}/download", params={"filter": text}).text.splitlines()
    assert len(lines) == 1 + total


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"offset": -1}, {"filter": "broken"}, {"filter": ""}]
)
def test_invalid_parameters_are_400(tableflow, run, query):
    response = tableflow(f"/v2/extractions/{get_extraction_id(run)}/tables/line_items/rows", params=query)
    assert (response.status_code, set(response.json())) == (400, ERROR_KEYS)


def test_a_table_is_downloaded_as_csv(tableflow, flow):
    cells = [{"name": 'a "b", c', "text": "two\nlines"}, {"name": "é"}]
    run = flow.add_run(ago=60, tables={"my table": cells})
    response = tableflow(f"/v2/extractions/{get_extraction_id(run)}/tables/my%20table/download")
    assert response.headers["Content-Type"] == "text/csv"
    assert response.headers["Content-Disposition"] == 'attachment; filename="my table.csv"'
    rows = list(csv.reader(io.StringIO(response.content.decode(), newline="")))
    assert rows == [["name", "text"], ['a "b", c', "two\nlines"], ["é", ""]]


def test_the_csv_of_an_empty_table_is_its_header(tableflow, run):
    response = tableflow(f"/v2/extractions/{get_extraction_id(run)}/tables/totals/download")
    assert response.text.splitlines() == ["description,quantity,amount"]


def test_a_download_is_streamed(tableflow, flow):
    row = {"text": "x" * 1000}
    run = flow.add_run(ago=60, tables={"t": [row] * 30_000})
    path = f"/v2/extractions/{get_extraction_id(run)}/tables/t/download"
    tracemalloc.start()
    try:
        with tableflow(path, stream=True) as response:
            assert "Content-Length" not in response.headers
            size = sum(len(chunk) for chunk in response.iter_content(65536))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 30_000_000
    assert peak < 15_000_000


def test_a_download_has_a_limited_number_of_rows(tableflow, run, monkeypatch):
    monkeypatch.setattr(tableflow_tables, "MAX_DOWNLOAD_ROWS", 5)
    response = tableflow(f"/v2/extractions/{get_extraction_id(run)}/tables/line_items/download")
    assert len(response.text.splitlines()) == 1 + 5


def test_a_download_can_be_cut(sandbox, tableflow, run):
    sandbox.faults.add("truncated", path="/download$")
    path = f"/v2/extractions/{get_extraction_id(run)}/tables/line_items/download"
    with tableflow(path, stream=True) as response:
        assert int(response.headers["Content-Length"]) > 1000
        with pytest.raises(requests.RequestException):
            _ = response.content
    sandbox.faults.clear()
    sandbox.faults.add("slow_body", path="/download$", seconds=0.01)
    assert len(tableflow(path).text.splitlines()) == 251


def test_the_original_document_is_what_was_uploaded(tableflow, flow):
    content = bytes(range(256)) * 64
    run = upload(tableflow, flow, content, "März 1.pdf")
    path = f"/v2/extractions/{get_extraction_id(run)}"
    response = tableflow(f"{path}/download-original")
    assert response.content == content
    assert response.headers["Content-Type"] == "application/pdf"
    assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''M%C3%A4rz%201.pdf"
    row = tableflow(path).json()
    assert (row["file_name"], row["file_size"]) == ("März 1.pdf", len(content))


def test_a_document_above_the_limit_is_not_kept(tableflow, flow):
    kept = upload(tableflow, flow, bytes(MAX_KEPT_FILE_BYTES))
    dropped = upload(tableflow, flow, bytes(MAX_KEPT_FILE_BYTES + 1))
    path = "/v2/extractions/{}/download-original"
    assert len(tableflow(path.format(get_extraction_id(kept))).content) == MAX_KEPT_FILE_BYTES
    response = tableflow(path.format(get_extraction_id(dropped)))
    assert (response.status_code, set(response.json())) == (404, ERROR_KEYS)
    assert dropped.parts[0].content is None


def test_a_run_without_an_upload_has_a_document(tableflow, run):
    response = tableflow(f"/v2/extractions/{get_extraction_id(run)}/download-original")
    assert response.content.startswith(b"%PDF")
    assert int(response.headers["Content-Length"]) == len(response.content)


def test_the_list_has_its_paging_at_the_top_level(sandbox, tableflow, flow):
    older, newer = flow.add_run(ago=60), flow.add_run(ago=30, outcome="FAILED")
    other = sandbox.tableflow.add_flow().add_run(ago=90)
    upload(tableflow, flow, b"1,2", "a.CSV", "text/csv")
    body = tableflow("/v2/extractions", params={"limit": 3}).json()
    assert {key: body[key] for key in ("total", "limit", "offset")} == {"total": 4, "limit": 3, "offset": 0}
    assert "pagination" not in body
    assert [row["status"] for row in body["extractions"]] == ["processing", "failed", "completed"]
    assert [row["id"] for row in body["extractions"][1:]] == [get_extraction_id(newer), get_extraction_id(older)]
    assert body["extractions"][0]["file_info"] == {"file_name": "a.CSV", "file_type": "csv"}
    assert body["extractions"][0]["metadata"] is None
    rest = tableflow("/v2/extractions", params={"offset": 3}).json()
    assert [row["id"] for row in rest["extractions"]] == [get_extraction_id(other)]
    template_id = rest["extractions"][0]["template_id"]
    assert tableflow("/v2/extractions", params={"template_id": template_id}).json()["total"] == 1


ENDPOINTS = ["", "/{id}", "/{id}/tables/line_items/rows", "/{id}/tables/line_items/download", "/{id}/download-original"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_token_is_required(tableflow, run, endpoint):
    path = "/v2/extractions" + endpoint.format(id=get_extraction_id(run))
    assert tableflow(path).status_code == 200
    response = tableflow(path, token="wrong")
    assert (response.status_code, set(response.json())) == (401, ERROR_KEYS)


@pytest.mark.parametrize("endpoint", ENDPOINTS[1:])
def test_unknown_extractions_are_404(sandbox, tableflow, flow, run, endpoint):
    path = "/v2/extractions" + endpoint.format(id=get_extraction_id(run))
    hidden = sandbox.tableflow.add_flow().add_run(ago=60, visible_after=100)
    flow.delete()
    for extraction_id in (get_extraction_id(run), get_extraction_id(hidden), "unknown"):
        response = tableflow(path.replace(get_extraction_id(run), extraction_id))
        assert (response.status_code, set(response.json())) == (404, ERROR_KEYS)


@pytest.mark.parametrize("address", ["rows", "download"])
def test_unknown_tables_are_404(tableflow, run, address):
    response = tableflow(f"/v2/extractions/{get_extraction_id(run)}/tables/unknown/{address}")
    assert (response.status_code, set(response.json())) == (404, ERROR_KEYS)


def test_extractions_end_with_their_run(sandbox, monkeypatch):
    monkeypatch.setattr("airflow_provider_flowruns.sandbox.flows.MAX_RUNS_PER_FLOW", 2)
    flow = sandbox.tableflow.add_flow()
    for _ in range(5):
        flow.add_run(ago=60)
    gc.collect()
    assert {get_extraction_id(run) for run in flow.runs} == set(sandbox.tableflow.runs_by_extraction_id)
