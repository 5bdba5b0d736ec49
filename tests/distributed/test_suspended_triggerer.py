"""A triggerer stands still, and its waits end in the other one: when it continues, it cancels nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.starting_dag_run import SERVICES, StartingDagRun
from tools.celery_airflow import PROCESS_HEADER, CeleryAirflow

pytestmark = pytest.mark.airflow

TRIGGERERS = {"triggerer-1", "triggerer-2"}


def get_polling_triggerer(sandbox: Sandbox, dag_run: StartingDagRun, service: str) -> str | None:
    """Return the triggerer that has polled last for a service's run, None if none has."""
    (run_id,) = dag_run.list_started(service)
    flow_id = str(dag_run.flows[service].id)
    for request in reversed(sandbox.ledger.requests):
        process = request.headers.get(PROCESS_HEADER.lower())
        if process in TRIGGERERS and (run_id in f"{request.path}{request.query}" or flow_id in request.path):
            return process
    return None


def test_a_run_continues_whose_wait_timed_out_while_its_triggerer_stood_still(
    airflow: CeleryAirflow, sandbox: Sandbox, document: Path
) -> None:
    """Both triggerers have a wait, and each stands still in turn."""
    dag_runs = [StartingDagRun(airflow, sandbox, document, "impatient_starts", outcome="RUNNING") for _ in range(2)]
    for dag_run in dag_runs:
        for service in SERVICES:
            dag_run.wait_for_state(service, "deferred")
    observed = dag_runs[0]
    airflow.wait_for(
        "polls by a triggerer", lambda: get_polling_triggerer(sandbox, observed, "portable") is not None, 60
    )
    suspended = get_polling_triggerer(sandbox, observed, "portable")
    assert suspended
    airflow.suspend(suspended)
    for dag_run in dag_runs:
        assert airflow.wait_for_run(dag_run.dag_id, dag_run.run_id, timeout=240) == "failed"
    airflow.resume(suspended)
    # A wait that is taken by the resumed triggerer shows that it has dealt with what it had before.
    (other,) = TRIGGERERS - {suspended}
    airflow.kill(other)
    later = StartingDagRun(airflow, sandbox, document, "deferred_starts")
    assert airflow.wait_for_run(later.dag_id, later.run_id, timeout=400) == "success"
    assert get_polling_triggerer(sandbox, later, "portable") == suspended
    for dag_run in dag_runs:
        for service in SERVICES:
            assert dag_run.list_canceled(service) == []
            assert [run.ended_at for run in dag_run.flows[service].runs] == [None]
        log = airflow.get_log(dag_run.dag_id, dag_run.run_id, "portable")
        assert "FlowRunTimeout" in log
