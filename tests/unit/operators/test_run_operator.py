"""The operator that starts a run and waits for it: one run per try, whose outcome is the task's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred

from airflow_provider_flowruns.exceptions import (
    FlowAlreadyRunning,
    FlowRunCanceled,
    FlowRunFailed,
    FlowRunTimeout,
    FlowRunUnobservable,
)
from airflow_provider_flowruns.operators.run import RunOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.task_modes import StateStore, task_context
from tests.faults.starts import OPERATORS, SERVICES, START, add_flow, finish, started
from tests.worker_time import TaskKilled, WorkerTime

MakeTask = Callable[..., Any]
all_services = pytest.mark.parametrize("service", SERVICES)


#: Outcome of a run that does not end and can be cancelled.
CANCELLABLE = {"portable": "RUNNING", "activepieces": "PAUSED"}


@pytest.fixture
def task_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return what tasks log, at every level."""
    monkeypatch.setattr(RunOperator, "log", logging.getLogger("flowruns-task"), raising=False)
    caplog.set_level(logging.INFO, "flowruns-task")
    return caplog


def count_cancels(sandbox: Sandbox) -> int:
    return sandbox.ledger.count(method="POST", path="/cancel$")


def execute_and_kill(task: Any, worker_time: WorkerTime, after: float, store: StateStore | None = None) -> None:
    """Execute a task and kill it during its sleep at this time."""
    worker_time.kill_after(after)
    with pytest.raises(TaskKilled):
        task.execute(task_context(store))
    task.on_kill()


def defer(task: Any, store: StateStore | None = None) -> Any:
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(task_context(store))
    return deferred.value


