"""The commands on the page about the command line, run as there against the sandbox."""

from __future__ import annotations

import doctest
import json
import os
import re
import shlex
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.cli.commands import COMMANDS
from airflow_provider_flowruns.cli.exit_codes import ExitCode
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.scenario import ACTIVEPIECES_FLOW_ID, PORTABLE_FAILING_FLOW_ID, seed

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()
#: Each command on the page, and what it prints; three dots stand for anything.
EXAMPLES = re.findall(r"^```console\n\$ (.*)\n((?:.*\n)*?)```$", PAGE, flags=re.MULTILINE)


#: Runs have other ids in each sandbox: those on the page, and the flow of each.
RUN_IDS: dict[str, int | str] = {"635735": PORTABLE_FAILING_FLOW_ID, "XNrlmITOCkfNpar5KuzJ9": ACTIVEPIECES_FLOW_ID}


@pytest.fixture
def seeded(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Return a sandbox with the example flows, and a connection to it with an old token."""
    seed(sandbox)
    for name, value in sandbox.connections().items():  # the seed changes the project
        monkeypatch.setenv(name, value)
    fields = json.loads(sandbox.connection_json("portable"))
    monkeypatch.setenv("AIRFLOW_CONN_PORTABLE_OLD_TOKEN", json.dumps({**fields, "password": "an-old-token"}))
    return sandbox


def find_ended_run(sandbox: Sandbox, flow_id: int | str) -> str:
    """Return the id of a run of a flow that has ended."""
    flows: list[Any] = [*sandbox.portable.flows, *sandbox.activepieces.flows]
    runs = next(flow.runs for flow in flows if flow.id == flow_id)
    return str(next(run.id for run in reversed(runs) if run.ended_at is not None))


def test_the_page_has_an_example_of_each_command_but_why() -> None:
    shown = {shlex.split(line)[3] for line, _ in EXAMPLES}
    assert shown == {command.name for command in COMMANDS} - {"why"}


@pytest.mark.parametrize(("line", "expected"), EXAMPLES, ids=[line for line, _ in EXAMPLES])
def test_an_example_prints_what_the_page_says(line: str, expected: str, seeded: Sandbox, tmp_path: Path) -> None:
    for shown, flow_id in RUN_IDS.items():
        actual = find_ended_run(seeded, flow_id)
        line, expected = line.replace(shown, actual), expected.replace(shown, actual)
    program, *arguments = shlex.split(line)
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(expected, done.stdout, flags), done.stdout


def test_the_page_has_every_command_option_and_exit_code() -> None:
    assert re.findall(r"^## (\w+)$", PAGE, flags=re.MULTILINE) == [command.name for command in COMMANDS]
    options = {argument.flag for command in COMMANDS for argument in command.arguments if argument.flag.startswith("-")}
    assert {option for option in options if f"{option}" not in PAGE} == set()
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE)] == [*map(int, ExitCode)]
