"""A run is started at most once, and found again by later tries. No test waits for the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_flowruns.exceptions import FlowRunUnobservable
from airflow_provider_flowruns.model.errors import AuthenticationError
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.tasks.started_run import STATE_KEY, StartedRun, StartedRunStore
from airflow_provider_flowruns.tasks.starting import RunFinder, RunStarter, explain_absence
from airflow_provider_flowruns.testing.task_modes import StateStore, task_context
from tests.faults.starts import SERVICES, START, add_flow, started
from tests.worker_time import WorkerTime

MakeTask = Callable[..., Any]
all_services = pytest.mark.parametrize("service", SERVICES)
#: The services whose response to a start does not name the run.
finding_services = pytest.mark.parametrize("service", ["portable", "activepieces"])


@dataclass
class Try:
    """One try of a task that starts a flow, without its wait."""

    task: Any
    state: StateStore = field(default_factory=StateStore)
    try_number: int = 1
    max_tries: int = 3

    def __post_init__(self) -> None:
        self.context: Any = task_context(self.state, self.try_number, max_tries=self.max_tries)
        self.store = StartedRunStore(self.context)
        self.starter = RunStarter(self.task, self.store, self.context)
        self.finder = RunFinder(self.task, self.store, interval_seconds=10.0, **self.task.wait_limits)

    def start(self) -> StartedRun:
        with self.task.hook:
            started_run: StartedRun = self.task.start_run(self.starter)
            return started_run

    def find(self) -> list[str | None] | None:
        """Return the ids of the runs that are found."""
        with self.task.hook:
            runs = self.finder.find_earlier_runs()
        return None if runs is None else [run.run_id for run in runs]

    @property
    def saved(self) -> dict[str, Any]:
        saved: dict[str, Any] = self.state.get(STATE_KEY) or {}
        return saved


class ObservedStateStore(StateStore):
    """Remembers what was saved, with the number of starts that the service had received by then."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self.sandbox = sandbox
        self.saves: list[tuple[int, dict[str, Any]]] = []

    def set(self, key: str, value: Any) -> None:
        self.saves.append((self.sandbox.ledger.count(method="POST"), dict(value)))
        super().set(key, value)


