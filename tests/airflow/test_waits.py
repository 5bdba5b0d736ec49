"""Waits in a real Airflow: what bounds them, how often they are woken, and what a broken Airflow does to them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def limited(airflow: RealAirflow, live_sandbox: Sandbox) -> tuple[str, dict[str, Any]]:
    """A DAG run whose tasks all have an ``execution_timeout``, on runs that do not end."""
    flows = {name: live_sandbox.portable.add_flow() for name in ("watched", "here", "deferred")}
    flows["watched"].add_run(outcome="RUNNING")
    for name in ("here", "deferred"):
        flows[name].next_run(outcome="RUNNING")
    return airflow.trigger("time_limits", {name: str(flow.id) for name, flow in flows.items()}), flows


@pytest.mark.parametrize("task_id", ["airflow_itself", "poke", "reschedule", "deferrable", "run_here", "run_deferred"])
def test_execution_timeout_ends_a_wait_as_airflow_itself_does(
    task_id: str, airflow: RealAirflow, limited: tuple[str, dict[str, Any]]
) -> None:
    """Long before the timeout of an hour."""
    run_id, _ = limited
    airflow.wait_task("time_limits", run_id, task_id, ["failed"], timeout=240)
    log = airflow.log("time_limits", run_id, task_id)
    assert "AirflowTaskTimeout" in log
    if task_id != "airflow_itself":
        # An operator's wait begins when its run has been started.
        assert re.search(r"AirflowTaskTimeout: timed out after \d+ s \(execution_timeout\): .* is RUNNING", log)


def test_execution_timeout_is_softened_as_a_timeout_is(
    airflow: RealAirflow, limited: tuple[str, dict[str, Any]]
) -> None:
    run_id, _ = limited
    airflow.wait_task("time_limits", run_id, "soft", ["skipped"], timeout=240)


@pytest.mark.parametrize(("task_id", "name"), [("run_here", "here"), ("run_deferred", "deferred")])
def test_execution_timeout_cancels_the_task_s_own_run(
    task_id: str, name: str, airflow: RealAirflow, live_sandbox: Sandbox, limited: tuple[str, dict[str, Any]]
) -> None:
    run_id, flows = limited
    airflow.wait_task("time_limits", run_id, task_id, ["failed"], timeout=240)
    started = [event.run_id for event in live_sandbox.ledger.started if event.flow_id == flows[name].id]
    assert len(started) == 1
    assert [event.run_id for event in live_sandbox.ledger.canceled if event.flow_id == flows[name].id] == started


def test_a_deferral_before_a_run_is_known_asks_for_no_link(airflow: RealAirflow, live_sandbox: Sandbox) -> None:
    """Airflow logs an error about an XCom that is not there, in the log of the worker."""
    flow = live_sandbox.portable.add_flow()
    since = datetime.now(UTC).isoformat()
    run_id = airflow.trigger("early_deferral", {"flow": str(flow.id), "since": since})
    airflow.wait_task("early_deferral", run_id, "wait", ["deferred"])
    assert not airflow.links("early_deferral", run_id, "wait")["Flow run"]
    run = flow.add_run(waiting=0.1, running=5.0)

    assert airflow.wait_run("early_deferral", run_id, timeout=240) == "success"
    assert airflow.xcom("early_deferral", run_id, "wait")["run_id"] == str(run.id)
    assert airflow.links("early_deferral", run_id, "wait")["Flow run"]
    logs = [path.read_text(errors="replace") for path in (airflow.home / "components").glob("*.log")]
    logs.append(airflow.log("early_deferral", run_id, "wait"))
    lines = [line for log in logs for line in log.splitlines() if "early_deferral" in line]
    assert not [line for line in lines if "XCom not found" in line]


def test_a_guarded_wait_in_its_worker_goes_on_while_the_api_server_is_away(
    airflow: RealAirflow, live_sandbox: Sandbox
) -> None:
    flow = live_sandbox.portable.add_flow()
    run = flow.add_run(waiting=0.1, running=75.0)
    since = datetime.now(UTC).isoformat()
    run_id = airflow.trigger("guarded_poke", {"flow": str(flow.id), "since": since})
    airflow.wait_log("guarded_poke", run_id, "wait", "is RUNNING")

    def polls() -> int:
        return live_sandbox.ledger.count(path=f"/flows/{flow.id}/")

    before = polls()
    airflow.kill("api-server")
    time.sleep(20)  # for how long it is away is what this is about
    assert polls() > before + 3
    airflow.start("api-server")
    airflow.wait_ready()

    assert airflow.wait_run("guarded_poke", run_id, timeout=240) == "success"
    (task,) = airflow.task_instances("guarded_poke", run_id)
    assert task.try_number == 1
    assert airflow.xcom("guarded_poke", run_id, "wait")["run_id"] == str(run.id)


def test_a_triggerer_that_stood_still_cancels_nothing(airflow: RealAirflow, live_sandbox: Sandbox) -> None:
    """Meanwhile another one may have taken the wait over, and ended it."""
    flow = live_sandbox.portable.add_flow()
    flow.next_run(outcome="RUNNING")
    run_id = airflow.trigger("deferred_start", {"flow": str(flow.id)})
    airflow.wait_task("deferred_start", run_id, "run", ["deferred"])
    polls = live_sandbox.ledger.count(path=f"/flows/{flow.id}/")
    airflow.wait_for(
        "polls by the triggerer", lambda: live_sandbox.ledger.count(path=f"/flows/{flow.id}/") > polls + 1, 120
    )

    airflow.freeze("triggerer")
    airflow.set_state("deferred_start", run_id, "run", "failed")
    time.sleep(15)  # for how long it stands still is what this is about
    airflow.thaw("triggerer")

    airflow.wait_for(
        "the word that the run is left alone",
        lambda: "is left alone: this triggerer stood still" in airflow.log("deferred_start", run_id, "run"),
        120,
    )
    assert not [event for event in live_sandbox.ledger.canceled if event.flow_id == flow.id]
