"""Run commands in this process, as a shell would."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_flowruns.cli.main import main
from tests.unit.client.wire import VARIABLES

TOKEN = "made-up-token-0123456789"


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def first_line(self) -> str:
        return self.out.partition("\n")[0]

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table, header first."""
        return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def restored_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore what a command changes in its process, and forget the network of this machine."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command line."""

    def run_command(*arguments: str) -> Result:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as left:  # argparse's
            code = int(left.code or 0)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run_command


@pytest.fixture
def define_connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that defines the connection ``mine`` and returns its id."""

    def define(conn_type: str = "portable", password: str = TOKEN, **fields: Any) -> str:
        monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps({"conn_type": conn_type, "password": password, **fields}))
        return "mine"

    return define
