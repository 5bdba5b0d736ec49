"""Run the sandbox with example flows from a shell, until Ctrl-C."""

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
    """Start a sandbox, print how to use it, and wait for an interrupt.

    :param arguments: the command line; None for that of the process.
    :return: exit status: 0, or 1 if the server cannot start.
    """
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_flowruns.sandbox",
        description="Run the APIs of Portable, Activepieces and TableFlow locally, to try DAGs without an account.",
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    interrupted = _handle_interrupts()
    sandbox = Sandbox(port=parser.parse_args(arguments).port, ledger_capacity=LEDGER_CAPACITY)
    try:
        sandbox.start()
    except (OSError, OverflowError) as error:
        print(f"The sandbox cannot start: {error}", file=sys.stderr)
        return 1
    try:
        print(_build_instructions(sandbox, seed(sandbox)), flush=True)
        interrupted.wait()
    finally:
        sandbox.stop()
    return 0


def _build_instructions(sandbox: Sandbox, flows: Sequence[SeededFlow]) -> str:
    """Return lines for a shell, with a table of the flows as comments."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sandbox.connections().items()]
    lines += ["", f"# The sandbox is running at {sandbox.url} until Ctrl-C. Its flows:"]
    lines += [f"#   {flow.service:<13} {flow.flow_id:<22} {flow.behaviour}" for flow in flows]
    return "\n".join(lines)


def _handle_interrupts() -> threading.Event:
    """Return an event that is set by SIGINT (Ctrl-C) and SIGTERM."""
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    return interrupted


if __name__ == "__main__":
    sys.exit(main())
