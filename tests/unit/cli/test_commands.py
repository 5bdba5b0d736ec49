"""The table of commands, in our own command line and in Airflow's."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from argparse import ArgumentParser
from importlib import import_module

import pytest

from airflow_provider_flowruns.cli.airflow_commands import get_commands
from airflow_provider_flowruns.cli.commands import COMMANDS, Command
from airflow_provider_flowruns.cli.main import build_parser

ARGUMENTS = {
    "flows": ["--conn-id", "c"],
    "runs": ["f", "--conn-id", "c", "--since", "7d", "--status", "failed", "--limit", "3", "--output", "json"],
    "run": ["r", "--flow", "f", "--conn-id", "c"],
    "watch": ["r", "--conn-id", "c", "--poll-interval", "5", "--timeout", "60"],
    "doctor": ["--conn-id", "c"],
    "why": ["d", "r", "t"],
    "examples": ["folder"],
}

by_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)


def build_airflow_parser() -> ArgumentParser:
    """Return a parser with the commands as Airflow adds them."""
    (group,) = get_commands()
    parser = ArgumentParser()
    subparsers = parser.add_subparsers()
    for command in group.subcommands:
        subparser = subparsers.add_parser(command.name, help=command.help)
        for argument in command.args:
            argument.add_to_parser(subparser)
        subparser.set_defaults(func=command.func)
    return parser


@by_command
def test_its_function_exists(command: Command) -> None:
    module, function = command.function
    assert callable(getattr(import_module(f"airflow_provider_flowruns.cli.{module}"), function))


@by_command
def test_both_command_lines_read_the_same(command: Command) -> None:
    line = [command.name, *ARGUMENTS[command.name]]
    ours, airflows = vars(build_parser().parse_args(line)), vars(build_airflow_parser().parse_args(line))
    assert ours.pop("command") is command
    airflows.pop("func")
    assert ours == airflows


@by_command
def test_its_help_says_something_about_each_argument(command: Command, run) -> None:
    result = run(command.name, "--help")
    assert result.code == 0
    assert all(argument.options["help"] for argument in command.arguments)
    assert all(argument.options.get("metavar", argument.flag) in result.out for argument in command.arguments)


@by_command
def test_airflow_exits_with_the_code_of_the_command(command: Command, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(f"airflow_provider_flowruns.cli.{'.'.join(command.function)}", lambda args: 3)
    args = build_airflow_parser().parse_args([command.name, *ARGUMENTS[command.name]])
    with pytest.raises(SystemExit) as left:
        args.func(args)
    assert left.value.code == 3


def test_an_unknown_command_is_wrong_usage(run) -> None:
    assert run("fly").code == 2
    assert run().code == 2


IMPORTED = """
import sys
import airflow.cli.cli_config
before = set(sys.modules)
from airflow_provider_flowruns.cli.airflow_commands import get_commands
get_commands()
print(*sorted(set(sys.modules) - before))
"""


def test_airflows_command_line_imports_next_to_nothing_for_them() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    ours = [name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names]
    package = "airflow_provider_flowruns"
    expected = {package, *(f"{package}.cli{name}" for name in ("", ".airflow_commands", ".commands"))}
    assert {*ours} <= expected  # Airflow may have loaded the package before
