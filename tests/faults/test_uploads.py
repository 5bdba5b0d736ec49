"""Files of a TableFlow start: checked before anything is sent, and sent as they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.task_modes import End, run_task, task_context

FIELDS = [
    {"key": "invoice", "name": "Invoice", "required": True, "file_types": ["pdf"], "max_file_size": 1_000},
    {"key": "orders", "name": "Orders", "required": False, "file_types": ["pdf"], "max_file_size": 1_000},
]


@pytest.fixture
def flow(sandbox: Sandbox) -> Any:
    added = sandbox.tableflow.add_flow(file_fields=FIELDS)
    added.next_run(outcome="SUCCEEDED", waiting=0.0, running=0.1, always=True)
    return added


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in (("a.pdf", 10), ("b.pdf", 20), ("big.pdf", 1_001)):
        (tmp_path / name).write_bytes(bytes(range(256)) * (size // 256 + 1))
        with (tmp_path / name).open("r+b") as file:
            file.truncate(size)
    return tmp_path


def start(flow: Any, **arguments: Any) -> End:
    common = {"task_id": "start", "flow_id": flow.id, "poll_interval": 0.1, "timeout": 20.0}
    return run_task(lambda: TableFlowRunFlowOperator(**{**common, **arguments}), task_context())


def test_files_metadata_guidance_and_name_arrive(flow: Any, folder: Path) -> None:
    end = start(
        flow,
        files={"invoice": str(folder / "a.pdf"), "orders": [f"file://{folder}/a.pdf", str(folder / "b.pdf")]},
        file_metadata={"invoice": {"customer": "1"}},
        guidance={"invoice": "The total is at the bottom"},
        metadata={"order": "7"},
        name="Order 7",
    )

    assert end.state == "success", end
    parts = {part.name: part for part in flow.runs[-1].parts}
    sent = {name: (part.filename, part.sha256) for name, part in parts.items() if part.filename}
    digest = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("a.pdf", "b.pdf")}
    assert sent == {
        "invoice": ("a.pdf", digest["a.pdf"]),
        "orders_1": ("a.pdf", digest["a.pdf"]),
        "orders_2": ("b.pdf", digest["b.pdf"]),
    }
    assert json.loads(parts["invoice_metadata"].text) == {"customer": "1"}
    assert parts["invoice_guidance"].text == "The total is at the bottom"
    assert parts["name"].text == "Order 7"
    metadata = json.loads(parts["metadata"].text)
    assert metadata.pop("airflow_run").startswith("a_dag/manual__1/wait/-1/")
    assert metadata == {"order": "7"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"invoice": "a.pdf", "invoices": "a.pdf"},
            "files names invoices; the flow's file fields are: invoice, orders",
        ),
        ({"orders": "a.pdf"}, "files must contain invoice, which the flow requires"),
        ({}, "files must contain invoice"),
        ({"invoice": "nowhere.pdf"}, "does not exist"),
        ({"invoice": "."}, "does not exist"),
        ({"invoice": "big.pdf"}, "has 1,001 bytes, the flow accepts at most 1,000"),
        ({"invoice": "a.pdf", "orders": ["a.pdf", "nowhere.pdf"]}, "does not exist"),
    ],
)
def test_bad_files_fail_before_anything_is_sent(
    files: dict[str, Any], said: str, sandbox: Sandbox, flow: Any, folder: Path
) -> None:
    full = {
        key: str(folder / paths) if isinstance(paths, str) else [str(folder / path) for path in paths]
        for key, paths in files.items()
    }
    end = start(flow, files=full)
    assert (end.error, said in end.message) == ("InvalidArgumentError", True), end
    assert sandbox.ledger.count(method="POST") == 0


@pytest.mark.parametrize(("argument", "value"), [("file_metadata", {}), ("guidance", "Look at the bottom")])
def test_unknown_field_keys_are_named(argument: str, value: Any, sandbox: Sandbox, flow: Any, folder: Path) -> None:
    end = start(flow, files={"invoice": str(folder / "a.pdf")}, **{argument: {"other": value}})
    assert (end.error, f"{argument} names other" in end.message) == ("InvalidArgumentError", True), end
    assert sandbox.ledger.count(method="POST") == 0


def test_unknown_flow_is_named(sandbox: Sandbox, flow: Any) -> None:
    end = run_task(lambda: TableFlowRunFlowOperator(task_id="start", flow_id="A" * 16), task_context())
    assert (end.error, "not among the workspace's active flows" in end.message) == ("InvalidArgumentError", True), end
    assert sandbox.ledger.count(method="POST") == 0
