"""Starting runs under faults: exactly one run an intended run, and the task ends with that run's outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from airflow_provider_flowruns.sandbox import Fault, Sandbox, SandboxFlow
from airflow_provider_flowruns.testing.adapter import ServiceAdapter
from airflow_provider_flowruns.testing.base import ConformanceBase, for_each
from airflow_provider_flowruns.testing.task_modes import End, StateStore, run_task, task_context

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])


def _if_it_starts(adapter: ServiceAdapter) -> Iterable[Any]:
    return [pytest.param(adapter.info.name, id=adapter.info.name)] if adapter.operator else []


def _if_it_cancels(adapter: ServiceAdapter) -> Iterable[Any]:
    return _if_it_starts(adapter) if adapter.info.can_cancel else []


class StartingBase(ConformanceBase):
    """Starts runs of the adapter's service, within a second and a half or not at all."""

    short_info: ClassVar[dict[str, float]] = {"appear_within": 1.5, "not_found_grace": 0.5}

    def add_flow(self, sandbox: Sandbox, **run: Any) -> Any:
        """Return a new flow whose runs soon succeed, unless ``run`` says otherwise.

        :param sandbox: the running sandbox.
        """
        flow: Any = sandbox.get_service(self.adapter.info.name)
        flow = flow.add_flow()
        flow.next_run(**{"outcome": "SUCCEEDED", "waiting": 0.1, "running": 0.3, **run}, always=True)
        return flow

    def make_operator(self, flow: Any, **arguments: Any) -> Callable[[], Any]:
        """Return what makes fresh operators on a flow, as every new process of a task does.

        :param flow: the flow.
        """
        operator: Any = self.adapter.operator
        return lambda: operator(flow, **{"task_id": "start", "poll_interval": 0.1, "timeout": 30.0, **arguments})

    def start_fault(self, sandbox: Sandbox, kind: str, **options: Any) -> Fault:
        """Let the next start meet a fault, and return it.

        :param sandbox: the running sandbox.
        :param kind: kind of the fault.
        """
        return sandbox.faults.add(kind, method="POST", path=self.adapter.start_path, times=1, **options)


def list_started(sandbox: Sandbox, flow: SandboxFlow[Any]) -> list[str]:
    """Return the ids of the runs of a flow that the service has actually started through its API.

    :param sandbox: the running sandbox.
    :param flow: the flow.
    """
    return [str(event.run_id) for event in sandbox.ledger.started if str(event.flow_id) == str(flow.id)]


