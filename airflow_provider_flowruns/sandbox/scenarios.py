"""Scenarios: what the runs of the example flows do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.runs import RunOptions
from airflow_provider_flowruns.sandbox.scenario import HISTORY_SECONDS, SeededFlow, add_flows, seed
from airflow_provider_flowruns.sandbox.server import Sandbox

DEFAULT_SCENARIO = "examples"

SLOW_RUN_SECONDS = 600.0
SLOW_SCHEDULE_SECONDS = 900.0
SLOW_HISTORY_SECONDS = 10 * SLOW_SCHEDULE_SECONDS + SLOW_RUN_SECONDS / 2
"""Age of the schedule; at the start its newest run has taken half of its time."""


class Scenario(NamedTuple):
    """A way for the runs of the example flows to proceed. The ids are the same in all scenarios.

    :param description: what the runs do, for the help of the command.
    :param seed: adds the flows to a sandbox and returns them.
    """

    description: str
    seed: Callable[[Sandbox], list[SeededFlow]]


def _seed_failing(sandbox: Sandbox) -> list[SeededFlow]:
    options: RunOptions = {"outcome": "FAILED", "waiting": 0.0, "running": 4.0, "errors": ["The source is down"]}
    scheduled: RunOptions = {**options, "ago": HISTORY_SECONDS}
    seeded = []
    for service, flow in _add_flows(sandbox):
        flow.schedule(every=20.0, **scheduled)
        flow.next_run(always=True, **options)
        seeded.append(SeededFlow(service, flow.id, "runs every 20 s; each run fails after 4 s"))
    return seeded


def _seed_slow(sandbox: Sandbox) -> list[SeededFlow]:
    options: RunOptions = {"waiting": 0.0, "running": SLOW_RUN_SECONDS}
    scheduled: RunOptions = {**options, "ago": SLOW_HISTORY_SECONDS}
    seeded = []
    for service, flow in _add_flows(sandbox):
        flow.schedule(every=SLOW_SCHEDULE_SECONDS, **scheduled)
        flow.next_run(always=True, **options)
        seeded.append(SeededFlow(service, flow.id, "runs every 15 min for 10 min; a run is active, for another 5 min"))
    return seeded


def _seed_empty(sandbox: Sandbox) -> list[SeededFlow]:
    seeded = []
    for service, flow in _add_flows(sandbox):
        flow.next_run(always=True, waiting=0.0, running=5.0)
        seeded.append(SeededFlow(service, flow.id, "has never run; a run that is started succeeds after 5 s"))
    return seeded


def _add_flows(sandbox: Sandbox) -> Iterator[tuple[str, SandboxFlow[Any]]]:
    for service, flows in add_flows(sandbox)._asdict().items():
        for flow in flows.values():
            yield service, flow


SCENARIOS: Mapping[str, Scenario] = {
    DEFAULT_SCENARIO: Scenario("some flows succeed, one fails, one is slow, one loads no rows", seed),
    "failing": Scenario("every run fails after 4 s", _seed_failing),
    "slow": Scenario("every run takes 10 min, and one of each flow is active", _seed_slow),
    "empty": Scenario("no flow has ever run", _seed_empty),
}
"""The scenarios by name."""
