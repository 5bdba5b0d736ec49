"""Run thousands of waits that come and go in a real triggerer for hours, against services that fail in many ways.

Run by ``make soak``. It fails if a wait is lost, ends twice or ends with another outcome than its run, or if memory or
the number of open sockets grows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import psutil

from airflow_provider_flowruns.sandbox import Sandbox
from benchmarks.saved_waits import add_waits, replace_waits
from benchmarks.triggerer_airflow import TRIGGERER, TriggererAirflow, run_triggerer_airflow
from tools.connections_file import ConnectionsFile
from tools.postgresql import PostgresServer

SERVICES = ("portable", "activepieces", "tableflow")
INTERVAL_SECONDS = 60.0
#: Shortest and longest time in seconds that a run still takes when its wait begins.
RUN_SECONDS = (30.0, 300.0)
FAILED_SHARE = 0.2
#: Shares of the requests that fail with HTTP 503, or whose connection is reset.
STATUS_SHARE, RESET_SHARE = 0.05, 0.01
BURST_SECONDS, BURST_INTERVAL_SECONDS = 10.0, 120.0
#: Time in seconds for which Airflow still has the token that the service has revoked.
ROTATION_SECONDS = 15.0
TICK_SECONDS = 5.0
#: At the end, every wait has this time to end in seconds: a run's longest duration and some polls.
DRAIN_SECONDS = RUN_SECONDS[1] + 8 * INTERVAL_SECONDS
QUARTERS = 4
#: A quarter's figures are medians over its second half: a triggerer that was started for it has loaded all waits then.
GROWTH_LIMIT = 1.1
MAX_REPORTED = 50

CONN_IDS = {service: f"{service}_soak" for service in SERVICES}
#: What Airflow logs for each event of a trigger.
FIRED = "Trigger fired event"


@dataclass(frozen=True)
class Expected:
    """How a wait has to end: with this id, of a flow on Portable and of a run elsewhere, and with this outcome."""

    target_id: str
    outcome: str


@dataclass
class Samples:
    """Samples of the triggerer, for each quarter of the soak: unique set size in bytes, and number of open sockets."""

    memory: list[list[int]] = field(default_factory=lambda: [[] for _ in range(QUARTERS)])
    sockets: list[list[int]] = field(default_factory=lambda: [[] for _ in range(QUARTERS)])

    def take(self, airflow: TriggererAirflow, quarter: int) -> None:
        """Sample all processes of the triggerer."""
        processes = [psutil.Process(pid) for pid in airflow.list_process_ids(TRIGGERER)]
        self.memory[quarter].append(sum(process.memory_full_info().uss for process in processes))
        self.sockets[quarter].append(sum(len(process.net_connections("inet")) for process in processes))


class Services:
    """The sandbox, its faults, and the tokens that Airflow has for it."""

    def __init__(self, sandbox: Sandbox, connections_file: ConnectionsFile) -> None:
        self._sandbox = sandbox
        self._file = connections_file
        self._flows = {name: getattr(sandbox, name).add_flow() for name in ("activepieces", "tableflow")}
        self._next_burst_at = self._burst_ends_at = 0.0
        self.write_connections()

    def write_connections(self) -> None:
        """Write the connections, with the tokens of now, to the secrets backend's file."""
        connections = {}
        for service in SERVICES:
            connection = json.loads(self._sandbox.connection_json(service))
            connections[CONN_IDS[service]] = connection | {"extra": json.dumps(connection["extra"])}
        self._file.write(connections)

    def add_run(self, number: int) -> tuple[str, Expected]:
        """Add a run in progress, and return its service and how a wait for it has to end."""
        service = SERVICES[number % len(SERVICES)]
        flow = self._sandbox.portable.add_flow() if service == "portable" else self._flows[service]
        outcome: Literal["FAILED", "SUCCEEDED"] = "FAILED" if random.random() < FAILED_SHARE else "SUCCEEDED"
        run = flow.add_run(outcome=outcome, waiting=0.0, running=random.uniform(*RUN_SECONDS))
        target_id = str(flow.id if service == "portable" else run.id)
        return service, Expected(target_id, outcome.lower())

    def fail(self, now: float) -> None:
        """Let some of all requests fail, and from time to time all requests of one service for some seconds."""
        if now >= self._next_burst_at:
            self._next_burst_at, self._burst_ends_at = now + BURST_INTERVAL_SECONDS, now + BURST_SECONDS
            self._set_faults(limited=random.choice(SERVICES))
        elif now >= self._burst_ends_at:
            self._burst_ends_at = math.inf
            self._set_faults()

    def _set_faults(self, limited: str | None = None) -> None:
        self._sandbox.faults.clear()
        if limited:
            headers = {"Retry-After": str(int(BURST_SECONDS))}
            self._sandbox.faults.add("status", service=limited, times=None, status=429, headers=headers)
        self._sandbox.faults.add("status", times=None, share=STATUS_SHARE, status=503)
        self._sandbox.faults.add("reset", times=None, share=RESET_SHARE)

    def revoke_tokens(self) -> None:
        """Change all tokens. Airflow does not know the new ones until :meth:`write_connections`."""
        for service in SERVICES:
            api = getattr(self._sandbox, service)
            api.token = f"rotated-{service}-{random.randrange(10**6)}"


