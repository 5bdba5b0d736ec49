"""Workers and the triggerer send metrics to a StatsD server."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.statsd_server import StatsdServer
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

#: The tags of the connection that only this test uses.
TAGS = {"service": "portable", "conn_id": "portable_reported"}


def test_workers_and_the_triggerer_send_metrics(
    airflow: RealAirflow, live_sandbox: Sandbox, statsd: StatsdServer
) -> None:
    flow, started = live_sandbox.portable.add_flow(), live_sandbox.portable.add_flow()
    flow.add_run(waiting=0.1, running=30.0)
    started.next_run(waiting=0.1, running=30.0)
    run_id = airflow.trigger("reported_waits", {"flow": str(flow.id), "started_flow": str(started.id)})
    assert airflow.wait_for_run("reported_waits", run_id, timeout=240) == "success"

    # One by the worker in which the sensor waited, and one by the triggerer.
    airflow.wait_for("both delays", lambda: len(statsd.find("flowruns.wait.detection_delay", **TAGS)) >= 2, 60)
    airflow.wait_for("the gauge", lambda: statsd.find("flowruns.wait.open", **TAGS)[-1:] == [0.0], 60)
    assert {*statsd.find("flowruns.wait.open", **TAGS)} == {0.0, 1.0}
    assert statsd.find("flowruns.run.started", **TAGS) == [1.0]
    polls = live_sandbox.ledger.count(path=f"/flows/({flow.id}|{started.id})/")
    sent = sum(statsd.find("flowruns.poll.sent", **TAGS))
    assert 10 < sent <= polls
    assert len(statsd.find("flowruns.poll.latency", **TAGS)) == sent
    assert statsd.find("flowruns.poll.errors", **TAGS) == []


def test_a_triggerer_that_stops_leaves_no_open_wait_behind(
    airflow: RealAirflow, live_sandbox: Sandbox, statsd: StatsdServer
) -> None:
    flow, started = live_sandbox.portable.add_flow(), live_sandbox.portable.add_flow()
    flow.add_run(waiting=0.0, running=1.0)
    started.next_run(outcome="RUNNING")
    run_id = airflow.trigger("reported_waits", {"flow": str(flow.id), "started_flow": str(started.id)})
    airflow.wait_for_task("reported_waits", run_id, "run", ["deferred"], timeout=240)
    airflow.wait_for("the gauge", lambda: statsd.find("flowruns.wait.open", **TAGS)[-1:] == [1.0], 60)
    airflow.terminate("triggerer")
    assert statsd.find("flowruns.wait.open", **TAGS)[-1:] == [0.0]
    airflow.start("triggerer")
    airflow.wait_for("the gauge", lambda: statsd.find("flowruns.wait.open", **TAGS)[-1:] == [1.0], 120)
    airflow.set_task_state("reported_waits", run_id, "run", "failed")
    airflow.wait_for("the cancel", lambda: statsd.find("flowruns.run.cancels", **TAGS) == [1.0], 120)
    airflow.wait_for("the gauge", lambda: statsd.find("flowruns.wait.open", **TAGS)[-1:] == [0.0], 60)
