"""Everything around the waits is restarted in turn; no wait fails, ends early or starts a second run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow, SandboxRun
from tools.celery_airflow import CeleryAirflow
from tools.postgresql import PostgresServer
from tools.redis_server import RedisServer

pytestmark = pytest.mark.airflow

DAG_ID = "restarts"
SENSORS = ("deferred", "poke", "reschedule")
OPERATORS = ("deferred_start", "start")
API_SERVER_SECONDS, DATABASE_SECONDS, BROKER_SECONDS, SCHEDULER_SECONDS = 30.0, 10.0, 10.0, 10.0


class Waits:
    """A DAG run with a wait of every kind, each on a flow of its own."""

    def __init__(self, airflow: CeleryAirflow, sandbox: Sandbox) -> None:
        self.airflow, self.sandbox = airflow, sandbox
        self.flows: dict[str, SandboxFlow[Any]] = {name: sandbox.portable.add_flow() for name in (*SENSORS, *OPERATORS)}
        for name, flow in self.flows.items():
            flow.add_run(ago=60)  # it ended before the waits began, so it must not count
            if name in OPERATORS:
                flow.next_run(outcome="RUNNING", always=True)
        flow_ids = {name: str(flow.id) for name, flow in self.flows.items()}
        self.run_id = airflow.trigger(DAG_ID, {"flows": flow_ids, "after": datetime.now(UTC).isoformat()})

    def count_polls(self, name: str) -> int:
        path = rf"/flows/{self.flows[name].id}/run$"
        return self.sandbox.ledger.count(service="portable", method="GET", path=path)

    def wait_for_polls(self, count: int) -> None:
        """Wait until each wait has polled its flow this number of times from now on."""
        before = {name: self.count_polls(name) for name in self.flows}

        def have_polled() -> bool:
            return all(self.count_polls(name) >= before[name] + count for name in self.flows)

        # After Redis was away, a Celery worker may accept a task without starting it. Airflow queues it again after the
        # time in conftest.py, and the same may happen to the next one.
        self.airflow.wait_for(f"{count} polls of each wait", have_polled, 900)

    def check_still_waiting(self) -> None:
        """Check that every wait polls, and that none has ended or started another run."""
        self.wait_for_polls(2)
        states = {task.task_id: task.state for task in self.airflow.list_task_instances(DAG_ID, self.run_id)}
        assert not {*states.values()} & {"success", "failed", "upstream_failed"}, states
        for name in OPERATORS:
            assert len(self.list_started(name)) == 1
            assert not self.list_started(name)[0].canceled

    def list_started(self, name: str) -> list[SandboxRun]:
        return [run for run in self.flows[name].runs if run.trigger == self.flows[name].status_names.api_trigger]


@pytest.fixture(scope="module")
def waits(stack: CeleryAirflow, sandbox: Sandbox) -> Iterator[Waits]:
    """Return the waits, each of which has polled its flow."""
    stack.restore()
    waits = Waits(stack, sandbox)
    stack.wait_for("the starts", lambda: all(waits.list_started(name) for name in OPERATORS), 240)
    waits.wait_for_polls(2)
    yield waits
    for flow in waits.flows.values():
        flow.delete()


def test_both_schedulers_are_restarted(airflow: CeleryAirflow, waits: Waits) -> None:
    airflow.kill("scheduler-1")
    airflow.kill("scheduler-2")
    time.sleep(SCHEDULER_SECONDS)
    airflow.restore()
    waits.check_still_waiting()


def test_the_api_server_is_away_for_half_a_minute(airflow: CeleryAirflow, waits: Waits) -> None:
    airflow.kill("api-server")
    time.sleep(API_SERVER_SECONDS)
    airflow.restore()
    waits.check_still_waiting()


def test_postgresql_is_away_for_ten_seconds(airflow: CeleryAirflow, waits: Waits, postgresql: PostgresServer) -> None:
    with airflow.service_manager():  # schedulers and triggerers end when they lose their database
        postgresql.shut_down()
        try:
            time.sleep(DATABASE_SECONDS)
        finally:
            postgresql.start()
        airflow.restore()
        waits.check_still_waiting()


def test_redis_is_away_for_ten_seconds(airflow: CeleryAirflow, waits: Waits, broker: RedisServer) -> None:
    broker.shut_down()
    try:
        time.sleep(BROKER_SECONDS)
    finally:
        broker.start()
    airflow.restore()
    waits.check_still_waiting()


def test_after_all_restarts_each_wait_ends_with_its_own_run(airflow: CeleryAirflow, waits: Waits) -> None:
    expected = {name: waits.flows[name].add_run() for name in SENSORS}
    for name in OPERATORS:
        (run,) = waits.list_started(name)
        run.end()
        expected[name] = run
    assert airflow.wait_for_run(DAG_ID, waits.run_id, timeout=300) == "success"
    results = {name: airflow.get_xcom(DAG_ID, waits.run_id, name)["run_id"] for name in waits.flows}
    assert results == {name: str(run.id) for name, run in expected.items()}
    assert all(len(waits.list_started(name)) == 1 for name in OPERATORS)
