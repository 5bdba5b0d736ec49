"""What the Portable part of the sandbox answers."""

from __future__ import annotations

import pytest


@pytest.fixture
def portable(call):
    def send(method, path, **options):
        return call("portable", method, path, **options)

    return send


@pytest.fixture
def flow(sandbox):
    return sandbox.portable.add_flow(name="Orders", flow_id=568971)


def status_of(portable, flow):
    return portable("GET", f"/v2/flows/{flow.id}/status").json()


def attempts_of(portable, flow, **query):
    return portable("GET", f"/v2/flows/{flow.id}/run", params=query).json()["data"]


READS = ["/v2/flows", "/v2/flows/568971/status", "/v2/flows/568971/run", "/v2/workflows/568971/status"]


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_missing_or_bad_token_is_refused(portable, flow, path, token):
    answer = portable("GET", path, token=token)
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize(("method", "path"), [("GET", "status"), ("GET", "run"), ("POST", "run"), ("POST", "cancel")])
def test_an_unknown_flow_is_404_and_a_word_is_400(portable, method, path):
    unknown = portable(method, f"/v2/flows/1/{path}")
    assert (unknown.status_code, unknown.json()) == (404, {"message": "Not Found"})
    for word in ("abc", "1x", "-1", "9" * 5000):
        answer = portable(method, f"/v2/flows/{word}/{path}")
        assert answer.status_code == 400
        assert set(answer.json()) == {"message"}


def test_unknown_paths_and_methods_are_404(portable, flow):
    for method, path in [("GET", "/v2/nothing"), ("PUT", "/v2/flows"), ("POST", f"/v2/workflows/{flow.id}/run")]:
        assert portable(method, path).status_code == 404


def test_flows_are_listed(sandbox, portable, flow):
    sandbox.portable.add_flow(name="Customers", flow_id=568972)
    rows = portable("GET", "/v2/flows").json()["data"]
    assert [(row["id"], row["displayName"]) for row in rows] == [(568971, "Orders"), (568972, "Customers")]
    assert set(rows[0]) == {"id", "displayName", "source", "destination", "frequency"}


def test_a_flow_that_never_ran(portable, flow):
    assert status_of(portable, flow) == {
        "id": flow.id,
        "lifecycle": "NOT_RUNNING",
        "disposition": "NONE",
        "resources": None,
        "errors": None,
        "completedAt": None,
    }
    assert attempts_of(portable, flow) == []


