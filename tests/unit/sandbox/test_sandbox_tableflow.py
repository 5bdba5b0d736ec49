"""The sandbox's TableFlow API."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest

from airflow_provider_flowruns.sandbox import LEFT_OUT

ERROR_KEYS = {"error", "message"}


@pytest.fixture
def tableflow(call):
    def send(method, path, **options):
        return call("tableflow", method, path, **options)

    return send


@pytest.fixture
def flow(sandbox):
    return sandbox.tableflow.add_flow(name="Invoices")


DOCUMENT = {"document": ("a.pdf", b"%PDF", "application/pdf")}


@pytest.mark.parametrize("path", ["/v2/flows", "/v2/flows/runs", "/v2/flows/runs/x", "/v2/flows/x/runs"])
def test_a_missing_or_invalid_token_is_rejected(tableflow, path):
    for token in (None, "wrong"):
        response = tableflow("GET", path, token=token)
        assert (response.status_code, set(response.json())) == (401, ERROR_KEYS)


def test_a_start_requires_a_token(sandbox, tableflow, flow):
    response = tableflow("POST", f"/v2/flows/{flow.id}/run", files=DOCUMENT, token="wrong")
    assert response.status_code == 401
    assert flow.runs == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/flows/runs/x"), ("GET", "/v2/flows/x/runs"), ("POST", "/v2/flows/x/run"), ("GET", "/v3")],
)
def test_unknown_ids_and_paths_are_404(tableflow, method, path):
    response = tableflow(method, path)
    assert (response.status_code, set(response.json())) == (404, ERROR_KEYS)


def test_flows_are_a_bare_array_with_their_files_and_steps(tableflow, flow):
    (row,) = tableflow("GET", "/v2/flows").json()
    assert (row["id"], row["name"], row["active"]) == (flow.id, "Invoices", True)
    assert len(flow.id) == 16
    assert set(row["file_input_config"]["file_fields"][0]) == {
        "key",
        "name",
        "required",
        "file_types",
        "max_file_size",
    }
    assert {"id", "title", "description", "type", "order", "config"} <= set(row["steps"][0])


def test_a_start_returns_the_run(sandbox, tableflow, flow, clock):
    response = tableflow(
        "POST",
        f"/v2/flows/{flow.id}/run",
        files=DOCUMENT,
        data={"name": "Batch 7", "metadata": '{"order": 7}', "document_metadata": "{}", "document_guidance": "x"},
    )
    row = response.json()
    (run,) = flow.runs
    assert response.status_code == 200
    assert row["id"] == run.id
    assert len(run.id) == 16
    assert (row["status"], row["trigger_method"], row["current_attempt"]) == ("processing", "api", 1)
    assert (row["start_time"], row["end_time"], row["duration"]) == (int(clock.now), None, 0)
    assert (row["metadata"], row["name"], row["error"]) == ({"order": 7}, "Batch 7", None)
    assert row["input_files"]["document"] == {
        "file_name": "a.pdf",
        "file_type": "application/pdf",
        "file_size": 4,
    }
    assert [event[:3] for event in sandbox.ledger.started] == [("tableflow", flow.id, run.id)]


def test_every_part_is_recorded(tableflow, flow):
    content = bytes(range(256)) * 1000
    tableflow(
        "POST", f"/v2/flows/{flow.id}/run", files={"document": ("ä.bin", content)}, data={"document_guidance": "é"}
    )
    parts = {part.name: part for part in flow.runs[0].parts}
    assert (parts["document"].filename, parts["document"].size) == ("ä.bin", 256_000)
    assert parts["document"].sha256 == hashlib.sha256(content).hexdigest()
    assert parts["document"].text is None
    assert (parts["document_guidance"].filename, parts["document_guidance"].text) == (None, "é")


def test_files_are_not_held_in_memory(tableflow, flow):
    class Zeros:
        """A file of 40 MB that is generated while it is read."""

        left = 40_000_000

        def read(self, size=-1):
            size = min(self.left, 1_000_000 if size < 0 else size)
            self.left -= size
            return bytes(size)

    def form():
        yield b'--b\r\nContent-Disposition: form-data; name="document"; filename="z"\r\n\r\n'
        zeros = Zeros()
        while chunk := zeros.read(65536):
            yield chunk
        yield b"\r\n--b--\r\n"

    tracemalloc.start()
    try:
        response = tableflow(
            "POST",
            f"/v2/flows/{flow.id}/run",
            data=form(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert response.status_code == 200
    assert flow.runs[0].parts[0].size == 40_000_000
    assert peak < 10_000_000


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"data": {"name": "no file"}},
        {"files": {"another": ("a.pdf", b"x")}},
        {"files": {"document": (None, b"not a file")}},
        {"files": {"document_0": ("a.pdf", b"x")}},
        {"files": DOCUMENT, "data": {"metadata": "{"}},
        {"files": DOCUMENT, "data": {"metadata": "[]"}},
        {"files": DOCUMENT, "data": {"document_metadata": "x"}},
        {"files": DOCUMENT, "data": {"name": "x" * 70_000}},
        {"data": b"--b\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        {"data": b"", "headers": {"Content-Type": "multipart/form-data"}},
    ],
)
def test_an_invalid_form_does_not_start_a_run(sandbox, tableflow, flow, options):
    response = tableflow("POST", f"/v2/flows/{flow.id}/run", **options)
    assert (response.status_code, set(response.json())) == (400, ERROR_KEYS)
    assert flow.runs == []
    assert sandbox.ledger.started == []


def test_a_field_accepts_several_files(tableflow, flow):
    files = {"document_1": ("a.pdf", b"a"), "document_2": ("b.pdf", b"b")}
    assert tableflow("POST", f"/v2/flows/{flow.id}/run", files=files).status_code == 200


def test_a_flow_without_required_files_starts_without_a_form(sandbox, tableflow):
    flow = sandbox.tableflow.add_flow(file_fields=[{"key": "hint", "required": False}])
    assert tableflow("POST", f"/v2/flows/{flow.id}/run").status_code == 200


def test_a_run_goes_through_review(tableflow, flow, clock):
    timeline = [(0, "processing"), (10, "review"), (20, "processing"), (30.25, "completed")]
    run = flow.add_run(timeline=timeline)
    path = f"/v2/flows/runs/{run.id}"
    clock.advance(15)
    review = tableflow("GET", path).json()
    assert (review["status"], review["end_time"], review["duration"]) == ("review", None, 0)
    assert run.ended_at is None
    clock.advance(20)
    done = tableflow("GET", path).json()
    assert (done["status"], done["end_time"]) == ("completed", int(run.created) + 30)
    assert done["duration"] == 30_250
    assert [entry["status"] for entry in done["status_history"]] == [
        "processing",
        "review",
        "processing",
        "completed",
    ]
    assert all(isinstance(entry["time"], int) and entry["message"] for entry in done["status_history"])
    assert done["flow"]["id"] == flow.id


def test_a_failed_run_has_its_error_in_two_fields(tableflow, flow):
    run = flow.add_run(outcome="FAILED", errors=["Step 'Read' failed", "torn page"], ago=60)
    row = tableflow("GET", f"/v2/flows/runs/{run.id}").json()
    assert row["error"] == "Step 'Read' failed; torn page"
    assert row["status_history"][-1]["message"] == row["error"]


def test_a_rerun_keeps_the_id(tableflow, flow, clock):
    run = flow.add_run(outcome="FAILED", ago=60)
    run.rerun(outcome="SUCCEEDED", running=5)
    row = tableflow("GET", f"/v2/flows/runs/{run.id}").json()
    assert (row["status"], row["current_attempt"], row["error"]) == ("processing", 2, None)
    clock.advance(10)
    assert run.status == "completed"


def test_a_rerun_keeps_every_attempt_with_its_steps(tableflow, flow, clock):
    run = flow.add_run(outcome="FAILED", errors=["torn page"], waiting=0, running=5)
    clock.advance(20)
    run.rerun(waiting=0, running=3)
    clock.advance(30)
    row = tableflow("GET", f"/v2/flows/runs/{run.id}").json()
    first, second = row["flow_attempts"]
    begin = int(run.created)
    shown = ("attempt", "status", "start_time", "end_time", "error")
    assert [first[key] for key in shown] == [1, "failed", begin, begin + 5, "torn page"]
    assert [second[key] for key in shown] == [2, "completed", begin + 20, begin + 23, None]
    assert row["steps"] == first["steps"] + second["steps"]
    assert [(step["step_id"], step["attempt"], step["status"], step["duration"]) for step in row["steps"]] == [
        ("step_1", 1, "failed", 5000),
        ("step_1", 2, "completed", 3000),
        ("step_2", 2, "completed", 0),
    ]
    assert [step["error"] for step in row["steps"]] == ["torn page", None, None]
    extraction_ids = [step["output"]["extraction_id"] for step in (row["steps"][0], row["steps"][1])]
    assert extraction_ids == [attempt.extraction_ids["step_1"] for attempt in run.attempts]
    assert len(set(extraction_ids)) == 2
    statuses = [tableflow("GET", f"/v2/extractions/{name}").json()["status"] for name in extraction_ids]
    assert statuses == ["failed", "completed"]
    assert [entry["message"] for entry in row["status_history"] if entry["status"] == "failed"] == ["torn page"]


def test_a_rerun_of_an_unfinished_attempt(tableflow, flow, clock):
    run = flow.add_run(outcome="RUNNING")
    clock.advance(5)
    run.rerun(timeline=[(2, "processing"), (4, "completed")], tables={"t": [{"a": "b"}]})
    first, second = tableflow("GET", f"/v2/flows/runs/{run.id}").json()["flow_attempts"]
    assert (first["status"], first["end_time"], second["status"]) == ("processing", None, "processing")
    clock.advance(5)
    first, second = tableflow("GET", f"/v2/flows/runs/{run.id}").json()["flow_attempts"]
    assert (first["status"], first["end_time"], second["status"]) == ("processing", None, "completed")
    (old, new) = [attempt.extraction_ids["step_1"] for attempt in run.attempts]
    assert "data" not in tableflow("GET", f"/v2/extractions/{old}").json()
    assert list(tableflow("GET", f"/v2/extractions/{new}").json()["data"]["tables"]) == ["t"]


def test_later_steps_follow_the_extraction_and_fail_with_the_run(tableflow, flow, clock):
    run = flow.add_run(timeline=[(0, "processing"), (2, "review"), (5, "failed")], errors=["totals differ"])
    clock.advance(3)
    (_, compare) = tableflow("GET", f"/v2/flows/runs/{run.id}").json()["steps"]
    assert (compare["step_id"], compare["status"], compare["end_time"]) == ("step_2", "review", None)
    clock.advance(3)
    (read, compare) = tableflow("GET", f"/v2/flows/runs/{run.id}").json()["steps"]
    assert (read["status"], read["error"]) == ("completed", None)
    assert (compare["status"], compare["error"], compare["duration"]) == ("failed", "totals differ", 3000)


@pytest.mark.parametrize("value", [None, [], {}, {"step_1": {"status": "completed"}}, "text"])
def test_a_run_can_be_shown_in_any_shape(tableflow, flow, value):
    run = flow.add_run(ago=60)
    run.overrides = {"steps": value, "flow_attempts": LEFT_OUT, "drive_files": {"totals": {"file_id": "1"}}}
    single = tableflow("GET", f"/v2/flows/runs/{run.id}").json()
    (listed,) = tableflow("GET", f"/v2/flows/{flow.id}/runs").json()
    for row in (single, listed):
        assert row["steps"] == value
        assert "flow_attempts" not in row
        assert row["drive_files"] == {"totals": {"file_id": "1"}}
    assert ("flow" in single, "flow" in listed) == (True, False)


def test_an_unknown_status_is_passed_on(tableflow, flow):
    run = flow.add_run(timeline=[(0, "simmering")])
    row = tableflow("GET", f"/v2/flows/runs/{run.id}").json()
    assert row["status"] == row["status_history"][0]["status"] == "simmering"


def test_a_run_can_be_invisible_initially(tableflow, flow, clock):
    run = flow.add_run(visible_after=5)
    assert tableflow("GET", f"/v2/flows/runs/{run.id}").status_code == 404
    assert tableflow("GET", f"/v2/flows/{flow.id}/runs").json() == []
    clock.advance(5)
    assert tableflow("GET", f"/v2/flows/runs/{run.id}").status_code == 200


def test_one_list_is_wrapped_and_the_other_bare(sandbox, tableflow, flow):
    runs = [flow.add_run(ago=100 - number) for number in range(3)]
    other = sandbox.tableflow.add_flow().add_run(ago=1000, outcome="FAILED")
    newest_first = [run.id for run in reversed(runs)]
    bare = tableflow("GET", f"/v2/flows/{flow.id}/runs").json()
    assert [row["id"] for row in bare] == newest_first
    assert "flow" not in bare[0]

    def page(**query):
        body = tableflow("GET", "/v2/flows/runs", params=query).json()
        return [row["id"] for row in body["flow_runs"]], body["pagination"]

    ids, pagination = page(limit=2)
    assert ids == newest_first[:2]
    assert set(pagination) == {"total", "limit", "offset", "next_offset", "filter"}
    assert (pagination["total"], pagination["next_offset"]) == (4, 2)
    ids, pagination = page(limit=2, offset=2)
    assert ids == [newest_first[2], other.id]
    assert pagination["next_offset"] is None
    assert page(flow_id=flow.id)[0] == newest_first
    assert page(status="failed")[0] == [other.id]
    assert page(flow_id="unknown")[0] == []
    assert page()[1]["limit"] == 100


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"offset": "-1"}])
def test_invalid_paging_is_rejected(tableflow, query):
    assert tableflow("GET", "/v2/flows/runs", params=query).status_code == 400


def test_a_schedule_creates_runs(tableflow, flow, clock):
    flow.schedule(every=10, running=5)
    clock.advance(21)
    assert [row["status"] for row in tableflow("GET", f"/v2/flows/{flow.id}/runs").json()] == [
        "processing",
        "completed",
    ]


def test_deleting_a_flow_deletes_its_runs(tableflow, flow):
    run = flow.add_run()
    flow.delete()
    assert tableflow("GET", f"/v2/flows/runs/{run.id}").status_code == 404


def test_there_is_no_status_for_cancelled(flow):
    with pytest.raises(ValueError, match="CANCELED"):
        flow.add_run(outcome="CANCELED")
