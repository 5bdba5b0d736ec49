"""The sandbox's Activepieces API, compared with recordings of a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import LEFT_OUT

RECORDED = Path(__file__).parents[2] / "fixtures" / "activepieces"
UNKNOWN = "A" * 21
ALL_STATUSES = [
    *("FAILED", "QUOTA_EXCEEDED", "INTERNAL_ERROR", "PAUSED", "QUEUED", "RUNNING", "SUCCEEDED"),
    *("MEMORY_LIMIT_EXCEEDED", "TIMEOUT", "CANCELED", "LOG_SIZE_EXCEEDED"),
]


def load_recording(name):
    """Return the response in a recording."""
    return json.loads((RECORDED / f"{name}.json").read_text())["response"]


@pytest.fixture
def pieces(call):
    def send(method, path, **options):
        return call("activepieces", method, f"/api/v1{path}", **options)

    return send


@pytest.fixture
def project(sandbox):
    return {"projectId": sandbox.activepieces.project_id}


@pytest.fixture
def flow(sandbox):
    return sandbox.activepieces.add_flow(name="Orders sync")


@pytest.fixture
def listed(pieces, project):
    """Return a function that lists the ids of runs."""

    def ids(**query):
        response = pieces("GET", "/flow-runs", params={**project, **query})
        assert response.status_code == 200, response.text
        return [row["id"] for row in response.json()["data"]]

    return ids


# Errors


@pytest.mark.parametrize(
    ("name", "path", "token"),
    [
        ("error-no-token-list", "/flow-runs?projectId=<project>", None),
        ("error-no-token-get", "/flow-runs/<run>", None),
        ("error-no-token-get-unknown-id", f"/flow-runs/{UNKNOWN}", None),
        ("error-bad-jwt-get", "/flow-runs/<run>", "wrong"),
        ("error-bad-api-key-get", "/flow-runs/<run>", "sk-0000000000000000"),
        ("error-bad-jwt-flows-list", "/flows?projectId=<project>", "wrong"),
        ("error-bad-jwt-other-route-projects", "/projects", "wrong"),
        ("error-bad-api-key-other-route-projects", "/projects", "sk-0000000000000000"),
        ("error-unknown-run", f"/flow-runs/{UNKNOWN}", "valid"),
        ("error-unknown-flow", "/flows/CCCCCCCCCCCCCCCCCCCCC", "valid"),
        ("error-unknown-project", "/flow-runs?projectId=BBBBBBBBBBBBBBBBBBBBB", "valid"),
        ("error-unknown-route", "/flow-runz", "valid"),
        ("error-malformed-run-id", "/flow-runs/short", "valid"),
        ("error-missing-projectId", "/flow-runs", "valid"),
        ("error-limit-text", "/flow-runs?projectId=<project>&limit=abc", "valid"),
        ("error-bad-status-filter", "/flow-runs?projectId=<project>&status=NOPE", "valid"),
        ("runs-list-filter-comma", "/flow-runs?projectId=<project>&status=FAILED,TIMEOUT", "valid"),
        ("error-createdAfter-garbage", "/flow-runs?projectId=<project>&createdAfter=garbage", "valid"),
        ("error-cursor-wrong-payload", "/flow-runs?projectId=<project>&cursor=bmV4dF9hYmM=", "valid"),
    ],
)
def test_errors_are_those_of_the_real_server(sandbox, pieces, project, flow, name, path, token):
    run = flow.add_run(ago=60)
    path = path.replace("<run>", run.id).replace("<project>", project["projectId"])
    response = pieces("GET", path, token=sandbox.activepieces.token if token == "valid" else token)
    assert response.status_code == load_recording(name)["status"]
    assert response.json() == load_recording(name)["body"]


@pytest.mark.parametrize("key", ["flowId", "flowRunIds"])
def test_malformed_ids_in_filters_are_rejected(pieces, project, key):
    response = pieces("GET", "/flow-runs", params={**project, key: "short"})
    assert (response.status_code, response.json()["code"]) == (400, "FST_ERR_VALIDATION")


# Projects and flows


def test_projects_show_whether_a_token_is_valid(sandbox, pieces):
    body = pieces("GET", "/projects").json()
    assert [row["id"] for row in body["data"]] == [sandbox.activepieces.project_id]
    assert pieces("GET", "/projects", token=None).status_code == 403


def test_a_flow_has_the_keys_of_a_real_one(pieces, flow):
    body = pieces("GET", f"/flows/{flow.id}").json()
    assert body.keys() == load_recording("flow-get")["body"].keys()
    assert body["version"].keys() == load_recording("flow-get")["body"]["version"].keys()
    assert (body["status"], body["version"]["displayName"]) == ("ENABLED", "Orders sync")
    flow.enabled = False
    assert pieces("GET", f"/flows/{flow.id}").json()["status"] == "DISABLED"


def test_flows_are_paged(sandbox, pieces, project):
    flows = [sandbox.activepieces.add_flow(name=f"Flow {number}") for number in range(5)]
    seen, cursor = [], None
    for _ in range(3):
        body = pieces("GET", "/flows", params={**project, "limit": 2, "cursor": cursor}).json()
        seen += [row["id"] for row in body["data"]]
        cursor = body["next"]
    assert cursor is None
    assert seen == [flow.id for flow in reversed(flows)]
    assert pieces("GET", "/flows", params={**project, "cursor": "bmV4dF9hYmM="}).status_code == 500


# One run


@pytest.mark.parametrize(
    ("name", "timeline"),
    [
        ("run-get-succeeded", [(0, "QUEUED"), (1, "RUNNING"), (2, "SUCCEEDED")]),
        ("run-get-failed", [(0, "QUEUED"), (1, "RUNNING"), (2, "FAILED")]),
        ("run-get-timeout", [(0, "QUEUED"), (1, "RUNNING"), (2, "TIMEOUT")]),
        ("run-get-log-size-exceeded", [(0, "QUEUED"), (1, "RUNNING"), (2, "LOG_SIZE_EXCEEDED")]),
        ("run-get-paused", [(0, "QUEUED"), (1, "RUNNING"), (2, "PAUSED")]),
        ("run-get-canceled", [(0, "QUEUED"), (1, "RUNNING"), (2, "PAUSED"), (3, "CANCELED")]),
        ("run-get-canceled-before-start", [(0, "QUEUED"), (3, "CANCELED")]),
        ("run-get-running", [(0, "QUEUED"), (1, "RUNNING")]),
        ("run-get-running-no-start-time", [(0, "QUEUED"), (9.99, "RUNNING")]),
        ("run-get-queued", [(0, "QUEUED")]),
    ],
)
def test_a_run_shows_what_a_real_one_shows(pieces, flow, name, timeline):
    run = flow.add_run(timeline=timeline, ago=10)
    body, real = pieces("GET", f"/flow-runs/{run.id}").json(), load_recording(name)["body"]
    assert body.keys() == real.keys()
    assert body["flowVersion"].keys() == real["flowVersion"].keys()
    for key in ("status", "environment", "stepsCount", "tags", "failParentOnFailure"):
        assert body[key] == real[key], key
    for key in ("startTime", "finishTime", "failedStep", "logsFileId", "parentRunId", "archivedAt"):
        assert (body[key] is None) == (real[key] is None), key
    assert body["steps"].keys() - {"step_2"} == real["steps"].keys() - {"step_2"}
    for step, shown in body["steps"].items():
        assert shown["status"] == real["steps"][step]["status"]


STEPS = {
    "step_1": {"type": "CODE", "status": "SUCCEEDED", "input": {}, "output": {"rows": [{"id": 7}]}, "duration": 3.5},
    "step_2": {
        "type": "ROUTER",
        "status": "SUCCEEDED",
        "input": {},
        "output": {"branches": [{"branchName": "Otherwise", "branchIndex": 1, "evaluation": True}]},
    },
}


@pytest.mark.parametrize("status", ["SUCCEEDED", "PAUSED", "TIMEOUT", "STOPPED"])
def test_steps_can_be_given(pieces, flow, clock, status):
    run = flow.add_run(timeline=[(0, "QUEUED"), (1, "RUNNING"), (5, status)], steps=STEPS)
    assert pieces("GET", f"/flow-runs/{run.id}").json()["steps"] == {}
    clock.advance(2)
    running = pieces("GET", f"/flow-runs/{run.id}").json()["steps"]
    assert running["step_1"]["status"] == "RUNNING"
    clock.advance(5)
    row = pieces("GET", f"/flow-runs/{run.id}").json()
    assert row["steps"] == {"trigger": running["trigger"], **STEPS}
    assert row["stepsCount"] == (2 if status in {"SUCCEEDED", "PAUSED"} else 0)


def test_the_trigger_is_a_step_that_can_be_given(pieces, flow):
    trigger = {"type": "PIECE_TRIGGER", "status": "SUCCEEDED", "output": {"body": 1}}
    run = flow.add_run(ago=5, steps={"trigger": trigger})
    row = pieces("GET", f"/flow-runs/{run.id}").json()
    assert (row["steps"], row["stepsCount"]) == ({"trigger": trigger}, 0)


@pytest.mark.parametrize("value", [None, {}, [], "text"])
def test_a_run_can_be_shown_in_any_shape(pieces, project, flow, value):
    run = flow.add_run(ago=5)
    run.overrides = {"steps": value, "tags": LEFT_OUT}
    row = pieces("GET", f"/flow-runs/{run.id}").json()
    assert row["steps"] == value
    assert "tags" not in row


@pytest.mark.parametrize("status", [*ALL_STATUSES, "STOPPED", "DREAMING"])
def test_every_status_is_possible(pieces, flow, status):
    run = flow.add_run(timeline=[(0, status)], ago=5)
    assert pieces("GET", f"/flow-runs/{run.id}").json()["status"] == status


def test_times_follow_the_timeline(pieces, flow):
    run = flow.add_run(timeline=[(0, "QUEUED"), (1, "RUNNING"), (2.5, "SUCCEEDED")], ago=10)
    body = pieces("GET", f"/flow-runs/{run.id}").json()
    assert (body["created"], body["startTime"], body["finishTime"], body["updated"]) == (
        "2027-01-15T07:59:50.000Z",
        "2027-01-15T07:59:51.000Z",
        "2027-01-15T07:59:52.500Z",
        "2027-01-15T07:59:52.500Z",
    )
    assert run.ended_at == pytest.approx(run.created + 2.5)


def test_a_failed_step_has_a_message_by_default(pieces, flow):
    given = flow.add_run(outcome="FAILED", errors=["Error: boom", "    at step"], ago=10)
    step = pieces("GET", f"/flow-runs/{given.id}").json()["failedStep"]
    assert step == {"name": "step_1", "message": "Error: boom\n    at step", "displayName": "Fetch orders"}
    silent = flow.add_run(outcome="FAILED", errors=None, ago=10)
    assert pieces("GET", f"/flow-runs/{silent.id}").json()["failedStep"] is None


def test_a_run_can_be_invisible_initially(pieces, flow, listed, clock):
    run = flow.add_run(visible_after=2)
    assert pieces("GET", f"/flow-runs/{run.id}").status_code == 404
    assert listed() == []
    clock.advance(2)
    assert pieces("GET", f"/flow-runs/{run.id}").status_code == 200
    assert listed() == [run.id]


def test_deleting_a_flow_deletes_its_runs(pieces, flow):
    run = flow.add_run()
    flow.delete()
    assert pieces("GET", f"/flow-runs/{run.id}").json() == {
        "code": "ENTITY_NOT_FOUND",
        "params": {"entityId": run.id, "entityType": "flow_run"},
    }


def test_an_internal_error_can_be_temporary(pieces, flow, clock):
    run = flow.add_run(timeline=[(0, "RUNNING"), (1, "INTERNAL_ERROR"), (5, "RUNNING"), (9, "SUCCEEDED")])
    seen = []
    for _ in range(3):
        clock.advance(4)
        seen.append((run.status, run.ended_at is None))
    assert seen == [("INTERNAL_ERROR", False), ("RUNNING", True), ("SUCCEEDED", False)]


# Lists


def test_a_list_row_has_the_keys_of_a_real_one(pieces, project, flow):
    flow.add_run(ago=60)
    (row,) = pieces("GET", "/flow-runs", params=project).json()["data"]
    assert row.keys() == load_recording("runs-list-one")["body"]["data"][0].keys()
    assert row["displayName"] == "Orders sync"


def test_lists_are_filtered(sandbox, flow, listed):
    other = sandbox.activepieces.add_flow()
    failed = flow.add_run(outcome="FAILED", ago=400, tags=["a", "b"])
    valid = flow.add_run(ago=300, tags=["a"])
    elsewhere = other.add_run(ago=200)
    queued = other.add_run(outcome="WAITING", ago=100)
    assert listed() == [queued.id, elsewhere.id, valid.id, failed.id]
    assert listed(flowId=flow.id) == [valid.id, failed.id]
    assert listed(flowId=[flow.id, other.id]) == listed()
    assert listed(status=["FAILED", "QUEUED"]) == [queued.id, failed.id]
    assert listed(**{"status[]": "FAILED"}) == [failed.id]
    assert listed(flowRunIds=[valid.id, queued.id, UNKNOWN]) == [queued.id, valid.id]
    assert listed(tags="a") == [valid.id, failed.id]
    assert listed(tags=["a", "b"]) == [failed.id]
    assert listed(status="TIMEOUT") == []
    assert listed(misspelt=flow.id) == listed()
    sandbox.activepieces.supports_run_id_filter = False
    assert listed(flowRunIds=[valid.id]) == listed()


def test_the_time_window_is_inclusive(pieces, project, flow, listed):
    runs = [flow.add_run(ago=100 - number) for number in range(3)]
    times = [pieces("GET", f"/flow-runs/{run.id}").json()["created"] for run in runs]
    newest_first = [run.id for run in reversed(runs)]
    assert listed(createdAfter=times[1]) == newest_first[:2]
    assert listed(createdBefore=times[1]) == newest_first[1:]
    assert listed(createdAfter=times[1], createdBefore=times[1]) == [runs[1].id]
    assert listed(createdBefore="2020-01-01") == []


def test_testing_and_archived_runs_are_reached_by_id_only(pieces, flow, listed, clock):
    testing = flow.add_run(environment="TESTING", ago=60)
    archived = flow.add_run(ago=50)
    archived.archived_at = clock()
    assert listed() == []
    for run in (testing, archived):
        assert pieces("GET", f"/flow-runs/{run.id}").status_code == 200
    assert pieces("GET", f"/flow-runs/{archived.id}").json()["archivedAt"] is not None


# Retry


def test_a_retry_from_the_failed_step_keeps_the_id(sandbox, pieces, project, flow, clock):
    run = flow.add_run(outcome="FAILED", errors=["Error: boom"], ago=60)
    flow.next_run(waiting=1, running=1)
    body = {**project, "strategy": "FROM_FAILED_STEP"}
    response = pieces("POST", f"/flow-runs/{run.id}/retry", json=body)
    real = load_recording("retry-from-failed-step")
    assert response.status_code == real["status"]
    assert response.json().keys() == real["body"].keys()
    assert (response.json()["id"], response.json()["status"]) == (run.id, "QUEUED")
    assert response.json()["startTime"] == "2027-01-15T08:00:00.000Z"
    assert response.json()["finishTime"] is None
    clock.advance(1.5)
    running = pieces("GET", f"/flow-runs/{run.id}").json()
    assert (running["status"], running["failedStep"]["message"]) == ("RUNNING", "Error: boom")
    clock.advance(1)
    done = pieces("GET", f"/flow-runs/{run.id}").json()
    assert (done["status"], done["failedStep"]) == ("SUCCEEDED", None)
    assert [event.run_id for event in sandbox.ledger.started] == [run.id]


def test_a_retry_on_the_latest_version_creates_a_new_run(pieces, project, flow):
    pieces("POST", f"/webhooks/{flow.id}", json={"key": "k1"}, token=None)
    (run,) = flow.runs
    response = pieces("POST", f"/flow-runs/{run.id}/retry", json={**project, "strategy": "ON_LATEST_VERSION"})
    real = load_recording("retry-on-latest-version")
    assert response.status_code == real["status"]
    assert response.json().keys() == real["body"].keys()
    assert response.json()["id"] == flow.runs[-1].id != run.id
    assert flow.runs[-1].trigger_output == run.trigger_output


def test_an_invalid_retry_is_rejected(pieces, project, flow):
    run = flow.add_run(outcome="FAILED", ago=60)
    valid = {**project, "strategy": "FROM_FAILED_STEP"}
    path = f"/flow-runs/{run.id}/retry"
    assert pieces("POST", f"/flow-runs/{UNKNOWN}/retry", json=valid).status_code == 404
    assert pieces("POST", path, json=valid, token=None).status_code == 403
    bodies: list[Any] = [{**valid, "strategy": "SOMEHOW"}, {"strategy": "FROM_FAILED_STEP"}, [], None]
    for body in bodies:
        response = pieces("POST", path, json=body)
        assert (response.status_code, response.json()["code"]) == (400, "FST_ERR_VALIDATION")
    assert run.status == "FAILED"


# Cancel


@pytest.fixture
def three(sandbox, flow):
    """Return a queued, a paused and a running run."""
    return [
        flow.add_run(timeline=[(0, status)], ago=60 - number)
        for number, status in enumerate(("QUEUED", "PAUSED", "RUNNING"))
    ]


def test_a_cancel_affects_only_runs_that_are_not_running(sandbox, pieces, project, flow, three):
    response = pieces("POST", "/flow-runs/cancel", json={**project, "flowRunIds": [run.id for run in three]})
    assert (response.status_code, response.content) == (200, b"")
    assert [run.status for run in three] == ["CANCELED", "CANCELED", "RUNNING"]
    assert [run.canceled for run in three] == [True, True, False]
    assert [event.run_id for event in sandbox.ledger.canceled] == [three[0].id, three[1].id]
    bodies = [pieces("GET", f"/flow-runs/{run.id}").json() for run in three[:2]]
    assert [body["finishTime"] for body in bodies] == [None, None]
    assert [body["startTime"] is None for body in bodies] == [True, False]


def test_a_cancel_does_not_affect_other_runs(pieces, project, three):
    pieces("POST", "/flow-runs/cancel", json={**project, "flowRunIds": [three[0].id]})
    assert [run.status for run in three] == ["CANCELED", "PAUSED", "RUNNING"]


@pytest.mark.parametrize("body", [{}, {"flowRunIds": []}])
def test_an_empty_list_cancels_the_whole_project(sandbox, pieces, project, three, body):
    elsewhere = sandbox.activepieces.add_flow().add_run(outcome="WAITING")
    pieces("POST", "/flow-runs/cancel", json={**project, **body})
    assert [run.status for run in [*three, elsewhere]] == ["CANCELED", "CANCELED", "RUNNING", "CANCELED"]


def test_an_invalid_cancel_is_rejected(pieces, project, three):
    bodies: list[Any] = [{}, [], {**project, "flowRunIds": "x"}]
    for body in bodies:
        assert pieces("POST", "/flow-runs/cancel", json=body).status_code == 400
    assert pieces("POST", "/flow-runs/cancel", json=project, token=None).status_code == 403
    assert pieces("POST", "/flow-runs/cancel", json={"projectId": UNKNOWN}).status_code == 404
    assert three[0].status == "QUEUED"


# Webhooks


def test_a_webhook_starts_a_run_without_naming_it(sandbox, pieces, flow, clock):
    flow.next_run(outcome="FAILED", waiting=1, running=2)
    response = pieces("POST", f"/webhooks/{flow.id}", json={"order": 17}, token=None)
    assert (response.status_code, response.json()) == (200, {})
    (run,) = flow.runs
    assert len(response.headers["x-webhook-id"]) == 21
    assert response.headers["x-webhook-id"] != run.id
    assert run.status == "QUEUED"
    assert [event[:3] for event in sandbox.ledger.started] == [("activepieces", flow.id, run.id)]
    clock.advance(3)
    assert run.status == "FAILED"


def test_a_run_stores_the_headers_and_the_body_of_the_webhook(pieces, flow, clock):
    pieces("PUT", f"/webhooks/{flow.id}?a=1", json={"x": 1}, token="stored", headers={"X-Api-Key": "also stored"})
    clock.advance(1)
    output = pieces("GET", f"/flow-runs/{flow.runs[0].id}").json()["steps"]["trigger"]["output"]
    real = load_recording("run-get-webhook-headers-kept")["body"]["steps"]["trigger"]["output"]
    assert output.keys() == real.keys()
    assert (output["method"], output["body"], output["queryParams"]) == ("PUT", {"x": 1}, {"a": "1"})
    assert output["rawBody"] == '{"x": 1}'
    assert output["headers"]["authorization"] == "Bearer stored"
    assert output["headers"]["x-api-key"] == "also stored"


def test_a_webhook_accepts_text_and_an_empty_body(pieces, flow):
    pieces("POST", f"/webhooks/{flow.id}", data=b"plain", headers={"Content-Type": "text/plain"})
    pieces("GET", f"/webhooks/{flow.id}")
    assert [run.trigger_output["body"] for run in flow.runs] == ["plain", {}]
    broken = {"data": b"{", "headers": {"Content-Type": "application/json"}}
    assert pieces("POST", f"/webhooks/{flow.id}", **broken).status_code == 400


def test_webhooks_that_do_not_start_a_run(pieces, flow):
    unknown = pieces("POST", f"/webhooks/{UNKNOWN}", json={})
    assert (unknown.status_code, unknown.json()) == (410, {})
    assert "x-webhook-id" in unknown.headers
    flow.enabled = False
    disabled = pieces("POST", f"/webhooks/{flow.id}", json={})
    assert (disabled.status_code, disabled.json()) == (404, {})
    assert "x-webhook-id" in disabled.headers
    malformed = pieces("POST", "/webhooks/nope", json={})
    assert (malformed.status_code, malformed.json()) == (400, load_recording("webhook-malformed-flow-id")["body"])
    assert flow.runs == []


def test_scheduled_runs_fail_their_parent(pieces, flow, listed, clock):
    flow.schedule(every=60)
    clock.advance(121)
    ids = listed()
    assert len(ids) == 2
    assert pieces("GET", f"/flow-runs/{ids[0]}").json()["failParentOnFailure"] is True


def test_malformed_flow_ids_are_rejected(sandbox):
    with pytest.raises(ValueError, match="21 letters"):
        sandbox.activepieces.add_flow(flow_id="short")
