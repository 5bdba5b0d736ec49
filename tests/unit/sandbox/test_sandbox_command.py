"""The command that runs a sandbox, as a process of its own."""

from __future__ import annotations

import ast
import json
import re
import shlex
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest
import requests

from airflow_provider_flowruns.sandbox import Sandbox, scenario
from airflow_provider_flowruns.sandbox.__main__ import DEFAULT_PORT, _build_parser
from airflow_provider_flowruns.sandbox.ready_dag import READY_DAG
from airflow_provider_flowruns.sandbox.scenarios import SCENARIOS

COMMAND = [sys.executable, "-m", "airflow_provider_flowruns.sandbox"]
#: Tests run side by side, so they do not use the default port.
ON_FREE_PORT = [*COMMAND, "--port", "0"]


@contextmanager
def run_command(*options: str, number: int = signal.SIGTERM) -> Generator[list[str], None, None]:
    """Run the command until a signal, and return the lines that it printed before the DAG."""
    with subprocess.Popen([*ON_FREE_PORT, *options], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout
        try:
            size = len(READY_DAG.splitlines())
            lines = []
            while lines[-size:] != READY_DAG.splitlines():
                line = command.stdout.readline()
                assert line, "the command ended"
                lines.append(line.rstrip("\n"))
            yield lines
        finally:
            command.send_signal(number)
        assert command.stdout.read().strip() == ""
    assert command.returncode == 0


def read_exports(lines: list[str]) -> dict[str, str]:
    """Return the variables that a shell would export."""
    words = [shlex.split(line) for line in lines if line.startswith("export ")]
    return dict(word.split("=", 1) for _, word in words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_connections_that_it_prints_until_a_signal(number):
    with run_command(number=number) as lines:
        connections = read_exports(lines)
        portable = json.loads(connections["AIRFLOW_CONN_PORTABLE_DEFAULT"])
        headers = {"Authorization": f"Bearer {portable['password']}"}
        rows = requests.get(f"{portable['host']}/v2/flows", headers=headers, timeout=5).json()["data"]
    assert len(connections) == 3
    assert scenario.PORTABLE_FLOW_ID in {row["id"] for row in rows}


def test_what_it_prints_can_be_pasted_into_a_shell_and_into_a_dag_file():
    with run_command() as lines:
        pass
    text = "\n".join(line for line in lines if not line.startswith("export "))
    assert re.search(rf"^#   tableflow +{scenario.TABLEFLOW_REVIEW_FLOW_ID} +\w", text, re.MULTILINE)
    assert ast.unparse(ast.parse(text)) == ast.unparse(ast.parse(READY_DAG))


def test_it_runs_the_scenario_that_is_named():
    with run_command("--scenario", "empty") as lines:
        portable = json.loads(read_exports(lines)["AIRFLOW_CONN_PORTABLE_DEFAULT"])
        headers = {"Authorization": f"Bearer {portable['password']}"}
        url = f"{portable['host']}/v2/flows/{scenario.PORTABLE_FLOW_ID}/run"
        assert requests.get(url, headers=headers, timeout=5).json()["data"] == []
    assert "'empty'" in lines[0]


def test_the_help_lists_the_scenarios_and_the_port(capsys):
    with pytest.raises(SystemExit):
        _build_parser().parse_args(["--help"])
    text = capsys.readouterr().out
    for name, one in SCENARIOS.items():
        assert re.search(rf"^  {name} +{re.escape(one.description)}$", text, re.MULTILINE)
    assert f"(default: {DEFAULT_PORT})" in text


def test_the_port_is_the_same_at_every_start():
    assert _build_parser().parse_args([]).port == DEFAULT_PORT


def test_a_port_that_is_in_use_is_named_with_what_to_do():
    with Sandbox() as running:
        port = running.url.rsplit(":", 1)[1]
        done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert f"port {port} is in use" in line
    assert "--port 0" in line


@pytest.mark.parametrize("options", [["--port", "99999"], ["--port", "-1"], ["--port", "http"], ["--scenario", "fast"]])
def test_a_wrong_option_is_rejected(options, capsys):
    with pytest.raises(SystemExit) as stopped:
        _build_parser().parse_args(options)
    assert stopped.value.code == 2
    assert options[1] in capsys.readouterr().err
