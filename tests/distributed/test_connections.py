"""Connections from a secrets backend, whose tokens the services revoke before Airflow has the new ones."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow
from tools.celery_airflow import CeleryAirflow
from tools.connections_file import ConnectionsFile

pytestmark = pytest.mark.airflow

SERVICES = ("portable", "activepieces", "tableflow")
DAG_ID = "rotated_waits"
WAITS_PER_SERVICE = 3
UNAUTHORIZED = 401


def write_connections(file: ConnectionsFile, sandbox: Sandbox) -> None:
    """Write the services' present tokens into the secrets backend."""
    file.write({f"{service.name}_rotated": json.loads(service.connection_json()) for service in sandbox.services})


def count_statuses(sandbox: Sandbox, since: int) -> Counter[tuple[str, int | None]]:
    """Return the number of requests by service and status, without the first ones."""
    return Counter((request.service, request.status) for request in sandbox.ledger.requests[since:])


@pytest.fixture
def waits(
    airflow: CeleryAirflow, rotated_sandbox: Sandbox, connections_file: ConnectionsFile
) -> tuple[str, list[SandboxFlow[Any]]]:
    """Return a DAG run whose waits are deferred and have been polled, and their flows."""
    write_connections(connections_file, rotated_sandbox)
    flows: dict[str, list[SandboxFlow[Any]]] = {
        name: [getattr(rotated_sandbox, name).add_flow() for _ in range(WAITS_PER_SERVICE)] for name in SERVICES
    }
    conf = {name: [str(flow.add_run(outcome="RUNNING").id) for flow in some] for name, some in flows.items()}
    conf["portable"] = [str(flow.id) for flow in flows["portable"]]
    run_id = airflow.trigger(DAG_ID, {**conf, "after": datetime(2020, 1, 1, tzinfo=UTC).isoformat()})
    count = WAITS_PER_SERVICE * len(flows)

    def are_deferred() -> bool:
        states = Counter(task.state for task in airflow.list_task_instances(DAG_ID, run_id) if task.map_index >= 0)
        return states["deferred"] == count

    airflow.wait_for(f"{count} deferred tasks", are_deferred, 300)
    before = len(rotated_sandbox.ledger.requests)
    airflow.wait_for("polls in the triggerers", lambda: len(count_statuses(rotated_sandbox, before)) == len(flows), 180)
    return run_id, [flow for some in flows.values() for flow in some]


def test_waits_survive_a_token_that_is_revoked_before_airflow_has_the_new_one(
    airflow: CeleryAirflow,
    rotated_sandbox: Sandbox,
    connections_file: ConnectionsFile,
    waits: tuple[str, list[SandboxFlow[Any]]],
) -> None:
    run_id, flows = waits

    def wait_for_status(status: int) -> None:
        before = len(rotated_sandbox.ledger.requests)
        wanted = {(service, status) for service in SERVICES}
        airflow.wait_for(
            f"HTTP {status} of all services", lambda: wanted <= count_statuses(rotated_sandbox, before).keys(), 300
        )

    for service in rotated_sandbox.services:
        service.token = f"new-{service.name}-token"
    wait_for_status(UNAUTHORIZED)
    write_connections(connections_file, rotated_sandbox)
    wait_for_status(200)
    for flow in flows:
        flow.runs[-1].end()
    assert airflow.wait_for_run(DAG_ID, run_id, timeout=400) == "success"
    assert {task.try_number for task in airflow.list_task_instances(DAG_ID, run_id)} == {1}