class StartTests(StartingBase):
    """One run for each try, whatever happens to the request, its response, or the process."""

    @both_modes
    @pytest.mark.parametrize(("outcome", "error"), [("SUCCEEDED", None), ("FAILED", "FlowRunFailed")])
    @for_each("service", _if_it_starts)
    def test_a_run_is_started_and_its_outcome_is_the_task_s(
        self, service: str, outcome: str, error: str | None, deferrable: bool, sandbox: Sandbox
    ) -> None:
        """Not that of a run before."""
        flow = self.add_flow(sandbox, outcome=outcome)
        flow.add_run(outcome="SUCCEEDED", ago=100.0)
        context = task_context()
        end = run_task(self.make_operator(flow, deferrable=deferrable), context)
        (run_id,) = list_started(sandbox, flow)
        assert (end.state, end.error) == (("success", None) if error is None else ("failed", error)), end
        assert context["ti"].xcoms["run_id"] == run_id
        if error is None:
            assert (end.xcom["run_id"], end.xcom["disposition"]) == (run_id, "SUCCEEDED")
        assert sandbox.ledger.canceled == []

    @for_each("service", _if_it_starts)
    def test_without_waiting_the_result_is_the_run_as_first_seen(self, service: str, sandbox: Sandbox) -> None:
        """It may have just begun."""
        flow = self.add_flow(sandbox, waiting=0.0, running=60.0)
        end = run_task(self.make_operator(flow, wait=False), task_context())
        assert end.xcom["run_id"] == list_started(sandbox, flow)[0]
        assert end.xcom["disposition"] == "NONE"

    @both_modes
    @pytest.mark.parametrize("fault", ["accept_then_reset", "accept_then_status"])
    @for_each("service", _if_it_starts)
    def test_a_start_whose_response_was_lost_is_found_not_repeated(
        self, service: str, fault: str, deferrable: bool, sandbox: Sandbox
    ) -> None:
        """The run exists, although the response did not arrive."""
        flow = self.add_flow(sandbox)
        met = self.start_fault(sandbox, fault)
        end = run_task(self.make_operator(flow, deferrable=deferrable), task_context())
        assert met.hits == 1, "start_path matches no request that starts a run"
        (run_id,) = list_started(sandbox, flow)
        assert (end.state, end.xcom["run_id"]) == ("success", run_id), end

    @pytest.mark.parametrize("fault", [{"kind": "reset"}, {"kind": "status", "status": 502}])
    @for_each("service", _if_it_starts)
    def test_a_start_that_was_lost_on_the_way_is_repeated_by_the_next_try_only(
        self, service: str, fault: dict[str, Any], sandbox: Sandbox
    ) -> None:
        """The task cannot know whether it arrived."""
        flow = self.add_flow(sandbox)
        self.start_fault(sandbox, **fault)
        store = StateStore()
        first = run_task(self.make_operator(flow), task_context(store))
        assert (first.state, first.error) == ("failed", "FlowRunUnobservable")
        assert list_started(sandbox, flow) == []
        second = run_task(self.make_operator(flow), task_context(store, try_number=2))
        assert (second.state, list_started(sandbox, flow)) == ("success", [second.xcom["run_id"]])

    @for_each("service", _if_it_starts)
    def test_a_run_that_appears_late_is_found_by_the_next_try(self, service: str, sandbox: Sandbox) -> None:
        """The first try gives up before the service shows it."""
        flow = self.add_flow(sandbox, visible_after=5.0, running=8.0)
        self.start_fault(sandbox, "accept_then_reset")
        store = StateStore()
        first = run_task(self.make_operator(flow), task_context(store))
        assert first.error == "FlowRunUnobservable"
        time.sleep(4.0)  # by then it is visible
        second = run_task(self.make_operator(flow), task_context(store, try_number=2))
        assert (second.state, list_started(sandbox, flow)) == ("success", [second.xcom["run_id"]])

    @pytest.mark.parametrize("status", [401, 429])
    @for_each("service", _if_it_starts)
    def test_a_refused_start_is_no_start(self, service: str, status: int, sandbox: Sandbox) -> None:
        """One that was provably not accepted is sent again, or forgotten."""
        flow = self.add_flow(sandbox)
        met = self.start_fault(sandbox, "status", status=status)
        store = StateStore()
        end = run_task(self.make_operator(flow), task_context(store))
        assert met.hits == 1, "start_path matches no request that starts a run"
        if status == 429:
            assert (end.state, len(list_started(sandbox, flow))) == ("success", 1)
        else:
            assert (end.error, list_started(sandbox, flow)) == ("AuthenticationError", [])
            assert store.values == {}

    @both_modes
    @for_each("service", _if_it_starts)
    def test_a_retry_waits_for_its_own_live_run(self, service: str, deferrable: bool, sandbox: Sandbox) -> None:
        """It starts no other."""
        flow = self.add_flow(sandbox, running=1.5)
        store = StateStore()
        first = run_task(self.make_operator(flow, timeout=0.5, deferrable=deferrable), task_context(store))
        assert first.error == "FlowRunTimeout"
        second = run_task(self.make_operator(flow, deferrable=deferrable), task_context(store, try_number=2))
        assert (second.state, list_started(sandbox, flow)) == ("success", [second.xcom["run_id"]])

    @for_each("service", _if_it_starts)
    def test_a_retry_takes_the_result_of_its_own_run(self, service: str, sandbox: Sandbox) -> None:
        """The run has succeeded between the tries."""
        flow = self.add_flow(sandbox, running=0.6)
        store = StateStore()
        assert run_task(self.make_operator(flow, timeout=0.3), task_context(store)).error == "FlowRunTimeout"
        time.sleep(0.7)  # by then it has ended
        second = run_task(self.make_operator(flow), task_context(store, try_number=2))
        assert (second.state, list_started(sandbox, flow)) == ("success", [second.xcom["run_id"]])

    @for_each("service", _if_it_starts)
    def test_a_retry_after_a_failed_run_starts_a_new_one(self, service: str, sandbox: Sandbox) -> None:
        """Each try has a run of its own then."""
        flow: Any = sandbox.get_service(service)
        flow = flow.add_flow()
        flow.next_run(outcome="FAILED", waiting=0.0, running=0.2)
        flow.next_run(outcome="SUCCEEDED", waiting=0.0, running=0.2)
        store = StateStore()
        assert run_task(self.make_operator(flow), task_context(store)).error == "FlowRunFailed"
        second = run_task(self.make_operator(flow), task_context(store, try_number=2))
        runs = list_started(sandbox, flow)
        assert (second.state, len(runs), second.xcom["run_id"]) == ("success", 2, runs[1])

    @for_each("service", _if_it_starts)
    def test_a_task_that_died_between_its_result_and_success_starts_no_second_run(
        self, service: str, sandbox: Sandbox
    ) -> None:
        """Airflow tries it again, and it returns the same run."""
        flow = self.add_flow(sandbox)
        store = StateStore()
        ends = [run_task(self.make_operator(flow), task_context(store, try_number=n)) for n in (1, 2)]
        assert [end.xcom["run_id"] for end in ends] == list_started(sandbox, flow) * 2

    @for_each("service", _if_it_starts)
    def test_a_task_cleared_after_success_starts_a_new_run(self, service: str, sandbox: Sandbox) -> None:
        """A clear allows further tries."""
        flow = self.add_flow(sandbox)
        store = StateStore()
        tries = ({"try_number": 1, "max_tries": 3}, {"try_number": 2, "max_tries": 4})
        ends = [run_task(self.make_operator(flow), task_context(store, **numbers)) for numbers in tries]
        assert [end.xcom["run_id"] for end in ends] == list_started(sandbox, flow)
        assert len(list_started(sandbox, flow)) == 2

    @for_each("service", _if_it_starts)
    def test_two_tasks_that_start_one_flow_at_once_get_a_run_each(self, service: str, sandbox: Sandbox) -> None:
        """Neither takes the other's run for its own."""
        flow = self.add_flow(sandbox)
        make = self.make_operator(flow)
        with ThreadPoolExecutor(2) as threads:
            ends: list[End] = list(threads.map(lambda n: run_task(make, task_context(map_index=n)), range(2)))
        assert [end.state for end in ends] == ["success", "success"], ends
        assert sorted(end.xcom["run_id"] for end in ends) == sorted(list_started(sandbox, flow))
        assert len(list_started(sandbox, flow)) == 2


