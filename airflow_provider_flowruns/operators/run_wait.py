"""Start a run, wait for it and cancel it, for the operators that do; imported when a task runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.client.retry import ONCE
from airflow_provider_flowruns.client.settings import limit_timeout
from airflow_provider_flowruns.client.sync import SyncClient
from airflow_provider_flowruns.exceptions import FlowRunTimeout, FlowRunUnobservable
from airflow_provider_flowruns.metrics import Metric
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Lifecycle, RunSummary
from airflow_provider_flowruns.model.targets import RunTarget, StartMarker
from airflow_provider_flowruns.polling.messages import describe
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.services.base import cancel_run
from airflow_provider_flowruns.tasks.outcomes import result_or_raise
from airflow_provider_flowruns.tasks.polling import WorkerWait, poll_until_end
from airflow_provider_flowruns.tasks.started_run import StartedRun, StartedRunStore
from airflow_provider_flowruns.tasks.starting import RunFinder, RunStarter
from airflow_provider_flowruns.tasks.waiting import Waiting

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.operators.run import RunOperator

#: Seconds within which the service has to respond while a task is being killed.
KILL_TIMEOUT_SECONDS = 3.0


class RunWait(Waiting):
    """Starts the run of an operator, or finds it, and waits for it.

    :param task: the operator.
    """

    task: RunOperator[Any]
    _store: StartedRunStore | None = None

    def start_and_wait(self, context: Context) -> Any:
        """Start the run, or find the one that an earlier try started, and wait for it.

        :param context: Airflow's context of the task.
        """
        task = self.task
        store = self._store = StartedRunStore(context)
        starter = RunStarter(task, store, context)
        finder = RunFinder(task, store, interval_seconds=task.poll_interval, **task.wait_limits)
        with task.hook:
            started = self._find_or_recover(finder, starter) or task.start_run(starter)
            waiter = finder.new_waiter(started)
            wait = WorkerWait(task, waiter, store, context)
            if not task.wait:
                return self._return_visible_run(wait.wait_until_visible(started), context)
            self.log_beginning(waiter, f"deferrable={task.deferrable}")
            result = wait.wait_for_end(is_deferrable=task.deferrable)
            if result is None:
                cancel_on_kill = task.cancel_on_kill and not started.is_joined
                self.hand_over(waiter, cancel_on_kill=cancel_on_kill, started_run=started.to_record())
            return self._deliver_result(result, context)

    def complete(self, context: Context, event: Any, started_run: dict[str, Any] | None) -> Mapping[str, Any]:
        """Return the task's result if the trigger reports success; anything else raises.

        :param context: Airflow's context of the task.
        :param event: the trigger's event.
        :param started_run: the run as it was known before, for an Airflow without a store for it.
        """
        result = WaitResult.from_dict(event)
        store = self._store = StartedRunStore(context)
        with self.task.hook:
            store.current = store.load() or StartedRun.from_record(started_run) or _build_started_run(result)
            if result.run:
                store.record_run_id(result.run["run_id"])
            return self._deliver_result(result, context)

    def kill(self) -> None:
        """Cancel the run if the task wants that and the service can, else log that it keeps running."""
        started = self._store.current if self._store else None
        if started is None:
            return
        if not self.task.cancel_on_kill:
            self.task.log.warning("The task was killed; %s keeps running (cancel_on_kill=False)", started.label)
            return
        self._cancel(started)

    def read_again(self, summary: RunSummary) -> FlowRun:
        """Return the task's run with all that the service shows of a single run.

        :param summary: the run's summary.
        :raises FlowRunUnobservable: there was no usable response within ``error_budget``.
        """
        task = self.task
        now = task.clock.now()
        deadline_at, limited_by = task.get_deadline(now, now)
        target = RunTarget(task.hook.api.info.name, str(summary["run_id"]), summary["flow_id"])
        config = self.build_config(
            target, deadline_at=deadline_at, limited_by=limited_by, interval_seconds=task.poll_interval
        )
        result, runs = poll_until_end(task, RunWaiter(config, now))
        result_or_raise(result, timeout_error=FlowRunTimeout)
        return runs[0]

    def is_certainly_own(self, run: FlowRun, shows_start: Callable[[FlowRun, StartMarker], bool]) -> bool:
        """Return whether a run is known to be the task's by more than its time.

        :param run: the run with the data as it was sent.
        :param shows_start: whether a run of the service shows what travelled with a start.
        """
        started = self._store.current if self._store else None
        if started is None or started.run_id == run.run_id:
            return started is not None
        return started.marker is not None and shows_start(run, started.marker)

    def save_delivered(self) -> None:
        """Save that the run's result is the task's, so that a cleared task starts a new run."""
        if self._store:
            self._store.save_delivered()

    def _find_or_recover(self, finder: RunFinder, starter: RunStarter) -> StartedRun | None:
        """Return the run that an earlier try started, or one in its place; None to start one."""
        runs = finder.find_earlier_runs()
        if runs is None:
            return None
        states = "; ".join(map(describe, runs))
        if runs and _have_failed(runs):
            self.task.log.info("%s; an earlier try started it", states)
            return self.task.recover_run(runs[0], starter) if len(runs) == 1 else None
        started = starter.store.current
        self.task.log.info("Waiting for the run that an earlier try started: %s", states or started)
        if self.task.metrics:
            self.task.metrics.increment(Metric.DUPLICATES_PREVENTED)
        return started

    def _return_visible_run(self, seen: FlowRun | WaitResult, context: Context) -> Mapping[str, Any]:
        if isinstance(seen, WaitResult):
            return self._deliver_result(seen, context)
        summary = self.task.result(seen.summary(), context)
        self.save_delivered()
        return summary

    def _deliver_result(self, result: WaitResult, context: Context) -> Mapping[str, Any]:
        task = self.task
        if result.outcome is Outcome.TIMED_OUT and task.cancel_on_timeout and self._store and self._store.current:
            self._cancel(self._store.current)
        summary = self.result_or_raise(result, context, timeout_error=FlowRunTimeout)
        delivered = task.add_results(summary, context)
        self.save_delivered()
        return delivered

    def _cancel(self, started: StartedRun) -> None:
        """Cancel the run as far as the service can; never raises, and asks Airflow for nothing."""
        task = self.task
        if started.is_joined:
            task.log.warning("This task joined %s and did not start it, so it is not cancelled", started.label)
            return
        try:
            target = started.to_target(task.hook.api.info.name)
            # A client of its own: a kill interrupts the other one anywhere.
            with SyncClient(limit_timeout(task.hook.settings, KILL_TIMEOUT_SECONDS), ONCE) as client:
                task.log.info("%s", client.execute(cancel_run(client.settings.service, target)))
            if task.metrics:
                task.metrics.increment(Metric.CANCELS)
        except (FlowRunsError, FlowRunUnobservable) as error:
            task.log.warning("Could not cancel %s, which may keep running: %s", started.label, error)


def _build_started_run(result: WaitResult) -> StartedRun | None:
    """Return the run as the trigger saw it, where nothing else is known of it."""
    return StartedRun(result.run["flow_id"], run_id=result.run["run_id"], is_accepted=True) if result.run else None


def _have_failed(runs: Sequence[FlowRun]) -> bool:
    """Return whether all runs have ended, and at least one of them without success."""
    have_ended = all(run.lifecycle is Lifecycle.NOT_RUNNING and not run.may_recover for run in runs)
    return have_ended and any(run.disposition in {Disposition.FAILED, Disposition.CANCELED} for run in runs)
