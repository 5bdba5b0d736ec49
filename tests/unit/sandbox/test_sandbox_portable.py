"""The sandbox's Portable API."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox import LEFT_OUT


@pytest.fixture
def portable(call):
    def send(method, path, **options):
        return call("portable", method, path, **options)

    return send


@pytest.fixture
def flow(sandbox):
    return sandbox.portable.add_flow(name="Orders", flow_id=568971)


def get_status(portable, flow):
    return portable("GET", f"/v2/flows/{flow.id}/status").json()


def list_attempts(portable, flow, **query):
    return portable("GET", f"/v2/flows/{flow.id}/run", params=query).json()["data"]


READS = ["/v2/flows", "/v2/flows/568971/status", "/v2/flows/568971/run", "/v2/workflows/568971/status"]


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_missing_or_invalid_token_is_rejected(portable, flow, path, token):
    response = portable("GET", path, token=token)
    assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize(("method", "path"), [("GET", "status"), ("GET", "run"), ("POST", "run"), ("POST", "cancel")])
def test_an_unknown_flow_is_404_and_a_malformed_id_is_400(portable, method, path):
    unknown = portable(method, f"/v2/flows/1/{path}")
    assert (unknown.status_code, unknown.json()) == (404, {"message": "Not Found"})
    for text in ("abc", "1x", "-1", "9" * 5000):
        response = portable(method, f"/v2/flows/{text}/{path}")
        assert response.status_code == 400
        assert set(response.json()) == {"message"}


def test_unknown_paths_and_methods_are_404(portable, flow):
    for method, path in [("GET", "/v2/nothing"), ("PUT", "/v2/flows"), ("POST", f"/v2/workflows/{flow.id}/run")]:
        assert portable(method, path).status_code == 404


def test_flows_are_listed(sandbox, portable, flow):
    sandbox.portable.add_flow(name="Customers", flow_id=568972)
    rows = portable("GET", "/v2/flows").json()["data"]
    assert [(row["id"], row["displayName"]) for row in rows] == [(568971, "Orders"), (568972, "Customers")]
    assert set(rows[0]) == {"id", "displayName", "source", "destination", "frequency"}


def test_a_flow_without_runs(portable, flow):
    assert get_status(portable, flow) == {
        "id": flow.id,
        "lifecycle": "NOT_RUNNING",
        "disposition": "NONE",
        "resources": None,
        "errors": None,
        "completedAt": None,
    }
    assert list_attempts(portable, flow) == []


def test_a_started_run_proceeds_to_its_end(sandbox, portable, flow, clock):
    flow.next_run(outcome="SUCCEEDED", waiting=1, running=4)
    response = portable("POST", f"/v2/flows/{flow.id}/run")
    assert (response.status_code, response.json()) == (201, {"message": "Created"})
    (run,) = flow.runs

    pending = get_status(portable, flow)
    assert (pending["lifecycle"], pending["disposition"], pending["resources"]) == ("PENDING", "NONE", None)
    clock.advance(3)
    running = get_status(portable, flow)
    assert (running["lifecycle"], running["disposition"], running["completedAt"]) == ("RUNNING", "NONE", None)
    assert [each["extracted"] for each in running["resources"]] == [600, 150]
    assert all(0 < each["loaded"] < each["extracted"] for each in running["resources"])
    clock.advance(3)
    done = get_status(portable, flow)
    assert (done["lifecycle"], done["disposition"], done["errors"]) == ("NOT_RUNNING", "SUCCEEDED", None)
    assert done["completedAt"] == "2027-01-15T08:00:05.000Z"
    assert done["resources"][0] == {
        "name": "orders",
        "extracted": 1200,
        "analyzed": 1200,
        "loaded": 1200,
        "errors": [],
    }
    assert run.ended_at == run.created + 5
    assert list_attempts(portable, flow) == [
        {
            "id": run.id,
            "flow": flow.id,
            "trigger": "API",
            "lifecycle": "NOT_RUNNING",
            "disposition": "SUCCEEDED",
            "resources": done["resources"],
            "errors": None,
            "completedAt": "2027-01-15T08:00:05.000Z",
            "createdAt": "2027-01-15T08:00:00.000Z",
        }
    ]
    assert sandbox.ledger.started == [("portable", flow.id, run.id, run.created)]


def test_a_failed_run_has_errors(portable, flow):
    flow.add_run(outcome="FAILED", ago=60, errors=["Source is down"], resources=[{"name": "a", "extracted": 10}])
    failed = get_status(portable, flow)
    assert (failed["lifecycle"], failed["disposition"]) == ("NOT_RUNNING", "FAILED")
    assert failed["errors"] == ["Source is down"]
    assert failed["resources"][0]["extracted"] == 6
    assert list_attempts(portable, flow)[0]["completedAt"] is not None


def test_errors_have_a_default_and_can_be_omitted(portable, flow):
    flow.add_run(outcome="FAILED", ago=60)
    assert len(get_status(portable, flow)["errors"]) == 1
    flow.add_run(outcome="FAILED", ago=50, errors=None)
    assert get_status(portable, flow)["errors"] is None


def test_a_cancel_ends_all_active_runs(sandbox, portable, flow, clock):
    run = flow.add_run(outcome="RUNNING", ago=10)
    waiting = flow.add_run(outcome="WAITING", ago=5)
    assert get_status(portable, flow)["lifecycle"] == "RUNNING"
    response = portable("POST", f"/v2/flows/{flow.id}/cancel")
    assert response.status_code == 200
    assert set(response.json()) == {"message"}
    assert [run.status, waiting.status] == ["NONE", "NONE"]
    assert run.canceled
    assert run.ended_at == clock.now
    status = get_status(portable, flow)
    assert (status["lifecycle"], status["disposition"]) == ("NOT_RUNNING", "NONE")
    assert status["completedAt"] is not None
    assert [event[:3] for event in sandbox.ledger.canceled] == [
        ("portable", flow.id, run.id),
        ("portable", flow.id, waiting.id),
    ]


def test_a_cancel_of_an_idle_flow_does_nothing(sandbox, portable, flow):
    run = flow.add_run(ago=60)
    assert portable("POST", f"/v2/flows/{flow.id}/cancel").status_code == 200
    assert run.status == "SUCCEEDED"
    assert not run.canceled
    assert sandbox.ledger.canceled == []


def test_a_run_started_while_another_is_running_is_queued(portable, flow, clock):
    for _ in range(3):
        flow.next_run(waiting=0, running=10)
        portable("POST", f"/v2/flows/{flow.id}/run")
    assert [run.status for run in flow.runs] == ["RUNNING", "PENDING", "PENDING"]
    assert get_status(portable, flow)["lifecycle"] == "RUNNING"
    clock.advance(15)
    assert [run.status for run in flow.runs] == ["SUCCEEDED", "RUNNING", "PENDING"]
    clock.advance(15)
    assert [run.status for run in flow.runs] == ["SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]
    assert [run.ended_at - run.created for run in flow.runs] == [10, 20, 30]


def test_a_cancel_includes_queued_runs(portable, flow, clock):
    for _ in range(2):
        portable("POST", f"/v2/flows/{flow.id}/run")
    portable("POST", f"/v2/flows/{flow.id}/cancel")
    clock.advance(100)
    assert [run.status for run in flow.runs] == ["NONE", "NONE"]


def test_a_run_can_be_invisible_initially(portable, flow, clock):
    flow.next_run(visible_after=3, waiting=5)
    portable("POST", f"/v2/flows/{flow.id}/run")
    assert list_attempts(portable, flow) == []
    assert get_status(portable, flow)["lifecycle"] == "NOT_RUNNING"
    clock.advance(3)
    assert get_status(portable, flow)["lifecycle"] == "PENDING"


@pytest.fixture
def history(flow):
    """Return five runs, one every 100 s, the newest 100 s ago."""
    return [flow.add_run(ago=100 * (5 - number)) for number in range(5)]


def ids(rows):
    return [row["id"] for row in rows]


def test_attempts_are_sorted_and_paged(portable, flow, history):
    oldest_first = [run.id for run in history]
    assert oldest_first == sorted(oldest_first)
    assert ids(list_attempts(portable, flow)) == oldest_first[::-1]
    for text in ("asc", "ASC"):
        assert ids(list_attempts(portable, flow, sort=text)) == oldest_first
    for text in ("desc", "DESC"):
        assert ids(list_attempts(portable, flow, sort=text, limit=2, offset=1)) == oldest_first[::-1][1:3]
    assert list_attempts(portable, flow, offset=5) == []


def test_attempts_are_filtered_by_time_of_creation(portable, flow, history):
    second, fourth = (list_attempts(portable, flow, sort="asc")[number]["createdAt"] for number in (1, 3))
    assert ids(list_attempts(portable, flow, startTime=second, endTime=fourth, sort="asc")) == [
        run.id for run in history[1:4]
    ]
    assert ids(list_attempts(portable, flow, startTime="2027-01-15T02:56:40.000-05:00", sort="asc")) == [
        run.id for run in history[3:]
    ]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "x"},
        {"limit": "-1"},
        {"offset": "-1"},
        {"offset": ""},
        {"sort": "up"},
        {"startTime": "yesterday"},
        {"startTime": "2027-01-15"},
        {"startTime": "2027-01-15T08:00:00"},
        {"endTime": "2027\u201001\u201015T08:00:00Z"},
    ],
)
def test_invalid_parameters_are_rejected(portable, flow, query):
    response = portable("GET", f"/v2/flows/{flow.id}/run", params=query)
    assert response.status_code == 400
    assert set(response.json()) == {"message"}


def test_the_default_limit_is_100(portable, flow):
    for number in range(103):
        flow.add_run(ago=1000 - number)
    assert len(list_attempts(portable, flow)) == 100
    assert len(list_attempts(portable, flow, limit=1000)) == 103


def test_an_unknown_status_is_passed_on_as_lifecycle(portable, flow):
    flow.add_run(timeline=[(0, "MELTING")])
    assert get_status(portable, flow)["lifecycle"] == "MELTING"


def test_workflows_have_only_a_status(sandbox, portable, flow):
    workflow = sandbox.portable.add_workflow(name="Nightly")
    assert sandbox.portable.workflows == [workflow]
    workflow.add_run(outcome="RUNNING", waiting=0)
    path = f"/v2/workflows/{workflow.id}"
    assert portable("GET", f"{path}/status").json()["lifecycle"] == "RUNNING"
    assert portable("GET", f"{path}/run").status_code == 404
    assert portable("GET", f"/v2/flows/{workflow.id}/status").status_code == 404
    workflow.delete()
    assert portable("GET", f"{path}/status").status_code == 404


def test_a_schedule_creates_runs(portable, flow, clock):
    flow.schedule(every=20, waiting=0, running=5)
    assert list_attempts(portable, flow) == []
    clock.advance(62)
    rows = list_attempts(portable, flow)
    assert [row["lifecycle"] for row in rows] == ["RUNNING", "NOT_RUNNING", "NOT_RUNNING"]
    assert {row["trigger"] for row in rows} == {"SCHEDULED"}
    assert [run.created for run in flow.runs] == [clock.now - 42, clock.now - 22, clock.now - 2]


def test_scheduled_runs_are_queued_like_others(flow, clock):
    flow.schedule(every=10, waiting=0, running=14)
    clock.advance(31)
    assert [run.status for run in flow.runs] == ["SUCCEEDED", "RUNNING", "PENDING"]


def test_a_deleted_flow_does_not_exist(sandbox, portable, flow):
    flow.add_run()
    flow.delete()
    assert portable("GET", f"/v2/flows/{flow.id}/status").status_code == 404
    assert sandbox.portable.flows == []


def test_ids_are_unique(sandbox, flow):
    with pytest.raises(ValueError, match="568971"):
        sandbox.portable.add_flow(flow_id=568971)
    sandbox.portable.add_workflow(workflow_id=568971)
    with pytest.raises(ValueError, match="568971"):
        sandbox.portable.add_workflow(workflow_id=568971)


def test_an_attempt_can_be_shown_in_any_shape(portable, flow):
    run = flow.add_run(ago=60)
    run.overrides = {"resources": {}, "lifecycle": LEFT_OUT}
    (attempt,) = list_attempts(portable, flow)
    assert attempt["resources"] == {}
    assert "lifecycle" not in attempt