class CancelTests(StartingBase):
    """Cancelling: a task cancels its own run only, and only if it is asked to."""

    @property
    def _cancelable(self) -> dict[str, Any]:
        # In that state from the beginning: how soon a task polls depends on the machine.
        return {"outcome": self.adapter.cancelable, "waiting": 0.0, "running": 0.0}

    @for_each("service", _if_it_cancels)
    def test_a_deadline_cancels_only_if_asked_to(self, service: str, sandbox: Sandbox) -> None:
        """The run goes on otherwise."""
        for cancel, count in ((False, 0), (True, 1)):
            flow = self.add_flow(sandbox, **self._cancelable)
            make = self.make_operator(flow, timeout=0.5, cancel_on_timeout=cancel)
            assert run_task(make, task_context()).error == "FlowRunTimeout"
            assert len(sandbox.ledger.canceled) == count

    @for_each("service", _if_it_cancels)
    def test_a_killed_task_cancels_its_own_run(self, service: str, sandbox: Sandbox) -> None:
        """And no run of another flow."""
        flow = self.add_flow(sandbox, **self._cancelable)
        other = self.add_flow(sandbox).add_run(outcome=self.adapter.cancelable)
        task = self.make_operator(flow, timeout=0.4)()
        with pytest.raises(Exception, match="timed out"):
            task.execute(task_context())
        task.on_kill()
        assert [event.run_id for event in sandbox.ledger.canceled] == [flow.runs[-1].id]
        assert other.canceled is False
