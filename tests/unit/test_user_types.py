"""What a user's type checker says about hooks, sensors and operators."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.type_checkers import run_mypy, run_pyright

USERS_MODULE = """
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, assert_type

from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.hooks.tableflow import TableFlowHook
from airflow_provider_flowruns.model.choices import IfRunning, OnFailure, RowFormat
from airflow_provider_flowruns.model.extractions import DownloadedFile, Extraction, TableRow
from airflow_provider_flowruns.model.runs import Flow, FlowRun, FlowSummary, RunSummary
from airflow_provider_flowruns.operators.portable import (
    PortableCancelFlowOperator,
    PortableListFlowsOperator,
    PortableRunFlowOperator,
)
from airflow_provider_flowruns.operators.quality import FlowRunQualityCheckOperator
from airflow_provider_flowruns.operators.tableflow import TableFlowGetFlowRunOperator, TableFlowGetTableRowsOperator
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.services.portable import PortableApi


def read_runs(context: Any) -> list[str | None]:
    with PortableHook() as portable, ActivepiecesHook("mine") as activepieces, TableFlowHook() as tableflow:
        assert_type(portable, PortableHook)
        assert_type(portable.api, PortableApi)
        assert_type(portable.get_flow_status(5), FlowRun)
        assert_type(portable.get_flow_status(5).summary(), RunSummary)
        assert_type(portable.get_run_attempts(5, sort="ASC"), Iterator[FlowRun])
        assert_type(portable.list_flows(), tuple[Flow, ...])
        assert_type(portable.list_flows()[0].summary()["name"], str | None)
        assert_type(portable.test_connection(), tuple[bool, str])
        assert_type(activepieces.get_flow_run("id"), FlowRun)
        assert_type(activepieces.retry_flow_run("id", "ON_LATEST_VERSION"), FlowRun)
        assert_type(activepieces.list_flows(), Iterator[Flow])
        assert_type(tableflow.list_flow_runs(flow_id="id", status="review"), Iterator[FlowRun])
        assert_type(tableflow.get_extraction("id"), Extraction)
        assert_type(tableflow.iterate_table_rows("id", "line_items"), Iterator[TableRow])
        with open("rows.csv", "wb") as file:
            assert_type(tableflow.download_table("id", "line_items", file), DownloadedFile)
        listing = PortableListFlowsOperator(task_id="flows")
        assert_type(listing.execute(context), list[FlowSummary])
        assert_type(listing.hook, PortableHook)
        assert_type(TableFlowGetFlowRunOperator(task_id="run", run_id="id").execute(context), RunSummary)
        return [tableflow.get_flow_run("id").run_id]


def make_tasks(if_running: IfRunning, on_failure: OnFailure, format: RowFormat) -> None:
    PortableFlowSensor(task_id="a", flow_id=5, completed_after="auto", poll_interval=timedelta(minutes=1), retries=2)
    PortableRunFlowOperator(task_id="b", flow_id="5", if_running=if_running, wait=False)
    PortableRunFlowOperator(task_id="c", flow_id=5, if_running="join", on_paused="skip", on_canceled="skip")
    PortableCancelFlowOperator(task_id="d", flow_id=5, timeout=timedelta(minutes=1))
    FlowRunQualityCheckOperator(task_id="e", runs=[], on_failure=on_failure)
    TableFlowGetTableRowsOperator(task_id="f", extraction_id="id", table="t", format=format)
    PortableFlowSensor.partial(task_id="g").expand(flow_id=[1, 2])
"""

#: Mistakes, what mypy calls each, and what pyright does.
WRONG = [
    ("PortableHook().get_flow_status()", "call-arg", "reportCallIssue"),
    ("PortableHook().get_flow_status([5])", "arg-type", "reportArgumentType"),
    ("PortableHook().get_run_attempts(5, sort='newest')", "arg-type", "reportArgumentType"),
    ("ActivepiecesHook().get_flow_run(run_id=5)", "arg-type", "reportArgumentType"),
    ("ActivepiecesHook().retry_flow_run('id', 'AGAIN')", "arg-type", "reportArgumentType"),
    ("TableFlowHook().list_flow_runs(status='done')", "arg-type", "reportArgumentType"),
    ("TableFlowHook().get_flow_run('id').no_such_field", "attr-defined", "reportAttributeAccessIssue"),
    ("PortableRunFlowOperator(task_id='t', flow_id=5, if_running='stop')", "arg-type", "reportArgumentType"),
    ("FlowRunQualityCheckOperator(task_id='t', runs=[], on_failure='skip')", "arg-type", "reportArgumentType"),
    (
        "TableFlowGetTableRowsOperator(task_id='t', extraction_id='e', table='t', format='csv')",
        "arg-type",
        "reportArgumentType",
    ),
]


def write_module(source: str, folder: Path) -> Path:
    """Write a user's module into a folder, and return the folder."""
    (folder / "users_module.py").write_text(source)
    return folder


@pytest.mark.nightly
def test_mypy_sees_precise_types(tmp_path) -> None:
    assert run_mypy(write_module(USERS_MODULE, tmp_path)) == []


@pytest.mark.nightly
def test_mypy_finds_mistakes_in_calls(tmp_path) -> None:
    calls = "\n".join(call for call, _, _ in WRONG)
    said = run_mypy(write_module(f"{USERS_MODULE}\n\n{calls}\n", tmp_path))
    assert [line.rpartition(" ")[2] for line in said if "error" in line] == [f"[{code}]" for _, code, _ in WRONG]


def test_pyright_sees_precise_types(tmp_path) -> None:
    pytest.importorskip("pyright")
    assert run_pyright(write_module(USERS_MODULE, tmp_path)) == []


def test_pyright_finds_mistakes_in_calls(tmp_path) -> None:
    pytest.importorskip("pyright")
    calls = "\n".join(call for call, _, _ in WRONG)
    first_call = len(USERS_MODULE.splitlines()) + 2
    found = run_pyright(write_module(f"{USERS_MODULE}\n\n{calls}\n", tmp_path))
    lines = {one["range"]["start"]["line"] - first_call: one["rule"] for one in found}
    assert lines == {number: rule for number, (_, _, rule) in enumerate(WRONG)}
