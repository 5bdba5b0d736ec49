"""The scenarios: the same flows, whose runs proceed in different ways."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox import scenario
from airflow_provider_flowruns.sandbox.scenarios import DEFAULT_SCENARIO, SCENARIOS, SLOW_RUN_SECONDS

WEBHOOK = f"/api/v1/webhooks/{scenario.ACTIVEPIECES_FLOW_ID}"


def list_flows(sandbox):
    return [*(flow for service in sandbox.services for flow in service.flows), *sandbox.portable.workflows]


def has_failed(run) -> bool:
    return "failed" in run.status.lower()


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_the_flows_of_the_default_one(sandbox, name):
    seeded = SCENARIOS[name].seed(sandbox)
    declared = {value for name, value in vars(scenario).items() if name.endswith(("FLOW_ID", "WORKFLOW_ID"))}
    assert {flow.flow_id for flow in seeded} == {flow.id for flow in list_flows(sandbox)} == declared
    assert sandbox.activepieces.project_id == scenario.ACTIVEPIECES_PROJECT_ID
    assert all(flow.behaviour for flow in seeded)


def test_the_default_scenario_is_that_of_the_examples(sandbox):
    assert SCENARIOS[DEFAULT_SCENARIO].seed is scenario.seed


def test_every_run_of_the_failing_scenario_fails(sandbox, call, clock):
    SCENARIOS["failing"].seed(sandbox)
    call("activepieces", "POST", WEBHOOK, json={})
    clock.advance(5)
    for flow in list_flows(sandbox):
        assert len(flow.runs) > 20, flow
        assert all(has_failed(run) for run in flow.runs if run.created <= clock() - 4), flow
    status = call("portable", "GET", f"/v2/flows/{scenario.PORTABLE_FLOW_ID}/status").json()
    assert (status["disposition"], status["errors"]) == ("FAILED", ["The source is down"])


def test_every_flow_of_the_slow_scenario_has_an_active_run_that_succeeds(sandbox, clock):
    SCENARIOS["slow"].seed(sandbox)
    active = [flow.runs[-1] for flow in list_flows(sandbox)]
    assert all(run.ended_at is None for run in active)
    clock.advance(SLOW_RUN_SECONDS / 2)
    assert all(run.ended_at and not has_failed(run) for run in active)
    assert all(len(flow.runs) == 10 for flow in list_flows(sandbox))


def test_no_flow_of_the_empty_scenario_has_run_until_it_is_started(sandbox, call, clock):
    SCENARIOS["empty"].seed(sandbox)
    clock.advance(3_600)
    assert not any(flow.runs for flow in list_flows(sandbox))
    call("activepieces", "POST", WEBHOOK, json={})
    clock.advance(6)
    [run] = [run for flow in list_flows(sandbox) for run in flow.runs]
    assert run.status == "SUCCEEDED"