class Soak:
    """Waits that come and go.

    :param airflow: the Airflow with its triggerer.
    :param services: the services whose runs are waited for.
    :param population: number of open waits to keep.
    """

    def __init__(self, airflow: TriggererAirflow, services: Services, population: int) -> None:
        self._airflow = airflow
        self._services = services
        self._population = population
        self._open: dict[int, Expected] = {}
        self._next_number = 0
        self._source_id = ""
        self.ended = 0
        self.wrong: list[str] = []
        self.samples = Samples()

    def run(self, seconds: float) -> None:
        """Keep the population for a time, then wait until all waits have ended."""
        from airflow.utils.session import create_session

        with create_session() as session:
            self._source_id = replace_waits(session)
            session.commit()
        started_at = time.monotonic()
        rotate_at = started_at + seconds / 3
        self._airflow.start(TRIGGERER)
        for quarter in range(QUARTERS):
            if quarter:
                self._airflow.kill(TRIGGERER)
                self._airflow.start(TRIGGERER)
            quarter_ends_at = started_at + seconds * (quarter + 1) / QUARTERS
            while (now := time.monotonic()) < quarter_ends_at:
                self._services.fail(now)
                if rotate_at <= now:
                    rotate_at = now + seconds
                    self._rotate_tokens()
                self._settle(self._population)
                if quarter_ends_at - now < seconds / QUARTERS / 2:
                    self.samples.take(self._airflow, quarter)
                self._airflow.check_alive()
                time.sleep(TICK_SECONDS)
            print(f"quarter {quarter + 1}: {self.ended:,} waits ended, {len(self._open):,} open", flush=True)
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._open and time.monotonic() < deadline:
            self._settle(0)
            time.sleep(TICK_SECONDS)
        for number, expected in self._open.items():
            self._report(f"wait {number} did not end: {expected}")
        for text in self._find_double_events():
            self._report(text)

    def _rotate_tokens(self) -> None:
        self._services.revoke_tokens()
        time.sleep(ROTATION_SECONDS)
        self._services.write_connections()

    def _settle(self, population: int) -> None:
        """Check the waits that have ended, and add new ones in their place."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            query = select(TaskInstance).where(TaskInstance.state != "deferred", TaskInstance.map_index >= 0)
            for task in session.scalars(query):
                self._check(task.map_index, str(task.state), str(task.next_kwargs))
                session.delete(task)
            session.commit()
            numbers = range(self._next_number, self._next_number + population - len(self._open))
            self._next_number += len(numbers)
            if numbers:
                add_waits(session, self._source_id, {number: self._build_trigger(number) for number in numbers})

    def _check(self, number: int, state: str, result: str) -> None:
        expected = self._open.pop(number, None)
        if expected is None:
            self._report(f"wait {number} ended twice: {state}, {result}")
        elif state == "scheduled" and expected.outcome in result and expected.target_id in result:
            self.ended += 1
        else:
            self._report(f"wait {number} should end with {expected}: {state}, {result}")

    def _report(self, text: str) -> None:
        """Count what is wrong, and print the first ones at once: they are worth a look while the triggerer runs."""
        self.wrong.append(text)
        if len(self.wrong) <= MAX_REPORTED:
            print(text, flush=True)

    def _build_trigger(self, number: int) -> Any:
        from airflow_provider_flowruns.model.targets import FlowStatusTarget, RunTarget
        from airflow_provider_flowruns.polling.run_waiter import RunWaiter
        from airflow_provider_flowruns.polling.wait_state import WaitConfig
        from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

        service, expected = self._services.add_run(number)
        self._open[number] = expected
        target = (FlowStatusTarget if service == "portable" else RunTarget)(service, expected.target_id)
        now = time.time()
        config = WaitConfig(target=target, interval_seconds=INTERVAL_SECONDS, deadline_at=now + 86_400.0)
        saved = json.loads(RunWaiter(config, now).to_json())
        saved["state"]["has_been_answered"] = True  # a worker defers after its first response only
        return FlowRunTrigger(CONN_IDS[service], json.dumps(saved))

    def _find_double_events(self) -> list[str]:
        """Search the tasks' logs, of which each triggerer has its own.

        A triggerer that is killed between an event and its delivery leaves it to the next one, which is no double end.
        """
        logs = list((self._airflow.home / "logs").rglob("*.log"))
        fired = {log: log.read_text(errors="replace").count(FIRED) for log in logs}
        if not any(fired.values()):
            raise RuntimeError("the tasks' logs have no events, so nothing is known about double ones")
        return [f"{log.parent.name} fired {count} events in {log.name}" for log, count in fired.items() if count > 1]


def main() -> None:
    """Run the soak, print its figures, and fail if something was lost, doubled, wrong or grew."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0, help="duration, without the end of the last waits")
    parser.add_argument("--waits", type=int, default=2_000, help="number of waits at a time")
    arguments = parser.parse_args()
    with _run_airflow(arguments.waits) as (airflow, services):
        soak = Soak(airflow, services, arguments.waits)
        soak.run(arguments.minutes * 60)
    memory, sockets = soak.samples.memory, soak.samples.sockets
    print(f"{soak.ended:,} waits ended as they had to; {len(soak.wrong)} did not")
    print(f"memory by quarter, MiB: {[round(median(sample) / 2**20) for sample in memory]}")
    print(f"open sockets by quarter, median and most: {[(median(sample), max(sample)) for sample in sockets]}")
    # Idle connections come and go with the polls, so their number is compared with the most in the first quarter.
    grown = {
        "memory": median(memory[-1]) > median(memory[0]) * GROWTH_LIMIT,
        "open sockets": median(sockets[-1]) > max(sockets[0]),
    }
    failures = [f"{name} grew" for name, has_grown in grown.items() if has_grown]
    print(f"FAILS: {', '.join(failures)}" if failures else "nothing grew")
    sys.exit(1 if failures or soak.wrong else 0)


@contextmanager
def _run_airflow(waits: int) -> Generator[tuple[TriggererAirflow, Services]]:
    with (
        tempfile.TemporaryDirectory(prefix="flowruns-soak-") as folder,
        Sandbox() as sandbox,
        PostgresServer() as server,
    ):
        connections_file = ConnectionsFile(Path(folder, "connections.json"))
        services = Services(sandbox, connections_file)
        with run_triggerer_airflow(server, waits * 2, connections_file.settings) as airflow:
            os.environ |= airflow.environment  # this process writes to the same database
            yield airflow, services


if __name__ == "__main__":
    main()
