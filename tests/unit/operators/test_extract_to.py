"""``extract_to``: a run and its tables in one task; what is written is whole, and where it belongs."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet
import pytest
import requests_mock
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_flowruns.exceptions import (
    ExtractionNotReady,
    ExtractToFailed,
    InvalidArgumentError,
    InvalidRequestError,
)
from airflow_provider_flowruns.operators.run_tables import plan_files
from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.services.tableflow_extractions import get_extraction
from airflow_provider_flowruns.testing.task_modes import StateStore, run_task, task_context
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
from tests.faults.starts import started

FLOW, RUN = "dk4g1tUg1uHLs8YU", "Wp7kRnT2mX4vQ9bL"
ROWS = [{"description": "Chair", "amount": "249.99"}, {"description": "Desk", "amount": "1"}]
EXTRACTION_STEPS = [{"id": f"read_{n}", "title": f"Read {n}", "type": "extraction", "order": n} for n in (1, 2)]

MakeTask = Callable[..., Any]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.05, 0.1))
    with Sandbox() as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def make(tmp_path: Path) -> MakeTask:
    """Return a function that makes a fresh operator, as each process of a task does."""
    document = tmp_path / "order.pdf"
    document.write_bytes(b"%PDF-1.7 made up")

    def make_task(flow_id: str, extract_to: Any, **arguments: Any) -> TableFlowRunFlowOperator:
        common = {"task_id": "read", "poll_interval": 0.1, "files": {"document": str(document)}}
        return TableFlowRunFlowOperator(**{**common, "flow_id": flow_id, "extract_to": extract_to, **arguments})

    return make_task


def add_flow(sandbox: Sandbox, steps: Any = None, **run: Any) -> Any:
    flow = sandbox.tableflow.add_flow(**({"steps": steps} if steps else {}))
    flow.next_run(**{"outcome": "SUCCEEDED", "running": 0.2, "tables": {"line_items": ROWS}, **run}, always=True)
    return flow


def lines_of(path: str | Path) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# -- one task for all of it


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_tables_of_a_run_are_written_and_the_result_says_where(sandbox, make, tmp_path, deferrable) -> None:
    flow = add_flow(sandbox, tables={"line_items": ROWS, "taxes": []})
    pattern = f"{tmp_path}/out/{{run_id}}/{{table}}.jsonl"
    end = run_task(lambda: make(flow.id, pattern, deferrable=deferrable), task_context())
    assert end.state == "success", end.message
    (run_id,) = started(sandbox, flow)
    (extraction_id,) = flow.runs[-1].attempts[-1].extraction_ids.values()
    folder = tmp_path / "out" / run_id
    assert lines_of(folder / "line_items.jsonl") == ROWS
    assert (folder / "taxes.jsonl").read_bytes() == b""
    assert (end.xcom["run_id"], end.xcom["disposition"]) == (run_id, "SUCCEEDED")
    assert end.xcom["extracted"] == [
        {
            "extraction_id": extraction_id,
            "step_id": "step_1",
            "table": table,
            "path": str(folder / f"{table}.jsonl"),
            "count": count,
            "bytes": (folder / f"{table}.jsonl").stat().st_size,
        }
        for table, count in (("line_items", 2), ("taxes", 0))
    ]
    assert json.loads(json.dumps(end.xcom)) == end.xcom


def test_all_placeholders_lead_to_a_file_of_their_own(sandbox, make, tmp_path) -> None:
    flow = add_flow(sandbox, EXTRACTION_STEPS)
    pattern = f"{tmp_path}/out/{{flow_id}}-{{run_id}}/{{step_id}}/{{extraction_id}}/{{table}}.parquet"
    result = make(flow.id, pattern).execute(task_context())
    (run_id,) = started(sandbox, flow)
    ids = flow.runs[-1].attempts[-1].extraction_ids
    assert names_in(tmp_path / "out") == [
        f"{flow.id}-{run_id}/{step_id}/{extraction_id}/line_items.parquet" for step_id, extraction_id in ids.items()
    ]
    assert [pyarrow.parquet.read_table(one["path"]).to_pylist() for one in result["extracted"]] == [ROWS, ROWS]


def test_the_files_can_go_to_any_object_storage(sandbox, memory_storage, make) -> None:
    make(add_flow(sandbox).id, "memory://bucket/{table}.jsonl").execute(task_context())
    assert memory_storage.cat_file("/bucket/line_items.jsonl").count(b"\n") == 2


def test_without_it_nothing_more_is_read(sandbox, make) -> None:
    flow = add_flow(sandbox)
    assert "extracted" not in make(flow.id, None).execute(task_context())
    assert not sandbox.ledger.count(path="/extractions/")


def test_only_the_last_attempt_counts(sandbox, make, tmp_path) -> None:
    flow = add_flow(sandbox, running=0.0)
    store = StateStore()
    sandbox.faults.add("status", status=400, path="/extractions/")
    pattern = f"{tmp_path}/out/{{extraction_id}}.{{table}}.jsonl"
    with pytest.raises(InvalidRequestError):
        make(flow.id, pattern).execute(task_context(store))
    sandbox.faults.clear()
    flow.runs[-1].rerun(outcome="SUCCEEDED", running=0.0, tables={"line_items": ROWS[:1]})
    result = make(flow.id, pattern).execute(task_context(store, try_number=2))
    (extraction_id,) = flow.runs[-1].attempts[-1].extraction_ids.values()
    assert [(one["extraction_id"], one["count"]) for one in result["extracted"]] == [(extraction_id, 1)]


# -- retries and kills


def test_a_retry_takes_the_same_run_and_overwrites(sandbox, make, tmp_path) -> None:
    many = [{"n": str(number)} for number in range(2_500)]
    flow = add_flow(sandbox, tables={"a": ROWS, "b": many})
    pattern, store = f"{tmp_path}/out/{{table}}.jsonl", StateStore()
    # The third request for rows is the second page of table b.
    sandbox.faults.add("status", status=400, path="/rows$", after=2)
    with pytest.raises(InvalidRequestError):
        make(flow.id, pattern).execute(task_context(store))
    assert names_in(tmp_path / "out") == ["a.jsonl"]
    sandbox.faults.clear()
    result = make(flow.id, pattern).execute(task_context(store, try_number=2))
    assert [one["count"] for one in result["extracted"]] == [2, 2_500]
    assert names_in(tmp_path / "out") == ["a.jsonl", "b.jsonl"]
    assert len(started(sandbox, flow)) == 1


def test_a_kill_while_writing_leaves_no_half_file_and_cancels_nothing(sandbox, make, tmp_path, monkeypatch) -> None:
    flow = add_flow(sandbox)
    task = make(flow.id, f"{tmp_path}/out/{{table}}.jsonl")
    monkeypatch.setattr(task.waiting, "_cancel", lambda started: pytest.fail("the run has ended"))
    monkeypatch.setattr("airflow_provider_flowruns.operators.run_tables.write_table", lambda *_, **__: task.on_kill())
    with pytest.raises(SystemExit):
        task.execute(task_context())
    assert names_in(tmp_path / "out") == []


def test_a_kill_before_that_is_the_run_operators(sandbox, make, tmp_path) -> None:
    make(add_flow(sandbox).id, f"{tmp_path}/{{table}}.jsonl").on_kill()


# -- what cannot be written


def serve(wire: requests_mock.Mocker, *, steps: Any, tables: Any = None, status: str = "completed") -> None:
    """Serve a flow whose run has succeeded, with extractions of these tables."""
    run = {"id": RUN, "flow_id": FLOW, "status": "completed", "created_at": 1, "current_attempt": 1, "steps": steps}
    wire.get("https://api.tableflow.com/v2/flows", json=[{"id": FLOW, "name": "Invoices"}])
    wire.post(f"https://api.tableflow.com/v2/flows/{FLOW}/run", json=run)
    wire.get(f"https://api.tableflow.com/v2/flows/runs/{RUN}", json=run)
    for extraction_id in ("e1", "e2"):
        url = f"https://api.tableflow.com/v2/extractions/{extraction_id}"
        stats = {"tables": {key: {"rows": {"total": 1}} for key in tables or ()}}
        wire.get(url, json={"id": extraction_id, "status": status, "stats": stats})
        for key in tables or ():
            wire.get(f"{url}/tables/{key}/rows", json={"rows": [{"index": 0, "values": {"a": "1"}}]})


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[requests_mock.Mocker]:
    connection = {"conn_type": "tableflow", "password": "made-up-token-0123456789"}
    monkeypatch.setenv("AIRFLOW_CONN_TABLEFLOW_DEFAULT", json.dumps(connection))
    with requests_mock.Mocker() as mocker:
        yield mocker


ONE_STEP = [{"id": "s", "output": {"extraction_id": "e1"}}]
TWO_STEPS = [*ONE_STEP, {"id": "s2", "output": {"extraction_id": "e2"}}]


@pytest.mark.parametrize(
    ("served", "text"),
    [
        ({"steps": []}, "names no extraction.*extraction step"),
        ({"steps": None}, "names no extraction"),
        ({"steps": [{"id": "s", "output": {}}]}, "names no extraction"),
        ({"steps": ONE_STEP}, "have no tables.*e1"),
        ({"steps": ONE_STEP, "tables": ["t"], "status": "failed"}, "e1.*failed"),
        ({"steps": TWO_STEPS, "tables": ["t"]}, r"two tables to .*add \{extraction_id\}"),
        (
            {"steps": [{"id": "s", "output": {"extraction_id": "../x"}}], "tables": ["t"]},
            "extraction_id must look like",
        ),
        ({"steps": ONE_STEP, "tables": ["a?b"]}, "table must look like"),
    ],
)
def test_what_trying_again_would_not_change_fails_for_good_and_writes_nothing(
    wire, make, tmp_path, served, text
) -> None:
    serve(wire, **served)
    folder = tmp_path / "out"
    with pytest.raises(ExtractToFailed, match=text) as raised:
        make(FLOW, f"{folder}/{{table}}.jsonl", files=None).execute(task_context())
    assert isinstance(raised.value, AirflowFailException)
    assert names_in(folder) == []


@pytest.mark.parametrize(
    ("pattern", "steps", "starts"),
    [("{table}.jsonl", TWO_STEPS, 1), ("{extraction_id}-{table}.jsonl", [], 2)],
    ids=["due to the argument", "due to the run"],
)
def test_a_cleared_task_starts_a_new_run_only_if_the_old_one_was_to_blame(
    wire, make, tmp_path, pattern, steps, starts
) -> None:
    serve(wire, steps=steps, tables=["t"])
    store = StateStore()
    with pytest.raises(ExtractToFailed):
        make(FLOW, f"{tmp_path}/{pattern}", files=None).execute(task_context(store))
    serve(wire, steps=TWO_STEPS, tables=["t"])
    cleared = task_context(store, try_number=2, max_tries=4)
    result = make(FLOW, f"{tmp_path}/{{extraction_id}}-{{table}}.jsonl", files=None).execute(cleared)
    assert [one["extraction_id"] for one in result["extracted"]] == ["e1", "e2"]
    assert [request.method for request in wire.request_history].count("POST") == starts


def test_tables_of_a_run_that_may_be_anothers_are_not_written(wire, make, tmp_path, monkeypatch) -> None:
    serve(wire, steps=ONE_STEP, tables=["t"])
    monkeypatch.setattr(TableFlowRunFlowOperator, "is_certainly_own", lambda *_: False)
    with pytest.raises(ExtractToFailed, match="another start"):
        make(FLOW, f"{tmp_path}/{{table}}.jsonl", files=None).execute(task_context())
    assert names_in(tmp_path) == ["order.pdf"]


def test_errors_of_the_service_are_tolerated_while_the_run_is_read_again(sandbox, make, tmp_path) -> None:
    flow = add_flow(sandbox, running=0.0)
    sandbox.faults.add("status", status=503, path="/flows/runs/", times=2)
    result = make(flow.id, f"{tmp_path}/{{table}}.jsonl").execute(task_context())
    assert [one["count"] for one in result["extracted"]] == [2]


def test_an_extraction_that_is_still_processed_may_be_tried_again(wire, make, tmp_path) -> None:
    serve(wire, steps=ONE_STEP, tables=["t"], status="processing")
    with pytest.raises(ExtractionNotReady):
        make(FLOW, f"{tmp_path}/{{table}}.jsonl", files=None).execute(task_context())


def test_the_same_extraction_named_twice_is_written_once(wire, make, tmp_path) -> None:
    serve(wire, steps=[*ONE_STEP, {"id": "s2", "output": [{"extraction_id": "e1"}]}], tables=["t"])
    result = make(FLOW, f"{tmp_path}/{{step_id}}/{{table}}.jsonl", files=None).execute(task_context())
    assert [(one["step_id"], one["count"]) for one in result["extracted"]] == [("s", 1)]


def test_a_folder_of_that_name_is_an_error(wire, make, tmp_path) -> None:
    serve(wire, steps=ONE_STEP, tables=["t"])
    (tmp_path / "t.jsonl").mkdir()
    with pytest.raises(ExtractToFailed, match="is a directory"):
        make(FLOW, f"{tmp_path}/{{table}}.jsonl", files=None).execute(task_context())


@pytest.mark.parametrize(
    "odd", ["../../etc/x", "/etc/x", "..", "a/b", "a\\b", "x\0y", "a\nb", "s3://other/x", "{table}"]
)
def test_an_odd_name_stays_in_its_folder(odd) -> None:
    record = {"id": "e1", "status": "completed", "stats": {"tables": {odd: {}}}}
    extraction = get_extraction("e1").read(record)
    run: Any = SimpleNamespace(run_id="r", flow_id=odd)
    pattern = "/out/{flow_id}/{step_id}/x{table}.jsonl"
    (planned,) = plan_files(pattern, run, [(odd, extraction)])
    parts = planned.path.split("/")
    assert len(parts) == len(pattern.split("/"))
    assert os.path.normpath(planned.path) == planned.path
    assert planned.table.key == odd


# -- the argument

WRONG = [
    ("", "path or URL"),
    ("out/{table}.jsonl/", "path or URL"),
    (5, "path or URL"),
    ("s3://bucket/{run_id}.jsonl", r"must contain \{table\}"),
    ("s3://bucket/{table}.csv", r"\.jsonl or \.parquet"),
    ("s3://bucket/{table}", r"\.jsonl or \.parquet"),
    ("s3://bucket/{dag_id}/{table}.jsonl", "placeholders"),
    ("s3://bucket/{}/{table}.jsonl", "placeholders"),
    ("s3://bucket/{table!r}.jsonl", "placeholders"),
    ("s3://bucket/{table.__class__}.jsonl", "placeholders"),
    ("s3://bucket/{table.jsonl", "placeholders"),
    ("s3://bucket/{{ run_id }}/{tables}.jsonl", "placeholders"),
    ("s3://bucket/{{ run_id }}/{table}.csv", r"\.jsonl or \.parquet"),
]


@pytest.mark.parametrize(("value", "text"), WRONG)
def test_a_wrong_path_breaks_the_dag_file(make, value, text) -> None:
    with pytest.raises(InvalidArgumentError, match=f"extract_to.*{text}"):
        make(FLOW, value)


@pytest.mark.parametrize(
    "value",
    [
        "s3://bucket/{{ run_id }}/{table}.jsonl",
        "{{ var.value.folder }}/{run_id}/{table}.parquet",
        "s3://bucket/{table}{{ params.suffix }}",
        "{{ params.path }}",
        "{% if params.x %}a{% endif %}/{table}.jsonl",
    ],
)
def test_a_template_is_checked_when_it_is_rendered(make, value) -> None:
    make(FLOW, value)


@pytest.mark.parametrize("rendered", ["", "None", None, "x/{run_id}.jsonl", "x/{table}.csv", "x/{other}/{table}.jsonl"])
def test_a_path_that_rendered_to_something_wrong_is_refused_before_the_start(sandbox, make, rendered) -> None:
    flow = add_flow(sandbox)
    task = make(flow.id, "{{ params.path }}")
    task.extract_to = rendered
    with pytest.raises(InvalidArgumentError, match="extract_to"):
        task.execute(task_context())
    assert started(sandbox, flow) == []


def test_parquet_without_pyarrow_is_refused_when_the_task_runs_and_before_the_start(sandbox, make, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    flow = add_flow(sandbox)
    task = make(flow.id, "out/{table}.parquet")
    with pytest.raises(InvalidArgumentError, match=r"airflow-provider-flowruns\[parquet\]"):
        task.execute(task_context())
    assert started(sandbox, flow) == []


def test_it_needs_the_end_of_the_run(make) -> None:
    with pytest.raises(InvalidArgumentError, match="extract_to requires wait=True"):
        make(FLOW, "x/{table}.jsonl", wait=False)


def test_it_can_be_mapped() -> None:
    with DAG("mapped", schedule=None):
        mapped = TableFlowRunFlowOperator.partial(task_id="read", flow_id=FLOW).expand(
            extract_to=["a/{table}.jsonl", "b/{table}.jsonl"]
        )
    assert "extract_to" in mapped.template_fields
