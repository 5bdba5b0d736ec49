"""The operator that starts a run and waits for it: what the run operators of all services share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_flowruns.exceptions import FlowRunTimeout, FlowRunUnobservable
from airflow_provider_flowruns.metrics import Metric
from airflow_provider_flowruns.model.choices import OnCanceled, OnPaused
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Lifecycle, RunSummary
from airflow_provider_flowruns.model.targets import RunTarget, StartMarker
from airflow_provider_flowruns.polling.messages import describe
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.services.base import cancel_run
from airflow_provider_flowruns.tasks.arguments import check_choice, parse_seconds
from airflow_provider_flowruns.tasks.base import HookT, WaitingTask
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.outcomes import result_or_raise
from airflow_provider_flowruns.tasks.peer_arguments import reject_peer_arguments
from airflow_provider_flowruns.tasks.polling import WorkerWait, poll_until_end
from airflow_provider_flowruns.tasks.started_run import StartedRun, StartedRunStore
from airflow_provider_flowruns.tasks.starting import RunFinder, RunStarter

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Seconds within which the service has to respond while a task is being killed.
KILL_TIMEOUT_SECONDS = 3.0


class RunOperator(WaitingTask[HookT], BaseOperator):
    """Base of the operators that start a run and wait for it.

    Exactly one run per try: what identifies the run is saved before the request is sent, and a start without a
    response is looked up, never repeated. With Airflow 3.3 and newer a retried task finds its own run again: it waits
    for a live one, takes the result of one that succeeded, and starts a new one after one that failed. A start that
    was accepted is never repeated, not even when its run does not become visible: then the task fails with
    ``FlowRunUnobservable``, which says what to do.

    The result is the run's summary, and what :meth:`add_results` adds. XCom ``run_id`` and ``run_url`` are pushed as
    soon as they are known, and the link *Flow run* with them. When the task succeeds, the asset events of its
    ``outlets`` say which run it was, see ``outlets.emit_asset_events``.

    :param wait: wait until the run has ended. Otherwise the result is the run as it is first seen; if its start was
        accepted and it is not visible within a minute, a summary without ``run_id``, ``PENDING``.
    :param deferrable: wait in the triggerer; the default is Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds or timedelta between two polls.
    :param timeout: seconds or timedelta until the wait fails with ``FlowRunTimeout``.
    :param error_budget: seconds or timedelta without one usable response before the wait fails with
        ``FlowRunUnobservable``.
    :param on_paused: what a paused run (or one in review) means: ``wait``, ``succeed``, ``fail`` or ``skip``.
    :param on_canceled: what a cancelled run means: ``fail`` or ``skip``.
    :param cancel_on_timeout: cancel the run when it does not end in time, if the service can; never one that this task
        did not start, or may not have started.
    :param cancel_on_kill: cancel it likewise when the task is killed or marked failed or succeeded.
    """

    ui_color = "#c9e9e3"

    def __init__(
        self,
        *,
        wait: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 30,
        timeout: float | timedelta = 7 * 24 * 60 * 60,
        error_budget: float | timedelta = 900,
        on_paused: OnPaused = "wait",
        on_canceled: OnCanceled = "fail",
        cancel_on_timeout: bool = False,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        reject_peer_arguments(type(self), kwargs)
        super().__init__(**kwargs)
        self.wait = wait
        self.deferrable = deferrable
        self.poll_interval = parse_seconds(poll_interval, argument="poll_interval")
        self.timeout = parse_seconds(timeout, argument="timeout")
        self.error_budget = parse_seconds(error_budget, argument="error_budget")
        self.on_paused = on_paused
        self.on_canceled = on_canceled
        self.cancel_on_timeout = cancel_on_timeout
        self.cancel_on_kill = cancel_on_kill
        check_choice(on_paused, argument="on_paused", choices=get_args(OnPaused))
        check_choice(on_canceled, argument="on_canceled", choices=get_args(OnCanceled))
        self._store: StartedRunStore | None = None

    @abstractmethod
    def start_run(self, starter: RunStarter) -> StartedRun:
        """Start the run that this task is for, or save one that the task did not start itself.

        :param starter: starts it once, and saves what is known of it.
        """

    def recover_run(self, failed: FlowRun, starter: RunStarter) -> StartedRun | None:
        """Return a run in place of this task's own failed one; None to start a new one with :meth:`start_run`.

        :param failed: the run of an earlier try, which failed or was cancelled.
        :param starter: starts a run once, and saves what is known of it.
        """
        return None

    def add_results(self, summary: RunSummary, context: Context) -> Mapping[str, Any]:
        """Return the task's result: the summary of its run, which has succeeded, and what an operator adds to it.

        Called before the run counts as delivered: a task that is killed or fails in here finds the same run again when
        it is retried, where Airflow has a store for that. Older versions have none and would start another run, so what
        a retry cannot mend raises an ``AirflowFailException``.

        :param summary: the run's summary.
        :param context: Airflow's context of the task.
        """
        return summary

    def read_again(self, summary: RunSummary) -> FlowRun:
        """Return the task's run with all that the service shows of a single run; for :meth:`add_results`.

        Errors are tolerated as they are while the task waits for the run.

        :param summary: the run's summary.
        :raises FlowRunUnobservable: there was no usable response within ``error_budget``.
        """
        now = self.clock.now()
        deadline_at, limited_by = self.get_deadline(now, now)
        target = RunTarget(self.hook.api.info.name, str(summary["run_id"]), summary["flow_id"])
        config = self.build_config(
            target, deadline_at=deadline_at, limited_by=limited_by, interval_seconds=self.poll_interval
        )
        result, runs = poll_until_end(self, RunWaiter(config, now))
        result_or_raise(result, timeout_error=FlowRunTimeout)
        return runs[0]

    def is_certainly_own(self, run: FlowRun, shows_start: Callable[[FlowRun, StartMarker], bool]) -> bool:
        """Return whether a run is known to be the task's by more than its time; for :meth:`add_results`.

        :param run: the run with the data as it was sent.
        :param shows_start: whether a run of the service shows what travelled with a start.
        """
        started = self._store.current if self._store else None
        if started is None or started.run_id == run.run_id:
            return started is not None
        return started.marker is not None and shows_start(run, started.marker)

    @cached_property
    def wait_limits(self) -> dict[str, Any]:
        """Fields of a ``WaitConfig``: when the whole wait, which begins with their first use, ends, and why."""
        began = self.clock.now()
        deadline_at, limited_by = self.get_deadline(began, began)
        return {"deadline_at": deadline_at, "limited_by": limited_by}

    @explains_errors
    def execute(self, context: Context) -> Any:
        """Start the run, or find the one that an earlier try started, and wait for it; see the class."""
        store = self._store = StartedRunStore(context)
        starter = RunStarter(self, store, context)
        finder = RunFinder(self, store, interval_seconds=self.poll_interval, **self.wait_limits)
        with self.hook:
            started = self._find_or_recover(finder, starter) or self.start_run(starter)
            waiter = finder.new_waiter(started)
            wait = WorkerWait(self, waiter, store, context)
            if not self.wait:
                return self._return_visible_run(wait.wait_until_visible(started), context)
            self.log_beginning(waiter, f"deferrable={self.deferrable}")
            result = wait.wait_for_end(is_deferrable=self.deferrable)
            if result is None:
                cancel_on_kill = self.cancel_on_kill and not started.is_joined
                self.hand_over(waiter, cancel_on_kill=cancel_on_kill, started_run=started.to_record())
            return self._deliver_result(result, context)

    @explains_errors
    def execute_complete(
        self, context: Context, event: Any = None, started_run: dict[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Return the task's result if the trigger reports success; anything else fails.

        :param context: Airflow's context of the task.
        :param event: the trigger's event, see ``polling.run_waiter.WaitResult.to_dict``.
        :param started_run: the run as it was known before, for an Airflow without a store for it.
        """
        result = WaitResult.from_dict(event)
        store = self._store = StartedRunStore(context)
        with self.hook:
            store.current = store.load() or StartedRun.from_record(started_run) or _build_started_run(result)
            if result.run:
                store.record_run_id(result.run["run_id"])
            return self._deliver_result(result, context)

    def on_kill(self) -> None:
        """Cancel the run if the service can, else log that it keeps running. A joined run is left alone."""
        started = self._store.current if self._store else None
        if started is None:
            return
        if not self.cancel_on_kill:
            self.log.warning("The task was killed; %s keeps running (cancel_on_kill=False)", started.label)
            return
        self._cancel(started)

    def _find_or_recover(self, finder: RunFinder, starter: RunStarter) -> StartedRun | None:
        """Return the run that an earlier try started, or one in its place; None to start one."""
        runs = finder.find_earlier_runs()
        if runs is None:
            return None
        states = "; ".join(map(describe, runs))
        if runs and _have_failed(runs):
            self.log.info("%s; an earlier try started it", states)
            return self.recover_run(runs[0], starter) if len(runs) == 1 else None
        started = starter.store.current
        self.log.info("Waiting for the run that an earlier try started: %s", states or started)
        if self.metrics:
            self.metrics.increment(Metric.DUPLICATES_PREVENTED)
        return started

    def _return_visible_run(self, seen: FlowRun | WaitResult, context: Context) -> Mapping[str, Any]:
        if isinstance(seen, WaitResult):
            return self._deliver_result(seen, context)
        return self._save_delivered(self.result(seen.summary(), context))

    def _deliver_result(self, result: WaitResult, context: Context) -> Mapping[str, Any]:
        if result.outcome is Outcome.TIMED_OUT and self.cancel_on_timeout and self._store and self._store.current:
            self._cancel(self._store.current)
        summary = self.result_or_raise(result, context, timeout_error=FlowRunTimeout)
        return self._save_delivered(self.add_results(summary, context))

    def _save_delivered(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._store:
            self._store.save_delivered()
        return result

    def _cancel(self, started: StartedRun) -> None:
        """Cancel the run as far as the service can; never raises, and asks Airflow for nothing."""
        from airflow_provider_flowruns.client.retry import ONCE
        from airflow_provider_flowruns.client.settings import limit_timeout
        from airflow_provider_flowruns.client.sync import SyncClient

        if started.is_joined:
            self.log.warning("This task joined %s and did not start it, so it is not cancelled", started.label)
            return
        try:
            target = started.to_target(self.hook.api.info.name)
            # A client of its own: a kill interrupts the other one anywhere.
            with SyncClient(limit_timeout(self.hook.settings, KILL_TIMEOUT_SECONDS), ONCE) as client:
                self.log.info("%s", client.execute(cancel_run(client.settings.service, target)))
            if self.metrics:
                self.metrics.increment(Metric.CANCELS)
        except (FlowRunsError, FlowRunUnobservable) as error:
            self.log.warning("Could not cancel %s, which may keep running: %s", started.label, error)


def _build_started_run(result: WaitResult) -> StartedRun | None:
    """Return the run as the trigger saw it, where nothing else is known of it."""
    return StartedRun(result.run["flow_id"], run_id=result.run["run_id"], is_accepted=True) if result.run else None


def _have_failed(runs: Sequence[FlowRun]) -> bool:
    """Return whether all runs have ended, and at least one of them without success."""
    have_ended = all(run.lifecycle is Lifecycle.NOT_RUNNING and not run.may_recover for run in runs)
    return have_ended and any(run.disposition in {Disposition.FAILED, Disposition.CANCELED} for run in runs)
