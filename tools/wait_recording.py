"""A real wait of a deferrable sensor for a run of the sandbox, with the times of what happened in it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from unittest.mock import patch

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.scenario import PORTABLE_FLOW_ID
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.testing.task_modes import run_in
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

#: The run begins this many seconds after the wait, is pending and then runs.
CREATED_AFTER, PENDING_SECONDS, RUNNING_SECONDS = 12.0, 8.0, 40.0
#: How long the run took on the days before.
EARLIER_SECONDS = (36.0, 38.0, 41.0, 44.0)


class Recording(NamedTuple):
    """What happened in a wait; times are seconds after its start.

    :param polls: when the sandbox got the requests.
    :param statuses: when the run had which status.
    :param lines: the log.
    """

    polls: Sequence[float]
    statuses: Sequence[tuple[float, str]]
    lines: Sequence[tuple[float, str]]


class LogRecorder(logging.Handler):
    """Keeps the lines of a log with their times."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append((record.created, record.getMessage()))


def record_wait() -> Recording:
    """Let a deferrable sensor wait for a run, and return what happened."""
    recorder = LogRecorder()
    log = logging.getLogger("wait")
    log.setLevel(logging.INFO)
    log.addHandler(recorder)
    with Sandbox() as sandbox, patch.object(FlowRunSensor, "log", log), patch.object(FlowRunTrigger, "_log", log):
        os.environ |= sandbox.connections()
        flow = sandbox.portable.add_flow("Orders to warehouse", flow_id=PORTABLE_FLOW_ID)
        for days, seconds in enumerate(EARLIER_SECONDS, start=1):
            flow.add_run(waiting=PENDING_SECONDS, running=seconds, ago=days * 86_400.0)
        start = time.time()
        runs: list[Any] = []

        def add_run() -> None:
            runs.append(flow.add_run(waiting=PENDING_SECONDS, running=RUNNING_SECONDS))

        timer = threading.Timer(CREATED_AFTER, add_run)
        timer.start()
        guard = datetime.fromtimestamp(start, UTC) - timedelta(minutes=5)
        end = run_in("deferrable", lambda **mode: _make_sensor(guard, **mode))
        timer.join()
        if end.state != "success":
            raise RuntimeError(f"The wait ended as {end}")
        polls = [request.time - start for request in sandbox.ledger.requests]
        statuses = [(change.at - start, change.status) for change in runs[0].list_status_changes(time.time())]
    return Recording(polls, statuses, [(at - start, line) for at, line in recorder.lines])


def _make_sensor(guard: datetime, **mode: Any) -> PortableFlowSensor:
    return PortableFlowSensor(task_id="wait_for_orders", flow_id=PORTABLE_FLOW_ID, completed_after=guard, **mode)
