"""Operators that start runs, and what the sandbox has seen of their starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox

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
