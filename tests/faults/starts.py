"""Operators that start runs, and what the sandbox has seen of their starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from tests.worker_time import WorkerTime

OPERATORS = {
    "portable": PortableRunFlowOperator,
    "activepieces": ActivepiecesRunFlowOperator,
    "tableflow": TableFlowRunFlowOperator,
}
SERVICES = tuple(OPERATORS)
#: Path of the request that starts a run.
START = {"portable": "/run$", "activepieces": "/webhooks/", "tableflow": "/run$"}

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
all_services = pytest.mark.parametrize("service", SERVICES)

#: Makes a function that makes a fresh operator on a flow, see the fixture ``operator``.
Make = Callable[..., Callable[[], Any]]


def add_flow(sandbox: Sandbox, service: str, **run: Any) -> Any:
    """Return a new flow whose runs soon succeed, unless ``run`` says otherwise."""
    flow = getattr(sandbox, service).add_flow()
    flow.next_run(**{"outcome": "SUCCEEDED", "waiting": 0.1, "running": 0.3, **run}, always=True)
    return flow


def started(sandbox: Sandbox, flow: Any) -> list[str]:
    """Return the ids of the runs of a flow that the service has actually started through its API."""
    return [str(event.run_id) for event in sandbox.ledger.started if str(event.flow_id) == str(flow.id)]


def finish(task: Any, context: Any, sandbox: Sandbox, worker_time: WorkerTime) -> Any:
    """Execute a task to its end; if it defers, its run succeeds and the trigger says so."""
    try:
        return task.execute(context)
    except TaskDeferred as deferred:
        worker_time.sleep(1_000.0)
        event = sandbox.ledger.started[-1]
        service, run_id = task.info.name, str(event.run_id)
        (run,) = task.hook.client.poll(RunTarget(service, run_id, str(event.flow_id)))
        payload = {"schema": 1, "outcome": "succeeded", "reason": "", "run": run.summary()}
        return task.execute_complete(context, payload, **(deferred.kwargs or {}))
