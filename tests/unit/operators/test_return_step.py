"""The run operator that returns what a step returned: it is read before the run counts as delivered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_flowruns.exceptions import (
    AuthenticationError,
    FlowRunFailed,
    FlowRunUnobservable,
    InvalidArgumentError,
    ResultTooLarge,
    StepNotFound,
    StepOutputMissing,
)
from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator
from airflow_provider_flowruns.sandbox import LEFT_OUT, Sandbox
from airflow_provider_flowruns.testing.task_modes import StateStore, task_context
from tests.faults.starts import add_flow, finish, started
from tests.worker_time import TaskKilled, WorkerTime

FLOW_ID = "ojdVhFCCcrZ2X1rqJL2Mu"
STEPS = {"step_1": {"type": "CODE", "status": "SUCCEEDED", "input": {"key": "made-up-secret"}, "output": {"rows": 3}}}
#: Path of the request for a single run.
GET = r"/flow-runs/\w{21}$"

MakeTask = Callable[..., Any]


@pytest.fixture
def make(make_starter_task: MakeTask) -> MakeTask:
    """Return a function that makes a task on a flow."""

    def make_task(flow: Any, return_step: str = "step_1", **arguments: Any) -> Any:
        return make_starter_task("activepieces", flow, return_step=return_step, **arguments)

    return make_task


@pytest.fixture
def flow(timed_sandbox: Sandbox) -> Any:
    return add_flow(timed_sandbox, "activepieces", running=100.0, steps=STEPS)


def before_the_read(task: Any, act: Callable[[], Any]) -> None:
    """Do something when the run has ended and the task is about to read its steps."""
    read_again = task.read_again

    def read(summary: Any) -> Any:
        act()
        return read_again(summary)

    task.read_again = read


def fail_reads_of_ended_runs(sandbox: Sandbox, task: Any, kind: str = "status", **options: Any) -> None:
    """Let requests for the run fail when it has ended and the task reads its steps."""
    before_the_read(task, lambda: sandbox.faults.add(kind, path=GET, **{"times": None, **options}))


class TestAtParse:
    @pytest.mark.parametrize("value", ["", "None", 5, ["step_1"]])
    def test_it_is_the_name_of_a_step(self, value: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="return_step must be the name of a step"):
            ActivepiecesRunFlowOperator(task_id="run", flow_id=FLOW_ID, return_step=value)

    def test_a_task_that_does_not_wait_cannot_return_it(self) -> None:
        with pytest.raises(InvalidArgumentError, match="return_step requires wait=True"):
            ActivepiecesRunFlowOperator(task_id="run", flow_id=FLOW_ID, return_step="{{ params.step }}", wait=False)

    def test_it_can_be_mapped(self) -> None:
        with DAG("dag", schedule=None) as dag:
            ActivepiecesRunFlowOperator.partial(task_id="run", flow_id=FLOW_ID).expand(return_step=["step_1"])
        task: Any = dag.get_task("run")
        assert task.unmap({"return_step": "step_1"}).return_step == "step_1"

    @pytest.mark.parametrize("rendered", ["", None, "None"])
    def test_what_renders_to_nothing_starts_nothing(
        self, rendered: Any, flow: Any, make: MakeTask, timed_sandbox: Sandbox
    ) -> None:
        task = make(flow, "{{ params.step }}")
        task.return_step = rendered
        with pytest.raises(InvalidArgumentError, match="return_step"):
            task.execute(task_context())
        assert timed_sandbox.ledger.count() == 0


class TestResult:
    def test_it_is_the_summary_and_the_output(self, flow: Any, make: MakeTask, timed_sandbox: Sandbox) -> None:
        result = make(flow).execute(task_context())
        assert (result["step_output"], [result["run_id"]]) == ({"rows": 3}, started(timed_sandbox, flow))
        assert "made-up-secret" not in json.dumps(result)

    def test_without_a_step_it_is_the_summary(self, flow: Any, make_starter_task: MakeTask) -> None:
        assert "step_output" not in make_starter_task("activepieces", flow).execute(task_context())

    def test_a_failed_run_fails_as_ever(self, make: MakeTask, timed_sandbox: Sandbox) -> None:
        flow = add_flow(timed_sandbox, "activepieces", outcome="FAILED", steps=STEPS)
        with pytest.raises(FlowRunFailed):
            make(flow).execute(task_context())

    def test_ten_megabytes_are_too_large_for_xcom(self, make: MakeTask, timed_sandbox: Sandbox) -> None:
        steps = {"step_1": {**STEPS["step_1"], "output": ["x" * 1_000] * 10_000}}
        flow = add_flow(timed_sandbox, "activepieces", steps=steps)
        with pytest.raises(ResultTooLarge, match="write it with ActivepiecesGetStepOutputOperator") as raised:
            make(flow).execute(task_context())
        assert isinstance(raised.value, AirflowFailException)


class TestTransientErrors:
    @pytest.mark.parametrize("kind", ["status", "reset", "html", "truncated", "empty"])
    def test_they_are_tolerated_while_the_output_is_read(
        self, kind: str, flow: Any, make: MakeTask, timed_sandbox: Sandbox
    ) -> None:
        task = make(flow)
        fail_reads_of_ended_runs(timed_sandbox, task, kind=kind, times=5)
        assert task.execute(task_context())["step_output"] == {"rows": 3}
        assert len(started(timed_sandbox, flow)) == 1

    def test_but_not_for_longer_than_the_error_budget(
        self, flow: Any, make: MakeTask, timed_sandbox: Sandbox, worker_time: WorkerTime
    ) -> None:
        task, store = make(flow, error_budget=600.0), StateStore()
        fail_reads_of_ended_runs(timed_sandbox, task)
        with pytest.raises(FlowRunUnobservable):
            task.execute(task_context(store))
        assert worker_time.elapsed >= 600.0
        timed_sandbox.faults.clear()
        result = make(flow).execute(task_context(store, try_number=2))
        assert ([result["run_id"]], result["step_output"]) == (started(timed_sandbox, flow), {"rows": 3})

    def test_a_rejected_token_is_no_transient_error(self, flow: Any, make: MakeTask, timed_sandbox: Sandbox) -> None:
        task, store = make(flow), StateStore()
        fail_reads_of_ended_runs(timed_sandbox, task, status=401)
        with pytest.raises(AuthenticationError):
            task.execute(task_context(store))
        timed_sandbox.faults.clear()
        assert make(flow).execute(task_context(store, try_number=2))["step_output"] == {"rows": 3}
        assert len(started(timed_sandbox, flow)) == 1


class TestPermanentErrors:
    """They are not retried: where Airflow has no store for the run, a retry would start another one."""

    def test_a_missing_step_leaves_the_run_to_a_task_with_the_right_name(
        self, flow: Any, make: MakeTask, timed_sandbox: Sandbox
    ) -> None:
        store = StateStore()
        with pytest.raises(StepNotFound, match="it has trigger, step_1") as raised:
            make(flow, "step_9").execute(task_context(store))
        assert isinstance(raised.value, AirflowFailException)
        cleared = task_context(store, try_number=2, max_tries=4)
        assert make(flow).execute(cleared)["step_output"] == {"rows": 3}
        assert len(started(timed_sandbox, flow)) == 1

    def test_a_run_without_the_output_is_not_taken_again(
        self, flow: Any, make: MakeTask, timed_sandbox: Sandbox
    ) -> None:
        flow.next_run(outcome="SUCCEEDED", steps={"step_1": {"status": "FAILED", "errorMessage": "no orders"}})
        store = StateStore()
        with pytest.raises(StepOutputMissing, match="no orders") as raised:
            make(flow).execute(task_context(store))
        assert isinstance(raised.value, AirflowFailException)
        cleared = task_context(store, try_number=2, max_tries=4)
        assert make(flow).execute(cleared)["step_output"] == {"rows": 3}
        assert len(started(timed_sandbox, flow)) == 2

    def test_a_paused_run_that_counts_as_a_success_has_no_output_yet(
        self, make: MakeTask, timed_sandbox: Sandbox
    ) -> None:
        flow = add_flow(timed_sandbox, "activepieces", outcome="PAUSED")
        with pytest.raises(StepOutputMissing, match="has not ended"):
            make(flow, on_paused="succeed").execute(task_context())

    @pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
    def test_a_run_that_does_not_show_the_tasks_value_may_be_anothers(
        self, deferrable: bool, make: MakeTask, timed_sandbox: Sandbox, worker_time: WorkerTime
    ) -> None:
        steps = {**STEPS, "trigger": {"type": "PIECE_TRIGGER", "status": "SUCCEEDED", "input": {}, "output": None}}
        flow = add_flow(timed_sandbox, "activepieces", steps=steps)
        with pytest.raises(StepOutputMissing, match="does not show that this task started it"):
            finish(make(flow, deferrable=deferrable), task_context(), timed_sandbox, worker_time)


class TestOddSteps:
    """Whatever the run shows of its steps, the wait succeeds, and the task says what is missing."""

    @pytest.mark.parametrize(
        "steps",
        [None, {}, "text", 5, [], [{"name": "step_1"}], {"step_1": None}, {"step_1": {}}, {"step_1": [1]}, LEFT_OUT],
    )
    def test_a_step_that_cannot_be_read_fails_the_task(
        self, steps: Any, flow: Any, make: MakeTask, timed_sandbox: Sandbox
    ) -> None:
        task = make(flow)
        before_the_read(task, lambda: flow.runs[-1].overrides.update(steps=steps))
        with pytest.raises(StepOutputMissing):
            task.execute(task_context())
        assert len(started(timed_sandbox, flow)) == 1

    @pytest.mark.parametrize("output", [None, False, "", [], {}, 1e300, "\N{REPLACEMENT CHARACTER}", [[[[]]]] * 5])
    def test_any_output_is_returned(self, output: Any, make: MakeTask, timed_sandbox: Sandbox) -> None:
        steps = {"step_1": {"status": "SUCCEEDED", "output": output}}
        flow = add_flow(timed_sandbox, "activepieces", steps=steps)
        assert make(flow).execute(task_context())["step_output"] == output


class TestKills:
    @pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
    def test_a_task_killed_while_it_reads_finds_the_same_run(
        self, deferrable: bool, flow: Any, make: MakeTask, timed_sandbox: Sandbox, worker_time: WorkerTime
    ) -> None:
        task, store = make(flow, deferrable=deferrable), StateStore()
        fail_reads_of_ended_runs(timed_sandbox, task)
        before_the_read(task, lambda: worker_time.kill_after(60.0))
        with pytest.raises(TaskKilled):
            finish(task, task_context(store), timed_sandbox, worker_time)
        task.on_kill()
        timed_sandbox.faults.clear()
        result = make(flow).execute(task_context(store, try_number=2))
        assert ([result["run_id"]], result["step_output"]) == (started(timed_sandbox, flow), {"rows": 3})
        assert timed_sandbox.ledger.canceled == []
