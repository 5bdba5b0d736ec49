"""Tasks in every state are marked failed or cleared: exactly their own runs are cancelled, none is started twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox, SandboxRun
from tests.starting_dag_run import SERVICES, StartingDagRun
from tools.celery_airflow import CeleryAirflow

pytestmark = pytest.mark.airflow

Start = Callable[..., StartingDagRun]
#: Those that can cancel a run in the state in which these tests leave it.
CANCELING_SERVICES = ("portable", "activepieces")
ONE_START_EACH = dict.fromkeys(SERVICES, 1)


@pytest.fixture
def start(airflow: CeleryAirflow, sandbox: Sandbox, document: Path) -> Start:
    """Return a function that triggers a DAG with a start on each service."""
    return partial(StartingDagRun, airflow, sandbox, document)


@pytest.fixture
def bystanders(sandbox: Sandbox) -> list[SandboxRun]:
    """Return active runs of other flows."""
    return [
        sandbox.portable.add_flow().add_run(outcome="RUNNING"),
        sandbox.activepieces.add_flow().add_run(outcome="PAUSED"),
    ]


def start_endless_runs(start: Start, dag_id: str) -> StartingDagRun:
    """Start runs that do not end; the one on Activepieces is paused, because it can be cancelled only then."""
    return start(dag_id, outcome="RUNNING", activepieces={"outcome": "PAUSED", "running": 1.0})


def mark_failed(dag_run: StartingDagRun) -> None:
    for service in SERVICES:
        dag_run.airflow.set_task_state(dag_run.dag_id, dag_run.run_id, service, "failed")


def clear(dag_run: StartingDagRun) -> None:
    dag_run.airflow.clear_tasks(dag_run.dag_id, dag_run.run_id, SERVICES)


def wait_for_states(dag_run: StartingDagRun, state: str) -> None:
    for service in SERVICES:
        dag_run.wait_for_state(service, state)


def wait_until_observed(dag_run: StartingDagRun, activepieces: str = "PAUSED") -> None:
    """Wait until each task has logged the state in which its run stays."""
    for service in SERVICES:
        state = activepieces if service == "activepieces" else "RUNNING"
        dag_run.airflow.wait_for_log(dag_run.dag_id, dag_run.run_id, service, f"is {state}", timeout=240)


def end_runs(dag_run: StartingDagRun) -> None:
    for flow in dag_run.flows.values():
        for run in flow.runs:
            if run.ended_at is None:
                run.end()


def check_success(dag_run: StartingDagRun, starts: Mapping[str, int] = ONE_START_EACH) -> None:
    """Check that each task succeeds with the last run that it started, after this number of starts."""
    assert dag_run.airflow.wait_for_run(dag_run.dag_id, dag_run.run_id, timeout=400) == "success"
    for service in SERVICES:
        result = dag_run.airflow.get_xcom(dag_run.dag_id, dag_run.run_id, service)
        started = dag_run.list_started(service)
        assert (started[-1], len(started)) == (result["run_id"], starts[service])


def check_nothing_canceled(dag_run: StartingDagRun) -> None:
    assert [run_id for service in SERVICES for run_id in dag_run.list_canceled(service)] == []


def check_own_runs_canceled(dag_run: StartingDagRun) -> None:
    for service in CANCELING_SERVICES:
        dag_run.airflow.wait_for(f"the cancel on {service}", partial(dag_run.list_canceled, service), 120)
        assert dag_run.list_canceled(service) == dag_run.list_started(service)[:1]


@pytest.mark.parametrize(("dag_id", "state"), [("deferred_starts", "deferred"), ("starts", "running")])
def test_marking_failed_cancels_exactly_the_tasks_own_runs(
    airflow: CeleryAirflow, start: Start, bystanders: list[SandboxRun], dag_id: str, state: str
) -> None:
    dag_run = start_endless_runs(start, dag_id)
    wait_until_observed(dag_run)
    wait_for_states(dag_run, state)
    if state == "deferred":
        for service in SERVICES:
            dag_run.wait_for_triggerer(service)
    mark_failed(dag_run)
    check_own_runs_canceled(dag_run)
    airflow.wait_for(
        "the log line that the TableFlow run continues",
        lambda: "continues: TableFlow cannot cancel a run" in airflow.get_log(dag_id, dag_run.run_id, "tableflow"),
        120,
    )
    assert not any(run.canceled for run in bystanders)
    assert airflow.wait_for_run(dag_id, dag_run.run_id) == "failed"


def test_clearing_a_deferred_task_keeps_its_run(start: Start) -> None:
    dag_run = start_endless_runs(start, "deferred_starts")
    wait_until_observed(dag_run)
    wait_for_states(dag_run, "deferred")
    clear(dag_run)
    dag_run.wait_for_second_try()
    wait_for_states(dag_run, "deferred")
    end_runs(dag_run)
    check_success(dag_run)
    check_nothing_canceled(dag_run)


def test_clearing_a_running_task_cancels_its_run_and_starts_another(start: Start) -> None:
    dag_run = start_endless_runs(start, "starts")
    wait_until_observed(dag_run)
    clear(dag_run)
    check_own_runs_canceled(dag_run)
    dag_run.airflow.wait_for(
        "the second starts", lambda: all(len(dag_run.list_started(service)) == 2 for service in CANCELING_SERVICES), 240
    )
    end_runs(dag_run)
    check_success(dag_run, {**dict.fromkeys(CANCELING_SERVICES, 2), "tableflow": 1})


def test_marking_a_queued_task_failed_starts_nothing(airflow: CeleryAirflow, start: Start) -> None:
    airflow.kill("worker-1")
    dag_run = start("queued_starts", running=5.0)
    cleared = start("queued_starts", running=5.0)
    for one in (dag_run, cleared):
        wait_for_states(one, "queued")
    mark_failed(dag_run)
    clear(cleared)
    airflow.start("worker-1")
    check_success(cleared)
    assert [run_id for service in SERVICES for run_id in dag_run.list_started(service)] == []
    wait_for_states(dag_run, "failed")


def test_marking_a_task_failed_that_is_queued_for_its_result_cancels_nothing(
    airflow: CeleryAirflow, start: Start
) -> None:
    dag_run, cleared = (start("queued_starts", outcome="RUNNING") for _ in range(2))
    for one in (dag_run, cleared):
        wait_until_observed(one, "RUNNING")
        wait_for_states(one, "deferred")
    airflow.kill("worker-1")
    for one in (dag_run, cleared):
        end_runs(one)
    for one in (dag_run, cleared):
        wait_for_states(one, "queued")
    mark_failed(dag_run)
    clear(cleared)
    airflow.start("worker-1")
    check_success(cleared)
    wait_for_states(dag_run, "failed")
    for one in (dag_run, cleared):
        check_nothing_canceled(one)
    clear(dag_run)
    check_success(dag_run)


def test_between_two_tries_marking_failed_leaves_the_run_alone_and_clearing_finds_it(
    airflow: CeleryAirflow, start: Start
) -> None:
    dag_run, cleared = (start("retried_starts", outcome="RUNNING") for _ in range(2))
    for one in (dag_run, cleared):
        wait_for_states(one, "up_for_retry")
    mark_failed(dag_run)
    clear(cleared)
    cleared.wait_for_second_try()
    wait_for_states(cleared, "deferred")
    end_runs(cleared)
    check_success(cleared)
    assert airflow.wait_for_run(dag_run.dag_id, dag_run.run_id) == "failed"
    for one in (dag_run, cleared):
        check_nothing_canceled(one)


def test_a_run_continues_if_no_process_is_left_to_cancel_it(airflow: CeleryAirflow, start: Start) -> None:
    """As the guarantees say: the task is marked failed while its triggerer is dead."""
    dag_run = start_endless_runs(start, "deferred_starts")
    wait_until_observed(dag_run)
    wait_for_states(dag_run, "deferred")
    airflow.kill("triggerer-1")
    airflow.kill("triggerer-2")
    mark_failed(dag_run)
    airflow.restore()
    # A wait that starts now is polled after the triggerers have taken over everything that is left.
    later = start("deferred_starts", running=5.0)
    check_success(later)
    check_nothing_canceled(dag_run)
    assert airflow.get_run_state(dag_run.dag_id, dag_run.run_id) == "failed"
    end_runs(dag_run)
