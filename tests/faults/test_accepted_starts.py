"""A start that was accepted stays the task's own: whatever does not show later, no second run is started for it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.tasks import polling as polling_module
from airflow_provider_flowruns.testing.task_modes import StateStore, run_task, task_context
from tests.faults.starts import START, Make, add_flow, all_services, both_modes, started

#: Reading one's own run, whose id is known.
READ_OWN = {"portable": "/v2/flows/[0-9]+/run$", "activepieces": "/flow-runs/", "tableflow": "/flows/runs/"}
NOT_FOUND = {
    "portable": {"message": "Not Found"},
    "activepieces": {"code": "ENTITY_NOT_FOUND", "params": {"entityType": "flow_run"}},
    "tableflow": {"error": "Not Found", "message": "There is no such flow run"},
}
EMPTY_LIST = {"portable": {"data": []}, "activepieces": {"data": []}, "tableflow": {"flow_runs": []}}


def hide_own_run(sandbox: Sandbox, service: str, *, times: int | None) -> None:
    sandbox.faults.add("status", status=404, body=NOT_FOUND[service], method="GET", path=READ_OWN[service], times=times)


# -- a run that was known


@both_modes
@all_services
def test_a_known_run_is_not_gone_because_of_one_404(
    service: str, deferrable: bool, sandbox: Sandbox, operator: Make
) -> None:
    flow = add_flow(sandbox, service, running=5.0)
    store = StateStore()
    assert run_task(operator(service, flow, timeout=0.6), task_context(store)).error == "FlowRunTimeout"
    time.sleep(1.6)  # it may have been unseen for so long after its start, no longer
    hide_own_run(sandbox, service, times=1)

    end = run_task(operator(service, flow, deferrable=deferrable), task_context(store, try_number=2))

    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end


def test_a_known_run_of_portable_is_not_gone_because_of_one_empty_list(sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, "portable", running=5.0)
    store = StateStore()
    assert run_task(operator("portable", flow, timeout=0.6), task_context(store)).error == "FlowRunTimeout"
    time.sleep(1.6)
    sandbox.faults.add("json", body={"data": []}, method="GET", path="/run$", times=1)

    end = run_task(operator("portable", flow), task_context(store, try_number=2))

    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end


@both_modes
@all_services
def test_a_known_run_that_stays_hidden_is_unobservable_and_never_replaced(
    service: str, deferrable: bool, sandbox: Sandbox, operator: Make
) -> None:
    flow = add_flow(sandbox, service, running=60.0)
    store = StateStore()
    assert run_task(operator(service, flow, timeout=0.6), task_context(store)).error == "FlowRunTimeout"
    hide_own_run(sandbox, service, times=None)

    for number in (2, 3):
        end = run_task(operator(service, flow, deferrable=deferrable), task_context(store, try_number=number))
        assert end.error == "FlowRunUnobservable", end
        assert "no other run is started for it" in end.message

    assert len(started(sandbox, flow)) == 1


@both_modes
@all_services
def test_a_run_that_hides_for_a_moment_during_the_wait_is_found_again(
    service: str, deferrable: bool, sandbox: Sandbox, operator: Make
) -> None:
    flow = add_flow(sandbox, service, running=2.0)
    store = StateStore()
    assert run_task(operator(service, flow, timeout=0.6), task_context(store)).error == "FlowRunTimeout"
    sandbox.faults.add(
        "status", status=404, body=NOT_FOUND[service], method="GET", path=READ_OWN[service], after=2, times=2
    )
    end = run_task(operator(service, flow, deferrable=deferrable), task_context(store, try_number=2))
    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end


# -- a run that shows late, or never


@both_modes
@pytest.mark.parametrize("service", ["portable", "activepieces"])
def test_an_accepted_start_whose_run_shows_late_is_never_repeated(
    service: str, deferrable: bool, sandbox: Sandbox, operator: Make
) -> None:
    flow = add_flow(sandbox, service, visible_after=8.0, running=10.0)
    store = StateStore()
    make = operator(service, flow, deferrable=deferrable)
    ends = []
    for number in range(1, 9):
        ends.append(run_task(make, task_context(store, try_number=number, max_tries=8)))
        if ends[-1].state == "success":
            break
    assert {end.error for end in ends[:-1]} == {"FlowRunUnobservable"}
    assert (ends[-1].state, started(sandbox, flow)) == ("success", [ends[-1].xcom["run_id"]]), ends[-1]


@pytest.mark.parametrize("service", ["portable", "activepieces"])
def test_the_error_says_what_was_not_seen_and_how_to_go_on(service: str, sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, service, visible_after=60.0)
    end = run_task(operator(service, flow), task_context())
    assert end.error == "FlowRunUnobservable"
    title = service.capitalize()
    for said in (
        f"{title} accepted the start of flow {flow.id} sent at ",
        "mark this task as success",
        "clear this task",
    ):
        assert said in end.message


def test_the_error_names_webhook_authentication_as_a_cause(sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, "activepieces")
    sandbox.faults.add("json", body={}, method="POST", path="/webhooks/")  # as a webhook with credentials
    end = run_task(operator("activepieces", flow), task_context())
    assert (end.error, started(sandbox, flow)) == ("FlowRunUnobservable", [])
    for field in ("webhook_username", "webhook_password", "webhook_header_name", "webhook_header_secret"):
        assert field in end.message


@all_services
def test_a_cleared_task_starts_a_new_run_if_the_accepted_one_never_became_visible(
    service: str, sandbox: Sandbox, operator: Make
) -> None:
    if service == "tableflow":
        pytest.skip("its response names the run")
    flow = add_flow(sandbox, service, visible_after=60.0)
    store = StateStore()
    assert run_task(operator(service, flow), task_context(store)).error == "FlowRunUnobservable"
    flow.next_run(outcome="SUCCEEDED", waiting=0.1, running=0.3)

    end = run_task(operator(service, flow), task_context(store, try_number=2, max_tries=4))  # a clear allows more tries

    assert (end.state, len(started(sandbox, flow)), end.xcom["run_id"]) == ("success", 2, started(sandbox, flow)[1])


@all_services
@pytest.mark.parametrize("status", [404, 503])
def test_a_lost_start_is_not_repeated_without_a_good_response(
    service: str, status: int, sandbox: Sandbox, operator: Make
) -> None:
    """Only a list that was read and does not hold the run says that there is none."""
    flow = add_flow(sandbox, service, running=30.0)
    sandbox.faults.add("accept_then_reset", method="POST", path=START[service], times=1)
    sandbox.faults.add("status", status=status, method="GET", path="/run$|/flow-runs|/flows/runs", after=1, times=None)
    store = StateStore()
    make = operator(service, flow, error_budget=0.5)
    for number in (1, 2):
        end = run_task(make, task_context(store, try_number=number))
        assert end.error in {"FlowRunUnobservable", "NotFoundError"}, end
    assert len(started(sandbox, flow)) == 1


# -- a payload that the flow does not hand on


@both_modes
def test_a_run_that_does_not_show_its_call_is_found_by_its_time(
    deferrable: bool, sandbox: Sandbox, operator: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    flow = add_flow(sandbox, "activepieces")
    flow.shows_trigger_output = False
    flow.add_run(outcome="FAILED", ago=60.0)

    end = run_task(operator("activepieces", flow, deferrable=deferrable), task_context())

    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end
    assert "does not show what it was called with" in "".join(capfd.readouterr())


@pytest.mark.parametrize("loses_response", [False, True])
def test_no_retry_repeats_a_start_whose_run_does_not_show_its_call(
    loses_response: bool, sandbox: Sandbox, operator: Make
) -> None:
    flow = add_flow(sandbox, "activepieces", running=6.0)
    flow.shows_trigger_output = False
    if loses_response:
        sandbox.faults.add("accept_then_reset", method="POST", path="/webhooks/", times=1)
    store = StateStore()
    for number in (1, 2, 3):
        end = run_task(operator("activepieces", flow, timeout=0.5), task_context(store, try_number=number))
        assert end.error == "FlowRunTimeout", end
    end = run_task(operator("activepieces", flow), task_context(store, try_number=4))
    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end


@both_modes
@pytest.mark.parametrize(("outcome", "error"), [("SUCCEEDED", None), ("FAILED", "FlowRunFailed")])
def test_several_runs_that_do_not_show_their_call_are_all_waited_for(
    outcome: str, error: str | None, deferrable: bool, sandbox: Sandbox, operator: Make
) -> None:
    flow = add_flow(sandbox, "activepieces")
    flow.shows_trigger_output = False
    other = flow.add_run(outcome=outcome, waiting=0.1, running=2.5)
    end = run_task(operator("activepieces", flow, deferrable=deferrable), task_context())
    assert end.error == error, end
    assert len(started(sandbox, flow)) == 1
    if error:
        assert other.id in end.message
        assert started(sandbox, flow)[0] in end.message


@pytest.mark.parametrize("body", ["a text", ["a list"], {"somebody": "else"}])
def test_a_value_is_found_wherever_the_trigger_hands_it_on(body: Any, sandbox: Sandbox, operator: Make) -> None:
    """A trigger may hand on a text, or put what it was called with somewhere else."""
    flow = add_flow(sandbox, "activepieces")
    create_run = flow.create_run

    def create_moved_run(*arguments: Any) -> Any:
        run = create_run(*arguments)

        class Moved(type(run)):  # type: ignore[misc]
            def __setattr__(self, name: str, value: Any) -> None:
                if name == "trigger_output" and "body" in value:
                    value = {"data": [{"called": {"with": value["body"]}}], "body": body}
                super().__setattr__(name, value)

        run.__class__ = Moved
        return run

    flow.create_run = create_moved_run
    end = run_task(operator("activepieces", flow), task_context())
    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end


# -- without waiting


@pytest.mark.parametrize("service", ["portable", "activepieces"])
def test_without_waiting_an_accepted_start_is_returned_within_a_bound(
    service: str, sandbox: Sandbox, operator: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling_module, "FIND_WITHOUT_WAITING_SECONDS", 0.8)
    flow = add_flow(sandbox, service, visible_after=60.0)
    end = run_task(operator(service, flow, wait=False), task_context())
    assert end.state == "success", end
    assert (end.xcom["run_id"], end.xcom["lifecycle"], end.xcom["disposition"]) == (None, "PENDING", "NONE")
    assert end.xcom["flow_id"] == str(flow.id)
    assert len(started(sandbox, flow)) == 1


@all_services
def test_without_waiting_trouble_after_the_start_does_not_hold_it_up(
    service: str, sandbox: Sandbox, operator: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling_module, "FIND_WITHOUT_WAITING_SECONDS", 0.8)
    flow = add_flow(sandbox, service)
    sandbox.faults.add("status", status=503, method="GET", path="/run$|/flow-runs|/flows/runs", after=1, times=None)
    if service == "tableflow":
        sandbox.faults.clear()
        sandbox.faults.add("status", status=503, method="GET", path="/flows/runs", times=None)
    end = run_task(operator(service, flow, wait=False), task_context())
    assert (end.state, len(started(sandbox, flow))) == ("success", 1), end


def test_a_queued_start_is_asked_about_at_the_wait_s_own_interval(sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, "activepieces", waiting=3.0)
    end = run_task(operator("activepieces", flow, poll_interval=1.0), task_context())
    assert end.state == "success", end
    assert sandbox.ledger.count(method="GET", path="/flow-runs$") <= 6


def test_a_service_that_asks_for_time_gets_it_before_the_run_is_known(sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, "activepieces")
    sandbox.faults.add(
        "status", status=503, headers={"Retry-After": "2"}, method="GET", path="/flow-runs", after=1, times=1
    )
    end = run_task(operator("activepieces", flow), task_context())
    times = [one.time for one in sandbox.ledger.requests if one.method == "GET"]
    assert end.state == "success", end
    assert times[2] - times[1] >= 1.9


# -- what must show before anything is started


def test_a_list_that_may_not_be_read_shows_before_the_flow_is_started(sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, "activepieces")
    sandbox.faults.add(
        "status",
        status=403,
        body={"code": "AUTHORIZATION", "params": {"message": "no"}},
        method="GET",
        path="/flow-runs",
        times=None,
    )
    store = StateStore()
    end = run_task(operator("activepieces", flow), task_context(store))
    assert (end.error, started(sandbox, flow), store.values) == ("PermissionDeniedError", [], {})
    assert sandbox.ledger.count(method="POST") == 0
