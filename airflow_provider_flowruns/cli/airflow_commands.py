"""The commands in the form of Airflow's own command line, which loads this module in each of its processes."""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from typing import Any

from airflow_provider_flowruns.cli.commands import COMMANDS, DESCRIPTION, NAME, Command


def get_commands() -> list[Any]:
    """Return the group ``flowruns`` for Airflow's command line."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    commands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            func=partial(_run_and_exit, command),
            args=[
                Arg(flags=(argument.flag,), **argument.options)  # type: ignore[no-untyped-call]
                for argument in command.arguments
            ],
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name=NAME, help=DESCRIPTION, subcommands=commands)]


def _run_and_exit(command: Command, args: Namespace) -> None:
    from airflow_provider_flowruns.cli.main import run

    sys.exit(run(command, args))
