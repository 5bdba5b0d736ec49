"""Run the sandbox from a shell, with some flows to play with, until Ctrl-C."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from collections.abc import Sequence

from airflow_provider_flowruns.sandbox.scenario import SeededFlow, seed
from airflow_provider_flowruns.sandbox.server import Sandbox

LEDGER_CAPACITY = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a sandbox, say how to use it, and wait to be interrupted.

    :param arguments: the command line; None takes that of the process.
    :return: exit status: 0, or 1 when the port cannot be had.
    """
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_flowruns.sandbox",
        description="Portable, Activepieces and TableFlow as a local server, to try DAGs without an account.",
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    interrupted = _interruption()
    sandbox = Sandbox(port=parser.parse_args(arguments).port, ledger_capacity=LEDGER_CAPACITY)
    try:
        sandbox.start()
    except (OSError, OverflowError) as problem:
        print(f"The sandbox cannot start: {problem}", file=sys.stderr)
        return 1
    try:
        print(_instructions(sandbox, seed(sandbox)), flush=True)
        interrupted.wait()
    finally:
        sandbox.stop()
    return 0


def _instructions(sandbox: Sandbox, flows: Sequence[SeededFlow]) -> str:
    """Write lines that can be pasted in a shell, and a table of the flows as comments."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sandbox.connections().items()]
    lines += ["", f"# The sandbox answers at {sandbox.url} until Ctrl-C. Its flows:"]
    lines += [f"#   {flow.service:<13} {flow.flow_id:<22} {flow.behaviour}" for flow in flows]
    return "\n".join(lines)


def _interruption() -> threading.Event:
    """Give an event that Ctrl-C and a request to terminate set."""
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    return interrupted


if __name__ == "__main__":
    sys.exit(main())
