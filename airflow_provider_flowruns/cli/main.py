"""Run a command: parse its arguments, and turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
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
        with _keep_logs_out_of_output(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are for those who write code
            code: int = getattr(import_module(f"airflow_provider_flowruns.cli.{module}"), function)(args)
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


@contextmanager
def _keep_logs_out_of_output() -> Generator[None]:
    """Let Airflow log only warnings within the block, to standard error, so that the output can be piped."""
    import_module("airflow.settings")  # sets up Airflow's log
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.setLevel(logging.WARNING)
    root.handlers[:] = [_write_to_stderr(one) if getattr(one, "stream", None) is sys.stdout else one for one in before]
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def _write_to_stderr(handler: logging.Handler) -> logging.Handler:
    """Return a handler that writes to standard error what another one would write."""
    other = logging.StreamHandler(sys.stderr)
    other.setLevel(handler.level)
    other.setFormatter(handler.formatter)
    other.filters = list(handler.filters)
    return other
