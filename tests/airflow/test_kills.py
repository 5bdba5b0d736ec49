"""Tasks that are killed or marked while they start a run or wait for it: one run each, other runs are unaffected."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox, SandboxRun
from tests.starting_dag_run import SERVICES, StartingDagRun, hold_start_responses
from tools.postgresql import PostgresServer
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def airflow_on_postgresql(
    connections: dict[str, str], postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAirflow]:
    """Return a second Airflow, with PostgreSQL as its database and the DAGs of these tests."""
    dags_folder = tmp_path_factory.mktemp("dags")
    shutil.copy(HERE / "dags" / "starts.py", dags_folder)
    with RealAirflow(dags_folder, env=connections, postgresql=postgresql) as airflow:
        airflow.wait_until_ready(["starts", "deferred_starts"])
        yield airflow


@pytest.fixture(params=["sqlite", "postgresql"])
def airflow_on_each_database(request: pytest.FixtureRequest) -> RealAirflow:
    """Return an Airflow on each database. Tests on PostgreSQL are skipped if it is not installed."""
    name = "airflow" if request.param == "sqlite" else "airflow_on_postgresql"
    airflow: RealAirflow = request.getfixturevalue(name)
    return airflow


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "order.pdf"
    path.write_bytes(b"%PDF-1.7 made up")
    return path


@pytest.fixture(autouse=True)
def no_faults(live_sandbox: Sandbox) -> Iterator[None]:
    yield
    live_sandbox.faults.clear()


def test_worker_killed_between_start_and_defer(
    airflow_on_each_database: RealAirflow, live_sandbox: Sandbox, document: Path
) -> None:
    airflow = airflow_on_each_database
    hold_start_responses(live_sandbox)
    dag_run = StartingDagRun(airflow, live_sandbox, document, "deferred_starts")
    for service in SERVICES:
        airflow.wait_for(f"a start on {service}", partial(dag_run.list_started, service), 120)
        dag_run.kill(service)
    dag_run.check_one_run_each()


def test_worker_killed_during_the_wait(airflow: RealAirflow, live_sandbox: Sandbox, document: Path) -> None:
    dag_run = StartingDagRun(airflow, live_sandbox, document, "starts", running=25.0)
    for service in SERVICES:
        airflow.wait_for_log("starts", dag_run.run_id, service, "is RUNNING")
        dag_run.kill(service)
    dag_run.check_one_run_each()


def test_worker_killed_between_result_and_success(airflow: RealAirflow, live_sandbox: Sandbox, document: Path) -> None:
    dag_run = StartingDagRun(airflow, live_sandbox, document, "starts", running=1.0, linger=True)
    for service in SERVICES:
        airflow.wait_for_log("starts", dag_run.run_id, service, "holding the result")
        dag_run.kill(service)
    dag_run.check_one_run_each()


@pytest.mark.parametrize("dag_id", ["deferred_starts", "starts"])
def test_marking_tasks_failed_cancels_exactly_their_own_runs(
    dag_id: str, airflow: RealAirflow, live_sandbox: Sandbox, document: Path
) -> None:
    others: list[SandboxRun] = [live_sandbox.portable.add_flow().add_run(outcome="RUNNING")]
    others.append(live_sandbox.activepieces.add_flow().add_run(outcome="PAUSED"))
    dag_run = StartingDagRun(
        airflow, live_sandbox, document, dag_id, activepieces={"outcome": "PAUSED", "running": 1.0}, running=300.0
    )
    for service, seen in (("portable", "is RUNNING"), ("activepieces", "is PAUSED"), ("tableflow", "is RUNNING")):
        airflow.wait_for_log(dag_id, dag_run.run_id, service, seen)
        if dag_id == "deferred_starts":
            dag_run.wait_for_triggerer(service)
        else:
            dag_run.wait_for_state(service, "running")

    for service in SERVICES:
        airflow.set_task_state(dag_id, dag_run.run_id, service, "failed")

    for service in ("portable", "activepieces"):
        airflow.wait_for(f"the cancel on {service}", partial(dag_run.list_canceled, service), 90)
        assert dag_run.list_canceled(service) == dag_run.list_started(service)
    airflow.wait_for(
        "the log line that the TableFlow run continues",
        lambda: "continues: TableFlow cannot cancel a run" in airflow.get_log(dag_id, dag_run.run_id, "tableflow"),
        90,
    )
    assert not any(run.canceled for run in others)
    assert airflow.wait_for_run(dag_id, dag_run.run_id) == "failed"


def test_a_clear_adopts_a_live_run_and_starts_a_new_one_after_a_result(
    airflow_on_each_database: RealAirflow, live_sandbox: Sandbox, document: Path
) -> None:
    airflow = airflow_on_each_database
    dag_run = StartingDagRun(airflow, live_sandbox, document, "deferred_starts", running=20.0)
    for service in SERVICES:
        airflow.wait_for_log("deferred_starts", dag_run.run_id, service, "is RUNNING")
        dag_run.wait_for_state(service, "deferred")
    airflow.clear_tasks("deferred_starts", dag_run.run_id, SERVICES)
    dag_run.check_one_run_each()

    airflow.clear_tasks("deferred_starts", dag_run.run_id, SERVICES)

    def has_two_runs(service: str) -> bool:
        return len(dag_run.list_started(service)) == 2

    for service in SERVICES:
        airflow.wait_for(f"a second run on {service}", partial(has_two_runs, service), 120)
    assert airflow.wait_for_run("deferred_starts", dag_run.run_id, timeout=240) == "success"
    for service in SERVICES:
        result = airflow.get_xcom("deferred_starts", dag_run.run_id, service)
        assert (dag_run.list_started(service)[1], dag_run.list_canceled(service)) == (result["run_id"], [])
