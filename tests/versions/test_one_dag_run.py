"""One DAG run in a real Airflow of the version that is installed: tasks wait, start, fail, tell and keep secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_flowruns.compat import alias_extra
from airflow_provider_flowruns.outlets import FACTS
from airflow_provider_flowruns.sandbox import Sandbox
from tools.leaks import find_leaks
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

DAG_ID, ALARM_FLOW_ID = "every_version", "EveryVersionsAlarm001"
VENDOR_ERROR = "Destination rejected table contacts: column email is too narrow"
# Long enough for each task to see its run going on.
WAITING, RUNNING = 5.0, 30.0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def airflow(sandbox: Sandbox) -> Iterator[RealAirflow]:
    with RealAirflow(Path(__file__).parent / "dags", env=sandbox.connections()) as airflow:
        airflow.wait_ready([DAG_ID])
        yield airflow


@pytest.fixture(scope="module")
def run_id(airflow: RealAirflow, sandbox: Sandbox) -> str:
    """The DAG run, which has ended; its id."""
    failing, flow = sandbox.portable.add_flow(), sandbox.portable.add_flow()
    failing.add_run(outcome="FAILED", errors=[VENDOR_ERROR], waiting=WAITING, running=RUNNING)
    flow.next_run(waiting=WAITING, running=RUNNING)
    conf = {
        "tableflow_run": sandbox.tableflow.add_flow().add_run(waiting=0, running=WAITING + RUNNING).id,
        "activepieces_run": sandbox.activepieces.add_flow().add_run(waiting=WAITING, running=RUNNING).id,
        "failing_flow": failing.id,
        "flow": flow.id,
        "alarm": sandbox.activepieces.add_flow("Alarm", ALARM_FLOW_ID).id,
    }
    run_id = airflow.trigger(DAG_ID, conf)
    airflow.wait_run(DAG_ID, run_id, timeout=240)
    return run_id


def test_every_task_ends_as_it_should(airflow: RealAirflow, run_id: str) -> None:
    states = {task.task_id: task.state for task in airflow.task_instances(DAG_ID, run_id)}
    good = dict.fromkeys(("deferred", "rescheduled", "started", "history", "read"), "success")
    assert states == {**good, "failing": "failed"}


@pytest.mark.parametrize("task_id", ["deferred", "rescheduled", "started"])
def test_a_wait_sees_the_run_going_on_and_returns_its_summary(airflow: RealAirflow, run_id: str, task_id: str) -> None:
    assert airflow.xcom(DAG_ID, run_id, task_id)["disposition"] == "SUCCEEDED"
    log = airflow.log(DAG_ID, run_id, task_id)
    assert log.index("is RUNNING") < log.index("is SUCCEEDED")
    assert "is FAILED" not in log, "of another task"


def test_exactly_one_run_was_started(airflow: RealAirflow, run_id: str) -> None:
    assert airflow.xcom(DAG_ID, run_id, "read") is True
    assert airflow.xcom(DAG_ID, run_id, "started", "run_id") == airflow.xcom(DAG_ID, run_id, "started")["run_id"]


def test_a_failed_run_fails_its_task_with_the_vendors_own_error_text(airflow: RealAirflow, run_id: str) -> None:
    log = airflow.log(DAG_ID, run_id, "failing")
    assert "FlowRunFailed: " in log
    assert VENDOR_ERROR in log


def test_a_failed_task_starts_the_flow_of_its_notifier_once(run_id: str, sandbox: Sandbox) -> None:
    [request] = [one for one in sandbox.ledger.requests if one.path.endswith(f"/webhooks/{ALARM_FLOW_ID}")]
    assert json.loads(request.body) == {"task": "failing"}
    assert "authorization" not in request.headers


@pytest.mark.parametrize("task_id", ["deferred", "rescheduled", "started"])
def test_a_task_links_to_its_run(airflow: RealAirflow, run_id: str, task_id: str) -> None:
    url = airflow.xcom(DAG_ID, run_id, task_id)["url"]
    assert url
    assert airflow.links(DAG_ID, run_id, task_id) == {"Flow run": url}


def test_the_events_of_a_tasks_outlets_say_which_run_it_was(airflow: RealAirflow, run_id: str) -> None:
    run = airflow.xcom(DAG_ID, run_id, "started")
    facts = {name: run[name] for name in FACTS}
    assert airflow.asset_events(DAG_ID, run_id) == [facts, alias_extra(facts)]


def test_no_token_is_left_anywhere(airflow: RealAirflow, run_id: str, sandbox: Sandbox) -> None:
    assert find_leaks(airflow.home, [service.token for service in sandbox.services]) == []