class TestRunStarter:
    @all_services
    def test_an_accepted_start_is_saved_before_and_after_it_is_sent(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        state = ObservedStateStore(timed_sandbox)
        flow = add_flow(timed_sandbox, service)

        attempt = Try(make_starter_task(service, flow), state)
        started_run = attempt.start()

        (sent_before, first), *_, (sent_after, last) = state.saves
        assert (sent_before, first["is_accepted"], first["generation"]) == (0, False, 3)
        assert (sent_after, last["is_accepted"]) == (1, True)
        assert attempt.store.current is started_run
        assert len(started(timed_sandbox, flow)) == 1

    def test_the_run_in_the_response_is_shown_at_once(
        self, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, "tableflow")
        attempt = Try(make_starter_task("tableflow", flow))

        started_run = attempt.start()

        (run_id,) = started(timed_sandbox, flow)
        assert started_run.run_id == attempt.saved["run_id"] == attempt.context["ti"].xcoms["run_id"] == run_id
        assert attempt.context["ti"].xcoms["run_url"]
        assert timed_sandbox.ledger.count(method="GET", path="/flows/runs") == 0

    @pytest.mark.parametrize("service", ["activepieces", "tableflow"])
    def test_a_start_without_waiting_sends_no_poll(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime
    ) -> None:
        Try(make_starter_task(service, add_flow(timed_sandbox, service))).start()
        assert not worker_time.elapsed

    @all_services
    def test_a_rejected_start_leaves_nothing_behind(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, service)
        timed_sandbox.faults.add("status", status=401, method="POST", path=START[service])
        attempt = Try(make_starter_task(service, flow))

        with pytest.raises(AuthenticationError):
            attempt.start()

        assert (attempt.state.values, attempt.store.current, started(timed_sandbox, flow)) == ({}, None, [])

    @all_services
    @pytest.mark.parametrize("fault", ["accept_then_reset", "accept_then_status", "reset"])
    def test_a_start_without_a_response_is_sent_once_and_stays_uncertain(
        self,
        service: str,
        fault: str,
        timed_sandbox: Sandbox,
        make_starter_task: MakeTask,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        flow = add_flow(timed_sandbox, service, visible_after=600.0)
        timed_sandbox.faults.add(fault, method="POST", path=START[service], times=None)
        attempt = Try(make_starter_task(service, flow))

        started_run = attempt.start()

        assert timed_sandbox.ledger.count(method="POST", path=START[service]) == 1
        assert (attempt.saved["is_accepted"], attempt.saved["run_id"]) == (False, None)
        assert started_run.problem
        assert f"{started_run.problem}; looking for the run" in "".join(capfd.readouterr())
        assert started_run.problem in explain_absence(attempt.task.hook.api.info, started_run)

    @all_services
    def test_every_start_has_a_marker_of_its_own(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        attempt = Try(make_starter_task(service, add_flow(timed_sandbox, service)))
        markers = [attempt.starter.new_marker("key") for _ in range(2)]
        assert markers[0].correlation != markers[1].correlation
        assert all(marker.correlation.startswith("a_dag/manual__1/wait/-1/") for marker in markers)


class TestRunFinder:
    def test_without_an_earlier_try_nothing_is_sent(self, timed_sandbox: Sandbox, make_starter_task: MakeTask) -> None:
        attempt = Try(make_starter_task("portable", add_flow(timed_sandbox, "portable")))
        assert (attempt.find(), timed_sandbox.ledger.count()) == (None, 0)

    @all_services
    @pytest.mark.parametrize("outcome", ["RUNNING", "SUCCEEDED", "FAILED"])
    def test_the_run_of_an_earlier_try_is_found_in_any_state(
        self,
        service: str,
        outcome: str,
        timed_sandbox: Sandbox,
        make_starter_task: MakeTask,
        worker_time: WorkerTime,
    ) -> None:
        flow = add_flow(timed_sandbox, service, outcome=outcome, running=5.0)
        first = Try(make_starter_task(service, flow))
        first.start()
        worker_time.sleep(60.0)

        second = Try(make_starter_task(service, flow), first.state, try_number=2)

        assert second.find() == started(timed_sandbox, flow)
        assert second.store.current

    @all_services
    def test_a_lost_start_is_looked_for_until_its_run_is_visible(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime
    ) -> None:
        flow = add_flow(timed_sandbox, service, outcome="RUNNING", visible_after=40.0)
        timed_sandbox.faults.add("accept_then_reset", method="POST", path=START[service], times=1)
        first = Try(make_starter_task(service, flow))
        first.start()

        second = Try(make_starter_task(service, flow), first.state, try_number=2)

        assert second.find() == started(timed_sandbox, flow)
        assert 30.0 < worker_time.elapsed < 60.0

    @all_services
    def test_a_start_that_was_never_carried_out_may_be_sent_again(
        self,
        service: str,
        timed_sandbox: Sandbox,
        make_starter_task: MakeTask,
        worker_time: WorkerTime,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        flow = add_flow(timed_sandbox, service)
        timed_sandbox.faults.add("reset", method="POST", path=START[service], times=1)
        first = Try(make_starter_task(service, flow))
        first.start()
        sent_at = worker_time.now

        second = Try(make_starter_task(service, flow), first.state, try_number=2)

        assert (second.find(), second.store.current) == (None, None)
        assert worker_time.now - sent_at >= second.task.hook.api.info.appear_within - 10.0
        assert f"No run of the start of flow {flow.id} sent at " in "".join(capfd.readouterr())

    @finding_services
    def test_an_accepted_start_without_a_visible_run_is_not_repeated(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask
    ) -> None:
        flow = add_flow(timed_sandbox, service, visible_after=100_000.0)
        first = Try(make_starter_task(service, flow))
        first.start()

        second = Try(make_starter_task(service, flow), first.state, try_number=2)

        assert second.find() == []
        assert second.store.current

    @finding_services
    def test_a_cleared_task_may_start_again_once_no_run_can_become_visible(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime
    ) -> None:
        flow = add_flow(timed_sandbox, service, visible_after=100_000.0)
        first = Try(make_starter_task(service, flow))
        first.start()
        started_at = worker_time.now

        cleared = Try(make_starter_task(service, flow), first.state, try_number=2, max_tries=4)

        assert cleared.find() is None
        assert worker_time.now - started_at >= cleared.task.hook.api.info.appear_within - 10.0

    @all_services
    @pytest.mark.parametrize(("max_tries", "is_found"), [(3, True), (4, False)], ids=["retried", "cleared"])
    def test_only_a_cleared_task_starts_a_new_run_after_the_result_was_delivered(
        self,
        service: str,
        max_tries: int,
        is_found: bool,
        timed_sandbox: Sandbox,
        make_starter_task: MakeTask,
        worker_time: WorkerTime,
    ) -> None:
        flow = add_flow(timed_sandbox, service)
        first = Try(make_starter_task(service, flow))
        first.start()
        first.store.save_delivered()
        worker_time.sleep(60.0)
        requests = timed_sandbox.ledger.count()

        second = Try(make_starter_task(service, flow), first.state, try_number=2, max_tries=max_tries)

        assert second.find() == (started(timed_sandbox, flow) if is_found else None)
        assert (timed_sandbox.ledger.count() > requests) is is_found

    @all_services
    def test_a_run_that_cannot_be_looked_for_is_not_replaced(
        self, service: str, timed_sandbox: Sandbox, make_starter_task: MakeTask, worker_time: WorkerTime
    ) -> None:
        flow = add_flow(timed_sandbox, service)
        first = Try(make_starter_task(service, flow))
        first.start()
        timed_sandbox.faults.add("status", status=503, method="GET", times=None)

        second = Try(make_starter_task(service, flow, error_budget=300.0), first.state, try_number=2)

        with pytest.raises(FlowRunUnobservable):
            second.find()
        assert worker_time.elapsed >= 300.0