def test_a_started_run_goes_through_its_life(sandbox, portable, flow, clock):
    flow.next_run(outcome="SUCCEEDED", waiting=1, running=4)
    answer = portable("POST", f"/v2/flows/{flow.id}/run")
    assert (answer.status_code, answer.json()) == (201, {"message": "Created"})
    (run,) = flow.runs

    pending = status_of(portable, flow)
    assert (pending["lifecycle"], pending["disposition"], pending["resources"]) == ("PENDING", "NONE", None)
    clock.move(3)
    running = status_of(portable, flow)
    assert (running["lifecycle"], running["disposition"], running["completedAt"]) == ("RUNNING", "NONE", None)
    assert [each["extracted"] for each in running["resources"]] == [600, 150]
    assert all(0 < each["loaded"] < each["extracted"] for each in running["resources"])
    clock.move(3)
    done = status_of(portable, flow)
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
    assert attempts_of(portable, flow) == [
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
    failed = status_of(portable, flow)
    assert (failed["lifecycle"], failed["disposition"]) == ("NOT_RUNNING", "FAILED")
    assert failed["errors"] == ["Source is down"]
    assert failed["resources"][0]["extracted"] == 6
    assert attempts_of(portable, flow)[0]["completedAt"] is not None


def test_errors_have_a_default_and_can_be_left_out(portable, flow):
    flow.add_run(outcome="FAILED", ago=60)
    assert len(status_of(portable, flow)["errors"]) == 1
    flow.add_run(outcome="FAILED", ago=50, errors=None)
    assert status_of(portable, flow)["errors"] is None


def test_a_cancel_ends_what_is_at_work(sandbox, portable, flow, clock):
    run = flow.add_run(outcome="RUNNING", ago=10)
    waiting = flow.add_run(outcome="WAITING", ago=5)
    assert status_of(portable, flow)["lifecycle"] == "RUNNING"
    answer = portable("POST", f"/v2/flows/{flow.id}/cancel")
    assert answer.status_code == 200
    assert set(answer.json()) == {"message"}
    assert [run.status, waiting.status] == ["NONE", "NONE"]
    assert run.canceled
    assert run.ended_at == clock.now
    status = status_of(portable, flow)
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


def test_a_start_while_running_waits_for_its_turn(portable, flow, clock):
    for _ in range(3):
        flow.next_run(waiting=0, running=10)
        portable("POST", f"/v2/flows/{flow.id}/run")
    assert [run.status for run in flow.runs] == ["RUNNING", "PENDING", "PENDING"]
    assert status_of(portable, flow)["lifecycle"] == "RUNNING"
    clock.move(15)
    assert [run.status for run in flow.runs] == ["SUCCEEDED", "RUNNING", "PENDING"]
    clock.move(15)
    assert [run.status for run in flow.runs] == ["SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]
    assert [run.ended_at - run.created for run in flow.runs] == [10, 20, 30]


def test_a_cancel_takes_the_waiting_ones_along(portable, flow, clock):
    for _ in range(2):
        portable("POST", f"/v2/flows/{flow.id}/run")
    portable("POST", f"/v2/flows/{flow.id}/cancel")
    clock.move(100)
    assert [run.status for run in flow.runs] == ["NONE", "NONE"]


def test_a_run_can_be_invisible_at_first(portable, flow, clock):
    flow.next_run(visible_after=3, waiting=5)
    portable("POST", f"/v2/flows/{flow.id}/run")
    assert attempts_of(portable, flow) == []
    assert status_of(portable, flow)["lifecycle"] == "NOT_RUNNING"
    clock.move(3)
    assert status_of(portable, flow)["lifecycle"] == "PENDING"


@pytest.fixture
def history(flow):
    """Five runs, one every 100 s, the newest 100 s ago."""
    return [flow.add_run(ago=100 * (5 - number)) for number in range(5)]


def ids(rows):
    return [row["id"] for row in rows]


def test_attempts_are_sorted_and_cut(portable, flow, history):
    oldest_first = [run.id for run in history]
    assert oldest_first == sorted(oldest_first)
    assert ids(attempts_of(portable, flow)) == oldest_first[::-1]
    for word in ("asc", "ASC"):
        assert ids(attempts_of(portable, flow, sort=word)) == oldest_first
    for word in ("desc", "DESC"):
        assert ids(attempts_of(portable, flow, sort=word, limit=2, offset=1)) == oldest_first[::-1][1:3]
    assert attempts_of(portable, flow, offset=5) == []


def test_attempts_are_cut_by_time_of_creation(portable, flow, history):
    second, fourth = (attempts_of(portable, flow, sort="asc")[number]["createdAt"] for number in (1, 3))
    assert ids(attempts_of(portable, flow, startTime=second, endTime=fourth, sort="asc")) == [
        run.id for run in history[1:4]
    ]
    assert ids(attempts_of(portable, flow, startTime="2027-01-15T02:56:40.000-05:00", sort="asc")) == [
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
def test_bad_parameters_are_refused(portable, flow, query):
    answer = portable("GET", f"/v2/flows/{flow.id}/run", params=query)
    assert answer.status_code == 400
    assert set(answer.json()) == {"message"}


def test_the_default_limit_is_100(portable, flow):
    for number in range(103):
        flow.add_run(ago=1000 - number)
    assert len(attempts_of(portable, flow)) == 100
    assert len(attempts_of(portable, flow, limit=1000)) == 103


def test_a_made_up_word_is_passed_on_as_lifecycle(portable, flow):
    flow.add_run(timeline=[(0, "MELTING")])
    assert status_of(portable, flow)["lifecycle"] == "MELTING"


def test_workflows_have_a_status_only(sandbox, portable, flow):
    workflow = sandbox.portable.add_workflow(name="Nightly")
    assert sandbox.portable.workflows == [workflow]
    workflow.add_run(outcome="RUNNING", waiting=0)
    path = f"/v2/workflows/{workflow.id}"
    assert portable("GET", f"{path}/status").json()["lifecycle"] == "RUNNING"
    assert portable("GET", f"{path}/run").status_code == 404
    assert portable("GET", f"/v2/flows/{workflow.id}/status").status_code == 404
    workflow.delete()
    assert portable("GET", f"{path}/status").status_code == 404


def test_a_schedule_brings_runs(portable, flow, clock):
    flow.schedule(every=20, waiting=0, running=5)
    assert attempts_of(portable, flow) == []
    clock.move(62)
    rows = attempts_of(portable, flow)
    assert [row["lifecycle"] for row in rows] == ["RUNNING", "NOT_RUNNING", "NOT_RUNNING"]
    assert {row["trigger"] for row in rows} == {"SCHEDULED"}
    assert [run.created for run in flow.runs] == [clock.now - 42, clock.now - 22, clock.now - 2]


def test_scheduled_runs_queue_up_like_others(flow, clock):
    flow.schedule(every=10, waiting=0, running=14)
    clock.move(31)
    assert [run.status for run in flow.runs] == ["SUCCEEDED", "RUNNING", "PENDING"]


def test_a_deleted_flow_is_gone(sandbox, portable, flow):
    flow.add_run()
    flow.delete()
    assert portable("GET", f"/v2/flows/{flow.id}/status").status_code == 404
    assert sandbox.portable.flows == []


def test_ids_are_not_given_twice(sandbox, flow):
    with pytest.raises(ValueError, match="568971"):
        sandbox.portable.add_flow(flow_id=568971)
    sandbox.portable.add_workflow(workflow_id=568971)
    with pytest.raises(ValueError, match="568971"):
        sandbox.portable.add_workflow(workflow_id=568971)
