"""Whatever goes wrong is one line that says what to do, without a traceback and without the token."""

from __future__ import annotations

import json
import os
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from typing import Any

import pytest

from tests.unit.cli.conftest import TOKEN

RUN_ID = "A" * 21
LINES = {
    "flows": ("flows",),
    "runs": ("runs", RUN_ID),
    "run": ("run", RUN_ID),
    "watch": ("watch", RUN_ID, "--timeout", "60"),
    "doctor": ("doctor",),
}
by_command = pytest.mark.parametrize("line", LINES.values(), ids=LINES)


@by_command
def test_a_connection_that_is_not_defined(line, run) -> None:
    result = run(*line, "--conn-id", "nowhere")
    assert result.code == 1
    assert "connection 'nowhere' is not defined here" in (result.err or result.first_line)
    assert "AIRFLOW_CONN_NOWHERE" in (result.err or result.first_line)
    assert result.err.count("\n") <= 1


@by_command
def test_a_connection_of_another_type(line, run, define_connection) -> None:
    result = run(*line, "--conn-id", define_connection("http", host="https://example.com"))
    assert result.code == 1
    assert "connection 'mine' has the type 'http'; its type must be one of portable, activepieces, tableflow" in (
        result.err or result.first_line
    )


@by_command
def test_a_connection_that_is_not_complete(line, run, define_connection) -> None:
    result = run(*line, "--conn-id", define_connection("activepieces", password=""))
    assert result.code == 1
    assert "connection 'mine' has no password" in (result.err or result.first_line)


@by_command
def test_a_connection_that_airflow_cannot_read(line, run, monkeypatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINE", f'{{"conn_type": "portable", "password": "{TOKEN}", ')
    result = run(*line, "--conn-id", "mine")
    assert result.code == 1
    assert "connection 'mine'" in (result.err or result.first_line)
    assert TOKEN not in result.out + result.err


ECHOED: dict[str, dict[str, Any]] = {
    "status": {"status": 401, "body": {"message": f"token {TOKEN} is not valid"}},
    "json": {"body": {"data": TOKEN}},
    "redirect": {"location": f"https://elsewhere.example.com/?token={TOKEN}"},
    "html": {"body": f"<html>{TOKEN}</html>"},
}


@by_command
@pytest.mark.parametrize("kind", ECHOED)
def test_a_token_that_the_service_repeats_is_not_shown(kind, line, sandbox, run, define_connection) -> None:
    host = json.loads(sandbox.connection_json("activepieces"))["host"]
    conn_id = define_connection("activepieces", host=host, extra={"project_id": "A" * 21})
    sandbox.faults.add(kind, times=None, **ECHOED[kind])
    if line[0] == "watch":
        line = (*line[:2], "--timeout", "0.2")
    result = run(*line, "--conn-id", conn_id)
    assert result.code != 0
    assert result.out + result.err
    assert TOKEN not in result.out + result.err
    assert "Traceback" not in result.out + result.err


@by_command
def test_ctrl_c_ends_cleanly(line, sandbox, run, monkeypatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("airflow_provider_flowruns.client.sync.SyncClient._send_once", interrupt)
    result = run(*line, "--conn-id", "activepieces_default")
    assert result.code == 130
    assert result.err.count("\n") == 1


def test_a_reader_that_has_had_enough_is_no_error(sandbox) -> None:
    sandbox.portable.add_flow()
    reading, writing = os.pipe()
    os.close(reading)
    line = [sys.executable, "-m", "airflow_provider_flowruns", "flows", "--conn-id", "portable_default"]
    done = subprocess.run(line, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == 1
    assert "BrokenPipe" not in done.stderr  # Airflow 2 has warnings of its own there
