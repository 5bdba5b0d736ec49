"""The command ``watch``."""

from __future__ import annotations

import logging
import sys
import time
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import conf
from msgspec.structs import replace

from airflow_provider_flowruns.cli.connections import open_hook
from airflow_provider_flowruns.cli.exit_codes import ExitCode
from airflow_provider_flowruns.cli.output import clean_line, format_time, print_error, print_line, print_note
from airflow_provider_flowruns.cli.runs import build_run_target
from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitConfig, WaitResult
from airflow_provider_flowruns.tasks.arguments import parse_seconds
from airflow_provider_flowruns.tasks.base import WaitingTask
from airflow_provider_flowruns.tasks.explained_errors import get_explanation
from airflow_provider_flowruns.tasks.outcomes import build_error

_EXIT_CODES = {
    Outcome.SUCCEEDED: ExitCode.OK,
    Outcome.FAILED: ExitCode.FAILED,
    Outcome.CANCELED: ExitCode.CANCELED,
    Outcome.TIMED_OUT: ExitCode.TIMED_OUT,
    Outcome.UNOBSERVABLE: ExitCode.UNOBSERVABLE,
    Outcome.REFUSED: ExitCode.ERROR,
}


def watch_run(args: Namespace) -> int:
    """Wait for a run, print what the wait says, and return an exit code for how the run ended.

    :param args: the command's arguments.
    """
    interval = parse_seconds(args.poll_interval, argument="--poll-interval")
    timeout = parse_seconds(_get_default_timeout() if args.timeout is None else args.timeout, argument="--timeout")
    with open_hook(args.conn_id) as hook:
        target = build_run_target(hook, args.run_id, args.flow)
        watch = RunWatch(hook)
        config = WaitConfig(
            target=target,
            deadline_at=watch.clock.now() + timeout,
            interval_seconds=interval,
            not_found_grace_seconds=hook.info.not_found_grace,
        )
        waiter = RunWaiter(config, watch.clock.now())
        watch.waiting.log_beginning(waiter, "mode='poke'")
        try:
            result = watch.wait_for_end(waiter)
        except KeyboardInterrupt:
            print_note(f"stopped watching run {target.run_id}, which is left as it is")
            return ExitCode.INTERRUPTED
    return _report(result)


def _get_default_timeout() -> float:
    return float(conf.getfloat("sensors", "default_timeout", fallback=7 * 24 * 60 * 60))


class RunWatch(WaitingTask[Any]):
    """A wait as that of a sensor in ``poke`` mode, without a task around it.

    :param hook: the hook for the connection.
    """

    def __init__(self, hook: FlowRunsHook[Any]) -> None:
        self.hook = hook
        self.log = _create_logger()
        self.metrics = None  # they count what tasks do

    def wait_for_end(self, waiter: RunWaiter) -> WaitResult:
        """Poll until the wait ends, and return how it ended.

        :param waiter: the wait.
        """
        while (action := self.waiting.poll(waiter)).result is None:
            time.sleep(action.wait)
        return action.result


class _LinePrinter(logging.Handler):
    """Prints log lines with their time, as they come."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        moment = format_time(datetime.fromtimestamp(record.created, UTC))
        print_line(f"{moment}  {prefix}{clean_line(record.getMessage())}")
        sys.stdout.flush()


def _create_logger() -> logging.Logger:
    """Return a logger of its own: Airflow's may write elsewhere, and leave out what is no warning."""
    logger = logging.getLogger(__name__)
    logger.propagate, logger.handlers = False, [_LinePrinter()]
    logger.setLevel(logging.INFO)
    return logger


def _report(result: WaitResult) -> ExitCode:
    code = _EXIT_CODES[result.outcome]
    if code is not ExitCode.OK:
        # Its advice is for those who can clear a task and change its arguments.
        headline, *further = get_explanation(build_error(replace(result, advice="")))
        print_error(headline)
        for line in further:
            print_note(line)
    elif result.run and result.run["url"]:
        print_line(f"Run: {clean_line(result.run['url'])}")
    return code
