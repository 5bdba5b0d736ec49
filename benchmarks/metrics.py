"""Measure what metrics cost the poll loop: off, on, and beside a poll loop whose source has no calls for them.

``python -m benchmarks.metrics`` prints the polls per second of each turn.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import math
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from types import ModuleType
from typing import TYPE_CHECKING, Any

from benchmarks.bounds import Bound, Figure
from benchmarks.programs import run_in_new_process
from benchmarks.sections import Section, build_table

if TYPE_CHECKING:
    from airflow_provider_flowruns.metrics import ConnectionMetrics
    from airflow_provider_flowruns.model.runs import FlowRun
    from airflow_provider_flowruns.model.targets import Target

WAITS = 50
POLLS_PER_TURN = 20_000
TURNS = 15
#: Number of polls a second with metrics off, relative to a poll loop without calls.
MIN_RATIO = 0.97
#: Both sides are the same loop in one process, so they differ little between two runs.
SLACK = 1.1

_TEXT = """\
{waits} waits poll a client that responds at once, and their waiter asks for the next poll at once: nothing is \
measured but the poll loop itself, which in use is a small part of a poll. *Without calls* is the same source code, \
from which this benchmark has removed every line about metrics. *On* sends to a StatsD server, including the CPU time \
of the thread that reports. Polls per second of CPU time; medians of {turns} turns with {polls:,} polls of each \
variant, in changing order."""


def build_sections(quick: bool) -> list[Section]:
    """Measure and return the section. ``quick`` makes no difference."""
    print("measuring metrics ...", flush=True)
    polls: dict[str, list[float]] = run_in_new_process("benchmarks.metrics")
    figures = {name: Figure.from_ratios(turns, polls["without calls"]) for name, turns in polls.items()}
    rows = [(name, f"{median(polls[name]):,.0f}", f"{figure.value:.3f}") for name, figure in figures.items()]
    description = "polls per second, metrics off, relative to without calls"
    bound = Bound(description, figures["off"], MIN_RATIO, at_least=True, slack=SLACK)
    text = _TEXT.format(waits=WAITS, turns=TURNS, polls=POLLS_PER_TURN)
    return [
        Section("What do metrics cost?", text, build_table(("metrics", "polls per second", "relative"), rows), [bound])
    ]


@dataclass(frozen=True)
class _Step:
    wait: float = 0.0
    result: bool | None = None
    messages: tuple[Any, ...] = ()


class _Waiter:
    """Asks for one poll after the other.

    :param target: what it polls.
    :param polls: number of polls until its result.
    """

    deadline = error_budget = math.inf
    vendor_offset = 0.0

    def __init__(self, target: Target, polls: int) -> None:
        self.target = target
        self._left = polls

    def step(self, seen: object, now: float) -> _Step:
        """Take a response."""
        self._left -= 1
        return _Step(result=None if self._left else True)

    def measure_delays(self, now: float) -> tuple[float, ...]:
        """Return the delays of its runs."""
        return ()


class _Client:
    """Responds at once."""

    def __init__(self) -> None:
        from airflow_provider_flowruns.client.vendor_clock import VendorClock

        self.vendor_clock = VendorClock()

    async def poll(self, target: Target) -> tuple[FlowRun, ...]:
        """Return no run."""
        await asyncio.sleep(0)
        return ()


class _MetricsRemover(ast.NodeTransformer):
    """Removes what a module does about ``self._metrics``."""

    def __init__(self) -> None:
        self.removed_count = 0

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Remove a condition on the metrics with its body."""
        return self._remove(node, node.test) or self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        """Remove the attribute itself."""
        return self._remove(node, node.targets[0]) or node

    def _remove(self, node: ast.AST, about: ast.expr) -> ast.Pass | None:
        if "self._metrics" not in ast.unparse(about):
            return None
        self.removed_count += 1
        return ast.copy_location(ast.Pass(), node)


def _build_module_without_calls() -> ModuleType:
    """Return the module of the poll loop, compiled without the lines about metrics."""
    from airflow_provider_flowruns.triggers import poll_loop

    remover = _MetricsRemover()
    tree = remover.visit(ast.parse(inspect.getsource(poll_loop)))
    assert remover.removed_count > 5
    assert "self._metrics" not in ast.unparse(tree)
    module = ModuleType("poll_loop_without_calls")
    exec(compile(tree, "poll_loop_without_calls", "exec"), module.__dict__)  # ruff: ignore[exec-builtin]
    return module


def _measure(create_poll_loop: Callable[[], Any]) -> float:
    """Return the number of polls per second of CPU time."""

    async def work() -> None:
        poll_loop = create_poll_loop()
        waiters = [_Waiter(_build_target(number), POLLS_PER_TURN // WAITS) for number in range(WAITS)]
        await asyncio.gather(*(poll_loop.wait_for_result(waiter, print, 0.0) for waiter in waiters))

    began = time.process_time()
    asyncio.run(work())
    return POLLS_PER_TURN / (time.process_time() - began)


def _build_target(number: int) -> Target:
    from airflow_provider_flowruns.model.targets import FlowStatusTarget

    return FlowStatusTarget("portable", str(number))


def _measure_in_turns() -> dict[str, list[float]]:
    from airflow_provider_flowruns.metrics import ConnectionMetrics
    from airflow_provider_flowruns.polling.durations import RunDurations
    from airflow_provider_flowruns.triggers import poll_loop

    def build(module: Any, metrics: ConnectionMetrics | None = None) -> Callable[[], Any]:
        more = (metrics,) if metrics else ()
        return lambda: module.PollLoop(_Client(), RunDurations(), *more)

    candidates = {
        "without calls": build(_build_module_without_calls()),
        "off": build(poll_loop),
        "on": build(poll_loop, ConnectionMetrics.create("portable", "portable_default")),
    }
    polls: dict[str, list[float]] = {name: [] for name in candidates}
    names = [*candidates]
    for turn in range(TURNS):
        for name in names[turn % 3 :] + names[: turn % 3]:
            polls[name].append(_measure(candidates[name]))
    return polls


def measure() -> dict[str, list[float]]:
    """Return the polls per second of each turn of each candidate. This process's Airflow sends metrics from now on."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        settings = {"ON": "True", "HOST": "127.0.0.1", "PORT": str(server.getsockname()[1])}
        os.environ |= {f"AIRFLOW__METRICS__STATSD_{name}": value for name, value in settings.items()}
        polls = _measure_in_turns()
        assert server.recv(1_000), "nothing was sent"
    return polls


if __name__ == "__main__":
    print(json.dumps(measure()))
