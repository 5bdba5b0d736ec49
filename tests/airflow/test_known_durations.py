"""A new triggerer knows how long a flow's runs take, from earlier DAG runs and not from the service."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

#: Longer than the triggerer takes to start again.
RUN_SECONDS = 30.0


def test_durations_survive_the_death_of_the_triggerer(airflow: RealAirflow, live_sandbox: Sandbox) -> None:
    sandbox = live_sandbox
    flow = sandbox.activepieces.add_flow()
    past = [flow.add_run(waiting=0.0, running=RUN_SECONDS, ago=3_600.0 * hours) for hours in (3, 2, 1)]
    learning = airflow.trigger("known_durations", {f"run_{number}": run.id for number, run in enumerate(past)})
    assert airflow.wait_for_run("known_durations", learning) == "success"

    airflow.kill("triggerer")
    run = flow.add_run(waiting=0.0, running=RUN_SECONDS)
    requests = len(sandbox.ledger.requests)
    dag = "uses_known_durations"
    run_id = airflow.trigger(dag, {"run": run.id})
    airflow.wait_for_task(dag, run_id, "wait", ["deferred"])
    airflow.start("triggerer")

    assert airflow.wait_for_run(dag, run_id) == "success"
    _, log_of_triggerer = airflow.get_log(dag, run_id, "wait").split("The triggerer waits for", 1)
    assert f"usually about {RUN_SECONDS:.0f} s" in log_of_triggerer
    assert "TriggerEvent<succeeded: " in log_of_triggerer
    assert not [sent for sent in sandbox.ledger.requests[requests:] if ("flowId", flow.id) in sent.query]
