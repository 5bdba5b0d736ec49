"""The example flows."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox import scenario


@pytest.fixture
def seeded(sandbox):
    scenario.seed(sandbox)
    return sandbox


def find_flow(service, flow_id):
    return next(flow for flow in service.flows if flow.id == flow_id)


def test_all_ids_are_declared_and_exist(sandbox):
    table = scenario.seed(sandbox)
    existing = {flow.id for service in sandbox.services for flow in service.flows}
    existing |= {workflow.id for workflow in sandbox.portable.workflows}
    declared = {value for name, value in vars(scenario).items() if name.endswith(("FLOW_ID", "WORKFLOW_ID"))}
    assert existing == declared == {line.flow_id for line in table}
    assert sandbox.activepieces.project_id == scenario.ACTIVEPIECES_PROJECT_ID
    assert len(scenario.ACTIVEPIECES_PROJECT_ID) == 21
    assert all(len(flow.id) == 16 for flow in sandbox.tableflow.flows)


def test_scheduled_flows_have_a_history_and_continue(seeded, call, clock):
    path = f"/v2/flows/{scenario.PORTABLE_FLOW_ID}/run"
    before = call("portable", "GET", path).json()["data"]
    assert len(before) > 20
    clock.advance(60)
    assert len(call("portable", "GET", path).json()["data"]) == len(before) + 3


@pytest.mark.parametrize(
    "flow_id", [scenario.PORTABLE_FAILING_FLOW_ID, scenario.PORTABLE_FLOW_ID, scenario.PORTABLE_SLOW_FLOW_ID]
)
def test_portable_flows_end_as_described(seeded, call, clock, flow_id):
    call("portable", "POST", f"/v2/flows/{flow_id}/run")
    clock.advance(70)
    status = call("portable", "GET", f"/v2/flows/{flow_id}/status").json()
    fails = flow_id == scenario.PORTABLE_FAILING_FLOW_ID
    assert (status["errors"] is not None) == fails
    assert (status["disposition"] == "FAILED") == fails


def test_the_reviewed_flow_goes_through_review(seeded, call, clock):
    path = f"/v2/flows/{scenario.TABLEFLOW_REVIEW_FLOW_ID}/run"
    run_id = call("tableflow", "POST", path, files={"document": ("a.pdf", b"x")}).json()["id"]
    seen = []
    for _ in range(4):
        clock.advance(4)
        seen.append(call("tableflow", "GET", f"/v2/flows/runs/{run_id}").json()["status"])
    assert seen == ["review", "review", "completed", "completed"]


def test_the_pausing_flow_pauses(seeded, call, clock):
    call("activepieces", "POST", f"/api/v1/webhooks/{scenario.ACTIVEPIECES_PAUSING_FLOW_ID}", json={})
    (run,) = find_flow(seeded.activepieces, scenario.ACTIVEPIECES_PAUSING_FLOW_ID).runs
    clock.advance(5)
    assert run.status == "PAUSED"
    clock.advance(10)
    assert run.status == "SUCCEEDED"


def test_the_empty_flow_loads_no_rows_after_a_history_of_normal_loads(seeded, call, clock):
    path = f"/v2/flows/{scenario.PORTABLE_EMPTY_FLOW_ID}/run"
    call("portable", "POST", path)
    clock.advance(10)
    attempts = call("portable", "GET", path).json()["data"]
    assert {attempt["disposition"] for attempt in attempts} == {"SUCCEEDED"}
    loaded = [sum(resource["loaded"] for resource in attempt["resources"]) for attempt in attempts]
    assert loaded == [0] + [1500] * 10


def test_the_counting_flow_has_rows_and_a_loop(seeded, call, clock):
    call("activepieces", "POST", f"/api/v1/webhooks/{scenario.ACTIVEPIECES_STEPS_FLOW_ID}", json={"day": 1})
    (run,) = find_flow(seeded.activepieces, scenario.ACTIVEPIECES_STEPS_FLOW_ID).runs
    clock.advance(5)
    row = call("activepieces", "GET", f"/api/v1/flow-runs/{run.id}").json()
    assert (row["status"], row["stepsCount"]) == ("SUCCEEDED", 2)
    steps = row["steps"]
    assert steps["trigger"]["output"]["body"] == {"day": 1}
    assert steps["step_1"]["output"] == {"rows": [{"id": 7}, {"id": 8}], "count": 2}
    loop = steps["step_2"]["output"]
    assert (loop["item"], loop["index"]) == ({"id": 8}, 2)
    assert [iteration["step_3"]["output"]["id"] for iteration in loop["iterations"]] == [7, 8]
