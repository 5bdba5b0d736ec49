"""Draw a wait for the home page, from a real one: ``python -m tools.wait_picture`` writes ``docs/images/wait.svg``.

A deferrable sensor and its trigger wait for a run of the sandbox, which takes about a minute. The picture has the times
at which the sandbox got their requests and changed the status of the run, and lines of their log.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple
from unittest.mock import patch

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.scenario import PORTABLE_FLOW_ID
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
from tools.task_modes import run_in

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "wait.svg"

#: The run begins this many seconds after the wait, is pending and then runs.
CREATED_AFTER, PENDING_SECONDS, RUNNING_SECONDS = 12.0, 8.0, 40.0
#: How long the run took on the days before.
EARLIER_SECONDS = (36.0, 38.0, 41.0, 44.0)

#: The layout, in the units of the picture: small enough for a phone.
WIDTH, MARGIN, LABELS, TIME_WIDTH = 480, 14, 88, 34
FONT, LINE, LINE_CHARS = 13, 18, 50
LANE_TOP, LANE, BAR, MIN_BAR = 24, 32, 20, 4
AXIS = LANE_TOP + 3 * LANE + 14
LANES_HEIGHT = AXIS + 10
STATUS_COLORS = {"PENDING": "#7b879b", "RUNNING": "#2f7fd1", "SUCCEEDED": "#2c9c69"}
WORKER_COLOR = "#b98bea"


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


def draw(recording: Recording) -> str:
    """Return a picture of a wait as SVG. It has a dark background of its own, which light and dark pages can show."""
    end = max(at for at, _ in recording.lines)
    parts = [*_draw_lanes(recording, end), *_draw_log(recording, top=LANES_HEIGHT)]
    height = LANES_HEIGHT + LINE * sum(len(texts) for _, texts in _choose_lines(recording)) + MARGIN
    description = escape(". ".join(" ".join(texts) for _, texts in _choose_lines(recording)))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="640" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>A deferred task waits for a run</title><desc>{description}</desc>",
            f"<style>text {{ fill: #dbe4f0; font: {FONT}px sans-serif; }} .log {{ font-family: monospace; }} "
            ".quiet { fill: #93a1b5; } .end { text-anchor: end; } .middle { text-anchor: middle; }</style>",
            f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#16202e"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _draw_lanes(recording: Recording, end: float) -> Iterator[str]:
    def x(seconds: float) -> float:
        return round(LABELS + (WIDTH - LABELS - MARGIN) * min(seconds / (end + 2), 1.0), 1)

    def bar(lane: int, begin: float, until: float, color: str) -> str:
        width = round(max(x(until) - x(begin), MIN_BAR), 1)
        return (
            f'<rect x="{x(begin)}" y="{LANE_TOP + LANE * lane}" width="{width}" height="{BAR}" rx="3" fill="{color}"/>'
        )

    for lane, name in enumerate(("worker", "triggerer", "flow run")):
        yield f'<text x="{MARGIN}" y="{LANE_TOP + LANE * lane + BAR - 5}">{name}</text>'
    for seconds in range(0, int(end) + 1, 10):
        yield f'<path d="M{x(seconds)} {LANE_TOP - 6}V{AXIS - 12}" stroke="#2b3a50"/>'
        yield f'<text class="quiet middle" x="{x(seconds)}" y="{AXIS}">{seconds} s</text>'
    deferred_at = next(at for at, line in recording.lines if line.startswith("The triggerer"))
    yield bar(0, 0, deferred_at, WORKER_COLOR)
    yield bar(0, recording.polls[-1], end, WORKER_COLOR)
    yield f'<text class="quiet middle" x="{x(end / 2)}" y="{LANE_TOP + BAR - 5}">the slot is free</text>'
    yield f'<path d="M{x(deferred_at)} {LANE_TOP + LANE + BAR / 2}H{x(end)}" stroke="#4a5d78" stroke-width="2"/>'
    for at in recording.polls[1:]:
        yield f'<circle cx="{x(at)}" cy="{LANE_TOP + LANE + BAR / 2}" r="4.5" fill="#ffc857"/>'
    for (begin, status), (until, _) in pairwise([*recording.statuses, (end + 2, "")]):
        yield bar(2, begin, until, STATUS_COLORS[status])
        if x(until) - x(begin) > len(status) * FONT * 0.7:
            middle = (x(begin) + x(until)) / 2
            yield f'<text class="middle" x="{middle}" y="{LANE_TOP + LANE * 2 + BAR - 5}">{status}</text>'


def _draw_log(recording: Recording, top: int) -> Iterator[str]:
    y = top + LINE
    for at, texts in _choose_lines(recording):
        yield f'<text class="log quiet end" x="{MARGIN + TIME_WIDTH}" y="{y}">{at:.0f} s</text>'
        for text in texts:
            yield f'<text class="log" x="{MARGIN + TIME_WIDTH + 10}" y="{y}">{escape(text)}</text>'
            y += LINE


def _choose_lines(recording: Recording) -> list[tuple[float, list[str]]]:
    """Return the lines of the log about runs, without repetitions, each in pieces that fit."""
    first_times: dict[str, float] = {}
    for at, line in recording.lines:
        if line.startswith(("no fresh run", "run ")):
            first_times.setdefault(line, at)
    return [(at, wrap(line, LINE_CHARS)) for line, at in first_times.items()]


if __name__ == "__main__":
    PICTURE.write_text(draw(record_wait()), encoding="utf-8")