class TestOneTry:
    @all_services
    def test_the_result_is_the_summary_of_the_started_run(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, service, running=100.0)
        context = task_context()
        summary = make_starter_task(service, flow).execute(context)
        assert ([summary["run_id"]], summary["disposition"]) == (started(timed_sandbox, flow), "SUCCEEDED")
        assert context["ti"].xcoms["run_id"] == summary["run_id"]

    @all_services
    def test_a_failed_run_fails_the_task(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, service, outcome="FAILED", running=100.0)
        with pytest.raises(FlowRunFailed):
            make_starter_task(service, flow).execute(task_context())
        assert len(started(timed_sandbox, flow)) == 1

    @pytest.mark.parametrize(("on_canceled", "error"), [("fail", FlowRunCanceled), ("skip", AirflowSkipException)])
    def test_a_cancelled_run_fails_or_skips_the_task(
        self, on_canceled: str, error: type[Exception], timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, "portable", outcome="CANCELED", running=100.0)
        with pytest.raises(error):
            make_starter_task("portable", flow, on_canceled=on_canceled).execute(task_context())

    @all_services
    def test_a_lost_response_leads_to_the_run(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, service, visible_after=20.0, running=100.0)
        timed_sandbox.faults.add("accept_then_reset", method="POST", path=START[service], times=1)
        summary = make_starter_task(service, flow).execute(task_context())
        assert [summary["run_id"]] == started(timed_sandbox, flow)

    @pytest.mark.parametrize("service", CANCELLABLE)
    @pytest.mark.parametrize("has_store", [True, False])
    def test_a_resumed_task_takes_the_outcome_from_the_event_and_still_knows_its_run(
        self, service: str, has_store: bool, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, service, outcome=CANCELLABLE[service])
        context = task_context()
        if not has_store:
            del context["task_state_store"]
        with pytest.raises(TaskDeferred) as raised:
            make_starter_task(service, flow, deferrable=True).execute(context)
        deferred: Any = raised.value
        assert (deferred.method_name, deferred.trigger.cancel_on_kill) == ("execute_complete", True)
        event = {"schema": 1, "outcome": "unobservable", "reason": "no usable response", "run": None}
        resumed = make_starter_task(service, flow, deferrable=True)
        with pytest.raises(FlowRunUnobservable, match="no usable response"):
            resumed.execute_complete(context, event, **deferred.kwargs)
        resumed.on_kill()
        assert [str(one.run_id) for one in timed_sandbox.ledger.canceled] == started(timed_sandbox, flow)

    @pytest.mark.parametrize(
        "event", [None, {}, {"schema": 1, "outcome": "done"}, {"schema": 0, "outcome": "succeeded"}]
    )
    def test_an_event_that_is_no_result_fails(
        self, event: Any, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        task = make_starter_task("portable", add_flow(timed_sandbox, "portable"))
        with pytest.raises(ValueError, match=r"the saved WaitResult (has schema|cannot be read)"):
            task.execute_complete(task_context(), event)


class TestLaterTries:
    @all_services
    @pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
    def test_a_retry_waits_for_the_live_run(
        self, service: str, deferrable: bool, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, service, running=500.0)
        store = StateStore()
        with pytest.raises(FlowRunTimeout):
            make_starter_task(service, flow, timeout=100.0).execute(task_context(store))
        task = make_starter_task(service, flow, deferrable=deferrable)
        if deferrable:
            assert (defer(task, store).kwargs or {})["started_run"]["flow_id"] == str(flow.id)
        else:
            summary = task.execute(task_context(store, try_number=2))
            assert summary["disposition"] == "SUCCEEDED"
        assert len(started(timed_sandbox, flow)) == 1

    @all_services
    def test_a_retry_takes_the_result_of_a_run_that_succeeded_meanwhile(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime
    ) -> None:
        flow = add_flow(timed_sandbox, service, running=500.0)
        store = StateStore()
        with pytest.raises(FlowRunTimeout):
            make_starter_task(service, flow, timeout=100.0).execute(task_context(store))
        worker_time.sleep(1_000.0)
        summary = make_starter_task(service, flow).execute(task_context(store, try_number=2))
        assert [summary["run_id"]] == started(timed_sandbox, flow)

    @all_services
    def test_a_retry_starts_a_new_run_after_a_failed_one(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, service)
        flow.next_run(outcome="FAILED", running=100.0)
        store = StateStore()
        with pytest.raises(FlowRunFailed):
            make_starter_task(service, flow).execute(task_context(store))
        summary = make_starter_task(service, flow).execute(task_context(store, try_number=2))
        assert len(started(timed_sandbox, flow)) == 2
        assert summary["run_id"] == started(timed_sandbox, flow)[-1]

    def test_a_failed_run_is_recovered_if_the_operator_can(
        self, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, "activepieces")
        flow.next_run(outcome="FAILED", running=100.0)
        store = StateStore()
        with pytest.raises(FlowRunFailed):
            make_starter_task("activepieces", flow).execute(task_context(store))
        task = make_starter_task("activepieces", flow, retry_from_failure=True)
        summary = task.execute(task_context(store, try_number=2))
        assert (timed_sandbox.ledger.count(path="/retry$"), timed_sandbox.ledger.count(path="/webhooks/")) == (1, 1)
        assert summary["run_id"] == started(timed_sandbox, flow)[0]

    @all_services
    @pytest.mark.parametrize(("max_tries", "runs"), [(3, 1), (4, 2)], ids=["retried", "cleared"])
    def test_only_a_cleared_task_runs_again_after_its_success(
        self, service: str, max_tries: int, runs: int, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, service, running=100.0)
        store = StateStore()
        make_starter_task(service, flow).execute(task_context(store))
        make_starter_task(service, flow).execute(task_context(store, try_number=2, max_tries=max_tries))
        assert len(started(timed_sandbox, flow)) == runs

    @all_services
    def test_a_task_cleared_during_its_run_adopts_that(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime
    ) -> None:
        flow = add_flow(timed_sandbox, service, running=500.0)
        store = StateStore()
        worker_time.kill_after(100.0)
        with pytest.raises(TaskKilled):
            make_starter_task(service, flow).execute(task_context(store))
        make_starter_task(service, flow).execute(task_context(store, try_number=2, max_tries=4))
        assert len(started(timed_sandbox, flow)) == 1


class TestAddedResults:
    """What an operator adds to the summary is read before the run counts as delivered."""

    @all_services
    def test_they_are_in_the_result(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(OPERATORS[service], "add_results", lambda _, summary, context: {**summary, "added": 1})
        result = make_starter_task(service, add_flow(timed_sandbox, service)).execute(task_context())
        assert (result["disposition"], result["added"]) == ("SUCCEEDED", 1)

    @all_services
    @pytest.mark.parametrize("is_deferred", [False, True], ids=["worker", "deferred"])
    def test_a_task_retried_or_cleared_after_an_error_there_finds_the_same_run(
        self,
        service: str,
        is_deferred: bool,
        timed_sandbox: Sandbox,
        make_starter_task: MakeTask,
        worker_time: WorkerTime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        flow = add_flow(timed_sandbox, service, running=500.0)
        store = StateStore()
        attempts = iter([OSError("no space left"), TaskKilled(), None])

        def add(task: Any, summary: Any, context: Any) -> Any:
            if error := next(attempts):
                raise error
            return {**summary, "added": 1}

        monkeypatch.setattr(OPERATORS[service], "add_results", add)
        task = make_starter_task(service, flow, deferrable=is_deferred)
        with pytest.raises(OSError, match="no space left"):
            finish(task, task_context(store), timed_sandbox, worker_time)
        with pytest.raises(TaskKilled):
            make_starter_task(service, flow).execute(task_context(store, try_number=2))
        cleared = task_context(store, try_number=3, max_tries=6)
        result = make_starter_task(service, flow).execute(cleared)
        assert ([result["run_id"]], result["added"]) == (started(timed_sandbox, flow), 1)

    def test_nothing_is_added_to_a_run_that_failed_or_that_nobody_waits_for(
        self, timed_sandbox: Sandbox, make_starter_task: MakeTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(OPERATORS["tableflow"], "add_results", lambda *_: pytest.fail("it was called"))
        failing = add_flow(timed_sandbox, "tableflow", outcome="FAILED")
        with pytest.raises(FlowRunFailed):
            make_starter_task("tableflow", failing).execute(task_context())
        unwatched = add_flow(timed_sandbox, "tableflow")
        assert make_starter_task("tableflow", unwatched, wait=False).execute(task_context())["run_id"]


class TestKills:
    def test_before_the_start_nothing_is_sent(self, timed_sandbox: Sandbox, make_starter_task: MakeTask) -> None:
        make_starter_task("portable", add_flow(timed_sandbox, "portable")).on_kill()
        assert timed_sandbox.ledger.count() == 0

    @pytest.mark.parametrize("service", ["portable", "activepieces"])
    def test_before_the_id_is_known_the_log_says_that_the_run_may_proceed(
        self,
        service: str,
        timed_sandbox: Sandbox,
        make_starter_task: MakeTask,
        worker_time: WorkerTime,
        task_log: pytest.LogCaptureFixture,
    ) -> None:
        flow = add_flow(timed_sandbox, service, outcome="WAITING", visible_after=100_000.0)
        execute_and_kill(make_starter_task(service, flow), worker_time, 30.0)
        assert (len(started(timed_sandbox, flow)), count_cancels(timed_sandbox)) == (1, 0)
        assert "has no id yet" in task_log.text

    @pytest.mark.parametrize("service", ["portable", "activepieces"])
    def test_the_run_is_cancelled_once_it_is_known(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime
    ) -> None:
        flow = add_flow(timed_sandbox, service, outcome=CANCELLABLE[service])
        execute_and_kill(make_starter_task(service, flow), worker_time, 100.0)
        assert [str(event.run_id) for event in timed_sandbox.ledger.canceled] == started(timed_sandbox, flow)

    def test_a_service_that_cannot_cancel_says_so(
        self,
        timed_sandbox: Sandbox,
        make_starter_task: MakeTask,
        worker_time: WorkerTime,
        task_log: pytest.LogCaptureFixture,
    ) -> None:
        flow = add_flow(timed_sandbox, "tableflow", outcome="RUNNING")
        execute_and_kill(make_starter_task("tableflow", flow), worker_time, 100.0)
        assert "TableFlow cannot cancel a run" in task_log.text

    def test_the_run_is_kept_if_asked_to(
        self,
        timed_sandbox: Sandbox,
        make_starter_task: MakeTask,
        worker_time: WorkerTime,
        task_log: pytest.LogCaptureFixture,
    ) -> None:
        flow = add_flow(timed_sandbox, "portable", outcome="RUNNING")
        task = make_starter_task("portable", flow, cancel_on_kill=False)
        execute_and_kill(task, worker_time, 100.0)
        assert count_cancels(timed_sandbox) == 0
        assert f"run {started(timed_sandbox, flow)[0]} keeps running (cancel_on_kill=False)" in task_log.text

    def test_an_error_while_cancelling_is_logged(
        self,
        timed_sandbox: Sandbox,
        make_starter_task: MakeTask,
        worker_time: WorkerTime,
        task_log: pytest.LogCaptureFixture,
    ) -> None:
        flow = add_flow(timed_sandbox, "portable", outcome="RUNNING")
        timed_sandbox.faults.add("status", status=500, method="POST", path="/cancel$")
        execute_and_kill(make_starter_task("portable", flow), worker_time, 100.0)
        assert f"Could not cancel run {started(timed_sandbox, flow)[0]}, which may keep running: " in task_log.text


class TestTimeouts:
    @pytest.mark.parametrize("service", ["portable", "activepieces"])
    @pytest.mark.parametrize("cancel_on_timeout", [False, True])
    def test_the_run_is_cancelled_only_if_asked_to(
        self, service: str, cancel_on_timeout: bool, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, service, outcome=CANCELLABLE[service])
        task = make_starter_task(service, flow, timeout=100.0, cancel_on_timeout=cancel_on_timeout)
        with pytest.raises(FlowRunTimeout):
            task.execute(task_context())
        assert len(timed_sandbox.ledger.canceled) == cancel_on_timeout

    def test_a_run_that_cannot_be_observed_is_not_cancelled(
        self, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, "activepieces", outcome="WAITING", visible_after=100_000.0)
        task = make_starter_task("activepieces", flow, cancel_on_timeout=True)
        with pytest.raises(FlowRunUnobservable):
            task.execute(task_context())
        assert count_cancels(timed_sandbox) == 0


class TestIfRunning:
    def test_a_joined_run_is_never_cancelled(
        self, timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime
    ) -> None:
        flow = add_flow(timed_sandbox, "portable")
        flow.add_run(outcome="RUNNING", waiting=0.0)
        arguments = {"if_running": "join", "cancel_on_timeout": True, "timeout": 100.0}
        with pytest.raises(FlowRunTimeout):
            make_starter_task("portable", flow, **arguments).execute(task_context())
        execute_and_kill(make_starter_task("portable", flow, **arguments), worker_time, 50.0)
        deferred = defer(make_starter_task("portable", flow, deferrable=True, **arguments))
        assert deferred.trigger.cancel_on_kill is False
        assert (count_cancels(timed_sandbox), started(timed_sandbox, flow)) == (0, [])

    def test_a_joined_run_gives_the_result(self, timed_sandbox: Sandbox, make_starter_task: MakeTask) -> None:
        flow = add_flow(timed_sandbox, "portable")
        other = flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=100.0)
        summary = make_starter_task("portable", flow, if_running="join").execute(task_context())
        assert (summary["run_id"], started(timed_sandbox, flow)) == (str(other.id), [])

    @pytest.mark.parametrize(("if_running", "error"), [("fail", FlowAlreadyRunning), ("skip", AirflowSkipException)])
    def test_a_flow_that_is_already_running_fails_or_skips_the_task(
        self, if_running: str, error: type[Exception], timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, "portable")
        other = flow.add_run(outcome="RUNNING", waiting=0.0)
        with pytest.raises(error, match=rf"flow {flow.id} is already running \(run {other.id}\)"):
            make_starter_task("portable", flow, if_running=if_running).execute(task_context())
        assert started(timed_sandbox, flow) == []

    def test_the_flow_is_started_after_the_other_run(
        self, timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime
    ) -> None:
        flow = add_flow(timed_sandbox, "portable", running=50.0)
        flow.add_run(outcome="FAILED", waiting=0.0, running=200.0)
        summary = make_starter_task("portable", flow).execute(task_context())
        assert [summary["run_id"]] == started(timed_sandbox, flow)
        assert worker_time.elapsed >= 250.0

    def test_the_other_run_uses_up_the_timeout(self, timed_sandbox: Sandbox, make_starter_task: MakeTask) -> None:
        flow = add_flow(timed_sandbox, "portable")
        flow.add_run(outcome="RUNNING", waiting=0.0)
        with pytest.raises(FlowRunTimeout):
            make_starter_task("portable", flow, timeout=100.0).execute(task_context())
        assert started(timed_sandbox, flow) == []

    def test_a_task_that_deferred_to_the_other_run_keeps_its_deadline(
        self, timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime
    ) -> None:
        flow = add_flow(timed_sandbox, "portable", outcome="RUNNING")
        other = flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=80.0)
        deferred = defer(make_starter_task("portable", flow, deferrable=True, timeout=100.0))
        assert deferred.method_name == "resume_after_other_run"
        worker_time.sleep(80.0)
        event = {"schema": 1, "outcome": "succeeded", "reason": f"run {other.id} succeeded", "run": None}
        with pytest.raises(FlowRunTimeout, match=r"timed out"):
            make_starter_task("portable", flow, timeout=100.0).resume_after_other_run(
                task_context(), event, **(deferred.kwargs or {})
            )
        assert 100.0 <= worker_time.elapsed < 130.0

    def test_an_unobservable_other_run_starts_nothing(
        self, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, "portable")
        event = {"schema": 1, "outcome": "unobservable", "reason": "no usable response", "run": None}
        with pytest.raises(FlowRunUnobservable, match="no usable response"):
            make_starter_task("portable", flow).resume_after_other_run(task_context(), event)
        assert started(timed_sandbox, flow) == []
