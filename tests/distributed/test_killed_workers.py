"""A worker with everything in it is killed: each task continues in the other one, with the only run that it started."""

from __future__ import annotations

from functools import partial

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.starting_dag_run import SERVICES, StartingDagRun, hold_start_responses
from tools.celery_airflow import CeleryAirflow

pytestmark = pytest.mark.airflow

BETWEEN_START_AND_DEFER = "between the start and the deferral"
DURING_THE_WAIT = "during the wait"
BETWEEN_RESULT_AND_SUCCESS = "between the result and the task's success"


@pytest.fixture(scope="module")
def dag_runs(
    stack: CeleryAirflow, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, StartingDagRun]:
    """Return DAG runs by the moment at which their worker is killed, after it was."""
    stack.restore()
    document = tmp_path_factory.mktemp("documents") / "order.pdf"
    document.write_bytes(b"%PDF-1.7 made up")
    stack.kill("worker-2")  # it has no task; from now on all tasks run in the other worker
    waiting = StartingDagRun(stack, sandbox, document, "starts", running=60.0)
    lingering = StartingDagRun(stack, sandbox, document, "starts", running=1.0, linger=True)
    for service in SERVICES:
        stack.wait_for_log("starts", lingering.run_id, service, "holding the result", timeout=240)
        stack.wait_for_log("starts", waiting.run_id, service, "is RUNNING", timeout=240)
    hold_start_responses(sandbox)
    starting = StartingDagRun(stack, sandbox, document, "deferred_starts")
    for service in SERVICES:
        stack.wait_for(f"a start on {service}", partial(starting.list_started, service), 120)
    stack.kill("worker-1")
    sandbox.faults.clear()
    stack.start("worker-2")
    return {
        BETWEEN_START_AND_DEFER: starting,
        DURING_THE_WAIT: waiting,
        BETWEEN_RESULT_AND_SUCCESS: lingering,
    }


@pytest.mark.parametrize("moment", [BETWEEN_START_AND_DEFER, DURING_THE_WAIT, BETWEEN_RESULT_AND_SUCCESS])
def test_each_task_keeps_its_run_if_its_worker_is_killed(dag_runs: dict[str, StartingDagRun], moment: str) -> None:
    dag_runs[moment].check_one_run_each()
