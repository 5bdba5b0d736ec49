"""Run the sandbox with the example flows from a shell, until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import shlex
import signal
import sys
import threading
from collections.abc import Sequence

from airflow_provider_flowruns.sandbox.ready_dag import READY_DAG
from airflow_provider_flowruns.sandbox.scenario import SeededFlow
from airflow_provider_flowruns.sandbox.scenarios import DEFAULT_SCENARIO, SCENARIOS
from airflow_provider_flowruns.sandbox.server import Sandbox

DEFAULT_PORT = 8568
"""The same at every start, so that connections that were pasted once keep working."""
MAX_PORT = 65_535
LEDGER_CAPACITY = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a sandbox, print how to use it, and wait for an interrupt.

    :param arguments: the command line; None for that of the process.
    :return: exit status: 0, or 1 if the server cannot start.
    """
    options = _build_parser().parse_args(arguments)
    interrupted = _handle_interrupts()
    sandbox = Sandbox(port=options.port, ledger_capacity=LEDGER_CAPACITY)
    try:
        sandbox.start()
    except OSError as error:
        print(_explain_start_error(options.port, error), file=sys.stderr)
        return 1
    try:
        flows = SCENARIOS[options.scenario].seed(sandbox)
        print(_build_instructions(sandbox, options.scenario, flows), flush=True)
        interrupted.wait()
    finally:
        sandbox.stop()
    return 0


def _build_parser() -> argparse.ArgumentParser:
    scenarios = "\n".join(f"  {name:<10} {scenario.description}" for name, scenario in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_flowruns.sandbox",
        description="Run the APIs of Portable, Activepieces and TableFlow locally, to try DAGs without an account.",
        epilog=f"scenarios, all with the same flows:\n{scenarios}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=_parse_port,
        default=DEFAULT_PORT,
        help="port to listen on, 0 for a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--scenario",
        choices=[*SCENARIOS],
        default=DEFAULT_SCENARIO,
        metavar="NAME",
        help="what the runs do, see below (default: %(default)s)",
    )
    return parser


def _parse_port(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to {MAX_PORT}, got {text!r}")
    return int(text)


def _explain_start_error(port: int, error: OSError) -> str:
    reason = f"port {port} is in use, perhaps by another sandbox" if error.errno == errno.EADDRINUSE else str(error)
    return f"The sandbox cannot start: {reason}. Choose another port with --port, or --port 0 for a free one."


def _build_instructions(sandbox: Sandbox, scenario: str, flows: Sequence[SeededFlow]) -> str:
    """Return lines for a shell and a DAG file. All others are comments in both."""
    return "\n".join(
        [
            f"# The sandbox is running at {sandbox.url} until Ctrl-C, with the scenario {scenario!r}. Its flows:",
            *(f"#   {flow.service:<13} {flow.flow_id:<22} {flow.behaviour}" for flow in flows),
            "",
            "# Its connections, for the shell that starts Airflow:",
            *(f"export {name}={shlex.quote(value)}" for name, value in sandbox.connections().items()),
            "",
            "# A DAG, for a file in Airflow's DAGs folder such as orders.py:",
            READY_DAG,
        ]
    )


def _handle_interrupts() -> threading.Event:
    """Return an event that is set by SIGINT (Ctrl-C) and SIGTERM."""
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    return interrupted


if __name__ == "__main__":
    sys.exit(main())
