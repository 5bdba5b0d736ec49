"""The attempts of a TableFlow run: newest first, each with what is its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests_mock

from airflow_provider_flowruns.exceptions import NotFoundError, ResultTooLarge
from airflow_provider_flowruns.operators.tableflow import TableFlowGetFlowRunOperator, TableFlowGetRunAttemptsOperator
from airflow_provider_flowruns.sandbox import Sandbox

RUN_ID = "Wp7kRnT2mX4vQ9bL"
URL = f"https://api.tableflow.com/v2/flows/runs/{RUN_ID}"


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[requests_mock.Mocker]:
    monkeypatch.setenv("AIRFLOW_CONN_TABLEFLOW_DEFAULT", json.dumps({"conn_type": "tableflow", "password": "made-up"}))
    with requests_mock.Mocker() as mocker:
        yield mocker


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running


def read(run_id: str = RUN_ID) -> list[Any]:
    return TableFlowGetRunAttemptsOperator(task_id="read", run_id=run_id).execute({})


def send(wire: requests_mock.Mocker, **fields: Any) -> list[Any]:
    wire.get(URL, json={"id": RUN_ID, "flow_id": "f", "created_at": 100, "start_time": 900, **fields})
    return read()


ATTEMPTS = [
    {"attempt": 1, "status": "failed", "start_time": 100, "end_time": 130, "error": "no table"},
    {"attempt": 2, "status": "completed", "start_time": 900, "end_time": 960, "duration": 60_500},
]
STEPS = [
    {"step_id": "a", "attempt": 1, "status": "failed", "error": "no table", "start_time": 100, "end_time": 129},
    {"step_id": "a", "attempt": 2, "status": "completed", "output": {"extraction_id": "E2"}},
]


def test_each_attempt_has_its_own_fields(wire: requests_mock.Mocker) -> None:
    newest, oldest = send(
        wire,
        status="completed",
        current_attempt=2,
        end_time=960,
        updated_at=961,
        status_history=[{"status": "completed", "time": 960, "message": "done"}],
        metadata={"order": "PO-1"},
        flow_attempts=ATTEMPTS,
        steps=STEPS,
    )
    assert (oldest["attempt"], oldest["disposition"], oldest["errors"]) == (1, "FAILED", ["no table"])
    assert (newest["attempt"], newest["disposition"], newest["errors"]) == (2, "SUCCEEDED", [])
    assert [one["started_at"][14:19] for one in (newest, oldest)] == ["15:00", "01:40"]
    assert [one["created_at"][14:19] for one in (newest, oldest)] == ["15:00", "01:40"]
    assert [one["completed_at"][14:19] for one in (newest, oldest)] == ["16:00", "02:10"]
    assert [one["details"]["duration_seconds"] for one in (newest, oldest)] == [60.5, 30.0]
    assert [[step["status"] for step in one["details"]["steps"]] for one in (newest, oldest)] == [
        ["completed"],
        ["failed"],
    ]
    assert newest["details"]["steps"][0]["extraction_ids"] == ["E2"]
    assert [one["details"]["metadata"] for one in (newest, oldest)] == [{"order": "PO-1"}] * 2
    assert [len(one["details"]["status_history"]) for one in (newest, oldest)] == [1, 0]


def test_without_attempts_they_are_those_of_the_steps(wire: requests_mock.Mocker) -> None:
    newest, oldest = send(wire, status="completed", end_time=960, steps=STEPS)
    assert (newest["attempt"], newest["disposition"]) == (2, "SUCCEEDED")
    assert (oldest["attempt"], oldest["disposition"]) == (1, "FAILED")
    assert oldest["completed_at"][14:19] == "02:09"


@pytest.mark.parametrize("fields", [{}, {"flow_attempts": None, "steps": None}, {"flow_attempts": [], "steps": {}}])
def test_without_attempts_and_steps_the_run_is_its_only_attempt(
    wire: requests_mock.Mocker, fields: dict[str, Any]
) -> None:
    (only,) = send(wire, status="failed", error="no table", **fields)
    whole = TableFlowGetFlowRunOperator(task_id="read", run_id=RUN_ID).execute({})
    different = {"attempt": 1, "details": {**whole["details"], "current_attempt": 1}}
    assert only == {**whole, **different}


def test_the_keys_are_those_of_every_run(wire: requests_mock.Mocker) -> None:
    attempts = send(wire, status="completed", flow_attempts=ATTEMPTS)
    whole = TableFlowGetFlowRunOperator(task_id="read", run_id=RUN_ID).execute({})
    assert [one.keys() for one in attempts] == [whole.keys()] * 2


def test_reruns_of_the_sandbox(sandbox: Sandbox) -> None:
    run = sandbox.tableflow.add_flow().add_run(outcome="FAILED", waiting=0.0, running=0.0, ago=60.0)
    run.rerun(outcome="SUCCEEDED", waiting=0.0, running=0.0)
    newest, oldest = read(run.id)
    assert [(one["attempt"], one["disposition"]) for one in (newest, oldest)] == [(2, "SUCCEEDED"), (1, "FAILED")]
    first, second = ([step["extraction_ids"] for step in one["details"]["steps"]] for one in (oldest, newest))
    assert len(first[0]) == len(second[0]) == 1
    assert first[0] != second[0]


def test_what_is_too_large_for_xcom_is_refused(wire: requests_mock.Mocker) -> None:
    steps = [{"step_id": "a", "attempt": number, "output": "x" * 60_000} for number in range(1, 40)]
    with pytest.raises(ResultTooLarge, match="get_run_attempts"):
        send(wire, status="completed", steps=steps)


def test_an_unknown_run_is_an_error(wire: requests_mock.Mocker) -> None:
    wire.get(URL, status_code=404, json={"error": "Not Found", "message": "There is no such flow run"})
    with pytest.raises(NotFoundError, match="no such flow run"):
        read()
