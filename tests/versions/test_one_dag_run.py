"""One DAG run in a real Airflow of the installed version: waits, starts, failures, asset events and secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_flowruns.compat.versions import build_alias_extra
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.tasks.outlets import EXTRA_FIELDS
from tools.real_airflow import RealAirflow
from tools.secret_scan import find_secrets

pytestmark = pytest.mark.airflow

DAG_ID, ALARM_FLOW_ID = "every_version", "EveryVersionsAlarm001"
VENDOR_ERROR = "Destination rejected table contacts: column email is too narrow"
# Long enough for each task to log that its run is in progress.
WAITING_SECONDS, RUNNING_SECONDS = 5.0, 30.0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def airflow(sandbox: Sandbox) -> Iterator[RealAirflow]:
    with RealAirflow(Path(__file__).parent / "dags", env=sandbox.connections()) as airflow:
        airflow.wait_until_ready([DAG_ID])
        yield airflow


@pytest.fixture(scope="module")
def run_id(airflow: RealAirflow, sandbox: Sandbox) -> str:
    """Return the id of the completed DAG run."""
    failing, flow = sandbox.portable.add_flow(), sandbox.portable.add_flow()
    failing.add_run(outcome="FAILED", errors=[VENDOR_ERROR], waiting=WAITING_SECONDS, running=RUNNING_SECONDS)
    flow.next_run(waiting=WAITING_SECONDS, running=RUNNING_SECONDS)
    conf = {
        "tableflow_run": sandbox.tableflow.add_flow().add_run(waiting=0, running=WAITING_SECONDS + RUNNING_SECONDS).id,
        "activepieces_run": sandbox.activepieces.add_flow()
        .add_run(waiting=WAITING_SECONDS, running=RUNNING_SECONDS)
        .id,
        "failing_flow": failing.id,
        "flow": flow.id,
        "alarm": sandbox.activepieces.add_flow("Alarm", ALARM_FLOW_ID).id,
    }
    run_id = airflow.trigger(DAG_ID, conf)
    airflow.wait_for_run(DAG_ID, run_id, timeout=240)
    return run_id


def test_every_task_ends_as_expected(airflow: RealAirflow, run_id: str) -> None:
    states = airflow.get_task_states(DAG_ID, run_id)
    successful = dict.fromkeys(("deferred", "rescheduled", "started", "history", "read"), "success")
    assert states == {**successful, "failing": "failed"}


@pytest.mark.parametrize("task_id", ["deferred", "rescheduled", "started"])
def test_a_wait_logs_the_running_run_and_returns_its_summary(airflow: RealAirflow, run_id: str, task_id: str) -> None:
    assert airflow.get_xcom(DAG_ID, run_id, task_id)["disposition"] == "SUCCEEDED"
    log = airflow.get_log(DAG_ID, run_id, task_id)
    assert log.index("is RUNNING") < log.index("is SUCCEEDED")
    assert "is FAILED" not in log, "of another task"


def test_exactly_one_run_was_started(airflow: RealAirflow, run_id: str) -> None:
    assert airflow.get_xcom(DAG_ID, run_id, "read") is True
    assert (
        airflow.get_xcom(DAG_ID, run_id, "started", "run_id") == airflow.get_xcom(DAG_ID, run_id, "started")["run_id"]
    )


def test_a_failed_run_fails_its_task_with_the_vendors_own_error_text(airflow: RealAirflow, run_id: str) -> None:
    log = airflow.get_log(DAG_ID, run_id, "failing")
    assert "FlowRunFailed: " in log
    assert VENDOR_ERROR in log


def test_a_failed_task_starts_the_flow_of_its_notifier_once(run_id: str, sandbox: Sandbox) -> None:
    [request] = [request for request in sandbox.ledger.requests if request.path.endswith(f"/webhooks/{ALARM_FLOW_ID}")]
    assert json.loads(request.body) == {"task": "failing"}
    assert "authorization" not in request.headers


@pytest.mark.parametrize("task_id", ["deferred", "rescheduled", "started"])
def test_a_task_links_to_its_run(airflow: RealAirflow, run_id: str, task_id: str) -> None:
    url = airflow.get_xcom(DAG_ID, run_id, task_id)["url"]
    assert url
    assert airflow.get_links(DAG_ID, run_id, task_id) == {"Flow run": url}


def test_the_asset_events_of_a_task_contain_the_facts_of_its_run(airflow: RealAirflow, run_id: str) -> None:
    run = airflow.get_xcom(DAG_ID, run_id, "started")
    facts = {name: run[name] for name in EXTRA_FIELDS}
    assert airflow.list_asset_events(DAG_ID, run_id) == [facts, build_alias_extra(facts)]


def test_no_token_is_stored(airflow: RealAirflow, run_id: str, sandbox: Sandbox) -> None:
    assert find_secrets(airflow.home, [service.token for service in sandbox.services]) == []
