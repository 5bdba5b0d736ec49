"""Starting runs, as far as services differ; what all of them must do is in the conformance kit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.operators.activepieces import ActivepiecesRetryFlowRunOperator
from airflow_provider_flowruns.operators.portable import PortableCancelFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.task_modes import StateStore, run_task, task_context
from tests.faults.starts import Make, add_flow, all_services, both_modes, started

# -- tries


def test_a_failed_activepieces_run_can_be_retried_from_its_failed_step(sandbox: Sandbox, operator: Make) -> None:
    flow = sandbox.activepieces.add_flow()
    flow.next_run(outcome="FAILED", waiting=0.0, running=0.2)
    flow.next_run(outcome="SUCCEEDED", waiting=0.1, running=0.3)
    store = StateStore()
    make = operator("activepieces", flow, retry_from_failure=True)
    assert run_task(make, task_context(store)).error == "FlowRunFailed"

    second = run_task(make, task_context(store, try_number=2))

    assert second.state == "success", second
    assert {second.xcom["run_id"]} == set(started(sandbox, flow))
    assert sandbox.ledger.count(method="POST", path="/webhooks/") == 1
    assert sandbox.ledger.count(method="POST", path="/retry$") == 1


# -- concurrent starts


@both_modes
@pytest.mark.parametrize("service", ["portable", "activepieces"])
def test_a_scheduled_run_of_the_same_moment_is_not_taken_for_ours(
    service: str, deferrable: bool, sandbox: Sandbox, operator: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = add_flow(sandbox, service, running=0.8)
    api = type(operator(service, flow)().hook.api)
    start = api.run_flow

    def run_flow(self: Any, *arguments: Any) -> Any:
        call = start(self, *arguments)

        def read(body: Any) -> Any:  # the start was accepted, and its run has not been polled yet
            flow.add_run(outcome="FAILED", waiting=0.0, running=0.1, trigger="SCHEDULED")
            return call.read(body)

        return replace(call, read=read)

    monkeypatch.setattr(api, "run_flow", run_flow)

    end = run_task(operator(service, flow, deferrable=deferrable), task_context())

    assert len(flow.runs) == 2
    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end


@both_modes
@pytest.mark.parametrize(
    ("if_running", "state", "error", "starts"),
    [
        ("wait", "success", None, 1),
        ("join", "success", None, 0),
        ("fail", "failed", "FlowAlreadyRunning", 0),
        ("skip", "skipped", None, 0),
    ],
)
def test_a_portable_flow_that_is_running_already(
    if_running: str,
    state: str,
    error: str | None,
    starts: int,
    deferrable: bool,
    sandbox: Sandbox,
    operator: Make,
) -> None:
    flow = add_flow(sandbox, "portable")
    other = flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=3.0, trigger="SCHEDULED")

    end = run_task(operator("portable", flow, if_running=if_running, deferrable=deferrable), task_context())

    assert (end.state, end.error, len(started(sandbox, flow))) == (state, error, starts), end
    if state == "success":
        assert end.xcom["run_id"] == (started(sandbox, flow)[0] if starts else str(other.id))
    assert sandbox.ledger.canceled == []


# -- cancelling


def test_portable_is_not_cancelled_while_another_run_of_the_flow_is_active(sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, "portable", outcome="RUNNING")
    task = operator("portable", flow, timeout=0.4)()
    with pytest.raises(Exception, match="timed out"):
        task.execute(task_context())
    flow.add_run(outcome="WAITING", trigger="SCHEDULED")
    task.on_kill()
    assert sandbox.ledger.canceled == []
    assert sandbox.ledger.count(method="POST", path="/cancel$") == 0


def test_cancel_operator_returns_the_flow_at_rest(sandbox: Sandbox) -> None:
    flow = add_flow(sandbox, "portable")
    flow.add_run(outcome="RUNNING", waiting=0.0)
    result = PortableCancelFlowOperator(task_id="c", flow_id=flow.id, poll_interval=0.1).execute(task_context())
    assert result["lifecycle"] == "NOT_RUNNING"
    assert len(sandbox.ledger.canceled) == 1


# -- retrying a run


@both_modes
@pytest.mark.parametrize("strategy", ["FROM_FAILED_STEP", "ON_LATEST_VERSION"])
def test_the_new_attempt_counts_not_the_old_result(strategy: str, deferrable: bool, sandbox: Sandbox) -> None:
    flow = add_flow(sandbox, "activepieces", waiting=0.3, running=0.3)
    failed = flow.add_run(outcome="FAILED", waiting=0.1, running=0.1, ago=10.0)

    def make() -> ActivepiecesRetryFlowRunOperator:
        return ActivepiecesRetryFlowRunOperator(
            task_id="again",
            run_id=failed.id,
            strategy=strategy,
            poll_interval=0.1,
            timeout=30.0,
            deferrable=deferrable,
        )

    end = run_task(make, task_context())

    assert (end.state, end.error) == ("success", None), end
    assert (end.xcom["run_id"] == failed.id) == (strategy == "FROM_FAILED_STEP")


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("SUCCEEDED", "SUCCEEDED"), ("RUNNING", "RUNNING"), ("WAITING", "PENDING"), ("PAUSED", "PAUSED")],
)
@pytest.mark.parametrize("strategy", ["FROM_FAILED_STEP", "ON_LATEST_VERSION"])
def test_a_run_that_has_not_failed_is_not_retried(
    strategy: str, outcome: Any, state: str, sandbox: Sandbox, operator: Make
) -> None:
    flow = add_flow(sandbox, "activepieces")
    run = flow.add_run(outcome=outcome, waiting=0.0, running=0.0, ago=10.0)
    store = StateStore()
    task = ActivepiecesRetryFlowRunOperator(task_id="again", run_id=run.id, strategy=strategy)
    end = run_task(lambda: task, task_context(store))
    assert end.error == "FlowRunNotFailed"
    assert run.id in end.message
    assert state in end.message
    assert (sandbox.ledger.count(method="POST"), store.values) == (0, {})


def test_a_retried_task_goes_on_with_the_run_that_it_has_put_to_work_itself(sandbox: Sandbox) -> None:
    flow = add_flow(sandbox, "activepieces", running=2.0)
    failed = flow.add_run(outcome="FAILED", waiting=0.1, running=0.1, ago=10.0)
    store = StateStore()

    def make(timeout: float) -> ActivepiecesRetryFlowRunOperator:
        return ActivepiecesRetryFlowRunOperator(task_id="again", run_id=failed.id, poll_interval=0.1, timeout=timeout)

    assert run_task(lambda: make(0.5), task_context(store)).error == "FlowRunTimeout"
    second = run_task(lambda: make(30.0), task_context(store, try_number=2))
    assert (second.state, second.xcom["run_id"]) == ("success", failed.id), second
    assert sandbox.ledger.count(method="POST", path="/retry$") == 1


# -- secrets


@all_services
def test_no_webhook_call_has_ever_held_the_token(service: str, sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, service)
    run_task(operator(service, flow), task_context())
    for record in sandbox.ledger.requests:
        held = json.dumps(record.headers) + record.path + record.body.decode("latin-1")
        assert ("token" in record.headers.get("authorization", "")) == ("/webhooks/" not in record.path)
        if "/webhooks/" in record.path:
            assert sandbox.activepieces.token not in held


def test_an_empty_list_of_runs_to_cancel_is_refused_before_any_request(sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    paused = flow.add_run(outcome="PAUSED", waiting=0.0, running=0.0)
    for none in ([], (), iter(())):
        with pytest.raises(InvalidArgumentError, match="run_ids must not be empty"):
            ActivepiecesHook().cancel_flow_runs(none)
    assert sandbox.ledger.count() == 0
    assert paused.canceled is False


def test_nothing_is_started_where_the_newest_attempt_cannot_be_read(sandbox: Sandbox, operator: Make) -> None:
    flow = add_flow(sandbox, "portable")
    sandbox.faults.add("json", body={"data": [{"id": {}}]}, method="GET", path="/run$", times=None)
    end = run_task(operator("portable", flow), task_context())
    assert (end.state, end.error) == ("failed", "UnexpectedResponseError")
    assert started(sandbox, flow) == []
