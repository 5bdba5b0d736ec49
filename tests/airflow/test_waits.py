"""Waits in a real Airflow: time limits, links, and failures of Airflow's components."""

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
    """Return a DAG run whose tasks have an ``execution_timeout`` and wait for runs that do not end, and its flows."""
    flows = {name: live_sandbox.portable.add_flow() for name in ("watched", "here", "deferred")}
    flows["watched"].add_run(outcome="RUNNING")
    for name in ("here", "deferred"):
        flows[name].next_run(outcome="RUNNING")
    return airflow.trigger("time_limits", {name: str(flow.id) for name, flow in flows.items()}), flows


@pytest.mark.parametrize("task_id", ["airflow_itself", "poke", "reschedule", "deferrable", "run_here", "run_deferred"])
def test_execution_timeout_ends_a_wait_as_it_ends_other_sensors(
    task_id: str, airflow: RealAirflow, limited: tuple[str, dict[str, Any]]
) -> None:
    """The timeout is one hour, so it is not what ends the wait."""
    run_id, _ = limited
    airflow.wait_for_task("time_limits", run_id, task_id, ["failed"], timeout=240)
    log = airflow.get_log("time_limits", run_id, task_id)
    assert "AirflowTaskTimeout" in log
    if task_id != "airflow_itself":
        # An operator's wait starts after it has started its run.
        assert re.search(r"AirflowTaskTimeout: FR103: timed out after [\w ]+ \(execution_timeout\): .* is RUNNING", log)


def test_soft_fail_applies_to_execution_timeout(airflow: RealAirflow, limited: tuple[str, dict[str, Any]]) -> None:
    run_id, _ = limited
    airflow.wait_for_task("time_limits", run_id, "soft", ["skipped"], timeout=240)


@pytest.mark.parametrize(("task_id", "name"), [("run_here", "here"), ("run_deferred", "deferred")])
def test_execution_timeout_cancels_the_run_that_the_task_started(
    task_id: str, name: str, airflow: RealAirflow, live_sandbox: Sandbox, limited: tuple[str, dict[str, Any]]
) -> None:
    run_id, flows = limited
    airflow.wait_for_task("time_limits", run_id, task_id, ["failed"], timeout=240)
    started = [event.run_id for event in live_sandbox.ledger.started if event.flow_id == flows[name].id]
    assert len(started) == 1
    assert [event.run_id for event in live_sandbox.ledger.canceled if event.flow_id == flows[name].id] == started


def test_a_deferral_before_a_run_is_known_does_not_read_the_link(airflow: RealAirflow, live_sandbox: Sandbox) -> None:
    """Airflow would log an error about a missing XCom in the worker's log."""
    flow = live_sandbox.portable.add_flow()
    completed_after = datetime.now(UTC).isoformat()
    run_id = airflow.trigger("early_deferral", {"flow": str(flow.id), "completed_after": completed_after})
    airflow.wait_for_task("early_deferral", run_id, "wait", ["deferred"])
    assert not airflow.get_links("early_deferral", run_id, "wait")["Flow run"]
    run = flow.add_run(waiting=0.1, running=5.0)

    assert airflow.wait_for_run("early_deferral", run_id, timeout=240) == "success"
    assert airflow.get_xcom("early_deferral", run_id, "wait")["run_id"] == str(run.id)
    assert airflow.get_links("early_deferral", run_id, "wait")["Flow run"]
    logs = [path.read_text(errors="replace") for path in (airflow.home / "components").glob("*.log")]
    logs.append(airflow.get_log("early_deferral", run_id, "wait"))
    lines = [line for log in logs for line in log.splitlines() if "early_deferral" in line]
    assert not [line for line in lines if "XCom not found" in line]


@pytest.mark.nightly
def test_a_guarded_wait_in_a_worker_continues_without_the_api_server(
    airflow: RealAirflow, live_sandbox: Sandbox
) -> None:
    flow = live_sandbox.portable.add_flow()
    run = flow.add_run(waiting=0.1, running=75.0)
    completed_after = datetime.now(UTC).isoformat()
    run_id = airflow.trigger("guarded_poke", {"flow": str(flow.id), "completed_after": completed_after})
    airflow.wait_for_log("guarded_poke", run_id, "wait", "is RUNNING")

    def count_polls() -> int:
        return live_sandbox.ledger.count(path=f"/flows/{flow.id}/")

    before = count_polls()
    airflow.kill("api-server")
    time.sleep(20)  # the duration of the outage is the subject of this test
    assert count_polls() > before + 3
    airflow.start("api-server")
    airflow.wait_until_ready()

    assert airflow.wait_for_run("guarded_poke", run_id, timeout=240) == "success"
    (task,) = airflow.list_task_instances("guarded_poke", run_id)
    assert task.try_number == 1
    assert airflow.get_xcom("guarded_poke", run_id, "wait")["run_id"] == str(run.id)


@pytest.mark.nightly
def test_a_triggerer_that_was_suspended_cancels_nothing(airflow: RealAirflow, live_sandbox: Sandbox) -> None:
    """Another triggerer may have taken over the wait and ended it in the meantime."""
    flow = live_sandbox.portable.add_flow()
    flow.next_run(outcome="RUNNING")
    run_id = airflow.trigger("deferred_start", {"flow": str(flow.id)})
    airflow.wait_for_task("deferred_start", run_id, "run", ["deferred"])
    polls = live_sandbox.ledger.count(path=f"/flows/{flow.id}/")
    airflow.wait_for(
        "polls by the triggerer", lambda: live_sandbox.ledger.count(path=f"/flows/{flow.id}/") > polls + 1, 120
    )

    airflow.suspend("triggerer")
    airflow.set_task_state("deferred_start", run_id, "run", "failed")
    time.sleep(15)  # the duration of the suspension is the subject of this test
    airflow.resume("triggerer")

    airflow.wait_for(
        "the log line that the run is not cancelled",
        lambda: "is not cancelled: this triggerer stood still" in airflow.get_log("deferred_start", run_id, "run"),
        120,
    )
    assert not [event for event in live_sandbox.ledger.canceled if event.flow_id == flow.id]
    # For two minutes this triggerer would cancel nothing, which other tests are about.
    airflow.kill("triggerer")
    airflow.start("triggerer")
