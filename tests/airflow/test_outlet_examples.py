"""The example DAGs about outlets and callbacks."""

from __future__ import annotations

import json
import time

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.airflow.scenario import VENDOR_ERROR
from tools.real_airflow import RealAirflow
from tools.stepped_clock import SteppedClock

pytestmark = pytest.mark.airflow


def test_an_asset_event_starts_the_consumer_with_the_rows_of_the_run(
    airflow: RealAirflow, sandbox: Sandbox, clock: SteppedClock
) -> None:
    clock.advance(time.time() - clock())  # a started run is searched for among the runs that have just started
    flow = sandbox.portable.add_flow()
    flow.next_run(waiting=0, running=5)
    run_id = airflow.trigger("asset_events", {"flow_id": flow.id})
    airflow.wait_for_task("asset_events", run_id, "load", ["deferred"])
    clock.advance(6)
    assert airflow.wait_for_run("asset_events", run_id) == "success"
    loaded = airflow.get_xcom("asset_events", run_id, "load")

    consumer = "asset_events_consumer"
    airflow.wait_for("the consumer", lambda: airflow.get(f"/api/v2/dags/{consumer}/dagRuns")["total_entries"] > 0, 60)
    (started,) = airflow.get(f"/api/v2/dags/{consumer}/dagRuns")["dag_runs"]
    assert airflow.wait_for_run(consumer, started["dag_run_id"]) == "success"
    assert airflow.get_xcom(consumer, started["dag_run_id"], "rows_loaded") == {
        loaded["run_id"]: loaded["rows"]["loaded"]
    }


def test_a_failed_task_starts_the_alarm_flow(airflow: RealAirflow, sandbox: Sandbox) -> None:
    flow, alarm = sandbox.portable.add_flow(), sandbox.activepieces.add_flow()
    flow.add_run(outcome="FAILED", ago=60, errors=[VENDOR_ERROR])
    run_id = airflow.trigger("start_flow_on_failure", {"flow_id": flow.id, "alarm_flow_id": alarm.id})
    assert airflow.wait_for_run("start_flow_on_failure", run_id) == "failed"
    (request,) = [request for request in sandbox.ledger.requests if request.path.endswith(f"/webhooks/{alarm.id}")]
    payload = json.loads(request.body)
    assert payload["task"] == "start_flow_on_failure.contacts_loaded"
    assert VENDOR_ERROR in payload["error"]
    assert payload["run"] == "https://app.portable.io/"
    assert len([event for event in sandbox.ledger.started if event.flow_id == alarm.id]) == 1
