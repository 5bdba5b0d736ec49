"""A task that fails starts the alert's flow once, with what failed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.portable import PortableFlow
from airflow_provider_flowruns.sandbox.scenario import (
    ACTIVEPIECES_PAUSING_FLOW_ID,
    PORTABLE_FAILING_FLOW_ID,
    ExampleFlows,
)
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

DAG_ID = "alert"
WEBHOOK = f"/webhooks/{ACTIVEPIECES_PAUSING_FLOW_ID}"
VENDOR_ERROR = "Destination rejected table contacts: column email is too narrow"


@pytest.fixture
def flow(flows: ExampleFlows) -> PortableFlow:
    flow = flows.portable[PORTABLE_FAILING_FLOW_ID]
    assert isinstance(flow, PortableFlow)
    return flow


def list_alerts(sandbox: Sandbox, dag_run_id: str) -> list[dict[str, Any]]:
    """Return the payloads that the webhook received from a DAG run."""
    requests = [request for request in sandbox.ledger.requests if request.path.endswith(WEBHOOK)]
    payloads: list[dict[str, Any]] = [json.loads(request.body) for request in requests]
    return [payload for payload in payloads if payload.get("dag_run") == dag_run_id]


def test_a_failed_flow_starts_the_alert_with_the_services_error(airflow: RealAirflow, sandbox, flow) -> None:
    dag_run_id = airflow.trigger(DAG_ID)
    flow.add_run(outcome="FAILED", errors=[VENDOR_ERROR])
    assert airflow.wait_for_run(DAG_ID, dag_run_id) == "failed"

    # The task after it did not fail: it was not run.
    (alert,) = list_alerts(sandbox, dag_run_id)
    assert VENDOR_ERROR in alert.pop("error")
    log = alert.pop("log")
    assert log.startswith(airflow.url)
    assert "contacts_loaded" in log
    assert alert == {
        "task": "alert.contacts_loaded",
        "dag_run": dag_run_id,
        "try": "1",
        "flow_run": "https://app.portable.io/",
    }


def test_any_other_task_that_fails_starts_it_too(airflow: RealAirflow, sandbox, flow) -> None:
    dag_run_id = airflow.trigger(DAG_ID)
    run = flow.add_run(resources=[])
    assert airflow.wait_for_run(DAG_ID, dag_run_id) == "failed"

    (alert,) = list_alerts(sandbox, dag_run_id)
    assert alert["task"] == "alert.check_rows"
    assert alert["error"] == f"run {run.id} loaded no rows"
    assert alert["flow_run"] == ""


def test_an_alert_that_cannot_be_started_changes_nothing_but_the_log(airflow: RealAirflow, sandbox, flow) -> None:
    dag_run_id = airflow.trigger(DAG_ID)
    unavailable = sandbox.faults.add("status", path=WEBHOOK, status=410, times=None)
    try:
        flow.add_run(outcome="FAILED", errors=[VENDOR_ERROR])
        assert airflow.wait_for_run(DAG_ID, dag_run_id) == "failed"
    finally:
        unavailable.remove()
    assert unavailable.hits == 1
    log = airflow.get_log(DAG_ID, dag_run_id, "contacts_loaded")
    assert VENDOR_ERROR in log
    assert f"{WEBHOOK}: there is no such flow" in log
