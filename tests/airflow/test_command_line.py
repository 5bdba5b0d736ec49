"""``airflow flowruns`` in a real Airflow: connections from its database, and deferred tasks from its triggers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

STORED = "stored_in_the_database"


@pytest.fixture(scope="module")
def stored_connection(airflow: RealAirflow, live_sandbox: Sandbox) -> Iterator[str]:
    """Return the id of a connection that only Airflow's database has."""
    added = airflow.run_cli("connections", "add", STORED, "--conn-json", live_sandbox.connection_json("portable"))
    assert added.returncode == 0, added.stderr
    yield STORED
    airflow.run_cli("connections", "delete", STORED)


@pytest.mark.parametrize("command", ["flows", "doctor"])
def test_a_connection_of_the_database_is_found(
    command: str, airflow: RealAirflow, live_sandbox: Sandbox, stored_connection: str
) -> None:
    flow = live_sandbox.portable.add_flow("Of the command line")
    result = airflow.run_cli("flowruns", command, "--conn-id", stored_connection)
    assert result.returncode == 0, result.stdout + result.stderr
    assert live_sandbox.portable.token not in result.stdout + result.stderr
    assert (f"{flow.id}" if command == "flows" else f"{stored_connection} works") in result.stdout


def test_the_output_for_programs_has_nothing_else_in_it(
    airflow: RealAirflow, live_sandbox: Sandbox, stored_connection: str
) -> None:
    result = airflow.run_cli("flowruns", "flows", "--conn-id", stored_connection, "--output", "json")
    listed = {record["flow_id"] for record in json.loads(result.stdout)}
    assert listed == {str(flow.id) for flow in live_sandbox.portable.flows}


def test_why_reads_the_saved_trigger_of_a_deferred_task(airflow: RealAirflow, live_sandbox: Sandbox) -> None:
    flow = live_sandbox.portable.add_flow()
    now = datetime.now(UTC).replace(microsecond=0)
    run_id = airflow.trigger("early_deferral", {"flow": str(flow.id), "completed_after": now.isoformat()})
    airflow.wait_for_task("early_deferral", run_id, "wait", ["deferred"], timeout=240)
    result = airflow.run_cli("flowruns", "why", "early_deferral", run_id, "wait")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"task wait of early_deferral in DAG run {run_id} is deferred:" in result.stdout
    assert f"the last run of Portable flow {flow.id}" in result.stdout
    assert f"a run that ended at {now:%Y-%m-%d %H:%M:%S} UTC or later (completed_after)" in result.stdout
    assert "(timeout)" in result.stdout
    flow.add_run(waiting=0.0, running=0.0)  # ends the wait


def test_why_says_that_a_task_is_not_there(airflow: RealAirflow) -> None:
    result = airflow.run_cli("flowruns", "why", "early_deferral", "no_such_run", "wait")
    assert result.returncode == 1
    assert "Airflow's database has no task wait of early_deferral in DAG run no_such_run" in result.stderr
    assert "Traceback" not in result.stderr
