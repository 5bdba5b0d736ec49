"""Run a command: parse its arguments, and turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from airflow_provider_flowruns.cli.commands import COMMANDS, DESCRIPTION, Command
from airflow_provider_flowruns.cli.exit_codes import ExitCode

PROGRAM = "python -m airflow_provider_flowruns"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that a command line names.

    :param arguments: the command line; None for that of the process.
    :return: exit code, see :class:`ExitCode`.
    """
    args = build_parser().parse_args(arguments)
    return run(args.command, args)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m airflow_provider_flowruns``."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=f"{DESCRIPTION}.")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=f"{command.help}.")
        for argument in command.arguments:
            subparser.add_argument(argument.flag, **argument.options)
        subparser.set_defaults(command=command)
    return parser


def run(command: Command, args: argparse.Namespace) -> int:
    """Run one command.

    :param command: the command.
    :param args: its arguments.
    :return: exit code, see :class:`ExitCode`.
    """
    # Airflow and the HTTP client are imported here, not by Airflow's command line for every command of its own.
    from airflow_provider_flowruns.cli.output import print_error
    from airflow_provider_flowruns.model.errors import FlowRunsError, InvalidArgumentError

    module, function = command.function
    try:
        execute = getattr(import_module(f"airflow_provider_flowruns.cli.{module}"), function)
        _keep_logs_out_of_output()
        code: int = execute(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print_error("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has had enough; Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.ERROR
    except InvalidArgumentError as error:
        print_error(str(error))
        return ExitCode.USAGE
    except FlowRunsError as error:
        print_error(str(error))
        return ExitCode.ERROR
    return code


def _keep_logs_out_of_output() -> None:
    """Let Airflow log to standard error, so that the output can be piped."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)
