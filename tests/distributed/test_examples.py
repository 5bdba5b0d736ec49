"""All example DAGs, with their tasks spread over two workers and their waits over two triggerers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.distributed.conftest import EXAMPLES
from tools.celery_airflow import PROCESS_HEADER, CeleryAirflow
from tools.demo import EXPECTED, WATCHER_DAG

pytestmark = pytest.mark.airflow

# What the demo leaves out, because these DAGs need runs of their own.
FURTHER = {
    "asset_events": {"load": "success"},
    "start_flow_on_failure": {"contacts_loaded": "failed"},
}
TRIGGERED_BY_EVENTS = (WATCHER_DAG, "asset_events_consumer")


@pytest.fixture
def watcher_dag(airflow: CeleryAirflow) -> Iterator[None]:
    """Let the DAG run that starts whenever a run of an example flow has ended."""
    airflow.set_paused(WATCHER_DAG, False)
    yield
    airflow.set_paused(WATCHER_DAG)


@pytest.mark.usefixtures("watcher_dag")
def test_every_example_ends_as_it_should(airflow: CeleryAirflow) -> None:
    expected = {dag_id: tasks for dag_id, tasks in {**EXPECTED, **FURTHER}.items() if dag_id != WATCHER_DAG}
    airflow.wait_until_ready([*expected, *TRIGGERED_BY_EVENTS])
    runs = {dag_id: airflow.trigger(dag_id) for dag_id in expected}
    for dag_id, run_id in runs.items():
        airflow.wait_for_run(dag_id, run_id, timeout=600)
    found = {
        dag_id: {task.task_id: task.state for task in airflow.list_task_instances(dag_id, run_id)}
        for dag_id, run_id in runs.items()
    }
    assert found == expected
    for dag_id in TRIGGERED_BY_EVENTS:
        airflow.wait_for(f"a DAG run of {dag_id}", partial(has_succeeded, airflow, dag_id), 120)


def has_succeeded(airflow: CeleryAirflow, dag_id: str) -> bool:
    """Return whether a DAG run of a DAG has succeeded."""
    return any(run["state"] == "success" for run in airflow.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"])


def test_every_example_file_is_tested() -> None:
    tested = {*EXPECTED, *FURTHER, *TRIGGERED_BY_EVENTS}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested


def test_workers_start_and_triggerers_wait(airflow: CeleryAirflow, sandbox: Sandbox) -> None:
    polls = [request for request in sandbox.ledger.requests if request.method == "GET"]
    processes = {poll.headers.get(PROCESS_HEADER.lower()) for poll in polls}
    assert processes == {"worker-1", "worker-2", "triggerer-1", "triggerer-2"}


def test_the_first_deferral_logs_no_missing_link(airflow: CeleryAirflow) -> None:
    """Airflow asks for a task's links when it defers, before the run is known."""
    logs: list[Path] = [airflow.home / "components" / f"worker-{number}.log" for number in (1, 2)]
    logs.extend((airflow.home / "logs").rglob("attempt=*.log"))
    assert len(logs) > 2
    assert [path.name for path in logs if "XCom not found" in path.read_text(errors="replace")] == []
