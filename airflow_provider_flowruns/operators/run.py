"""The operator that starts a run and waits for it: what the run operators of all services share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_flowruns.model.choices import OnCanceled, OnPaused
from airflow_provider_flowruns.tasks.arguments import check_choice, parse_seconds
from airflow_provider_flowruns.tasks.base import HookT, WaitingTask
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.peer_arguments import reject_peer_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.runs import FlowRun, RunSummary
    from airflow_provider_flowruns.model.targets import StartMarker
    from airflow_provider_flowruns.operators.run_wait import RunWait
    from airflow_provider_flowruns.tasks.started_run import StartedRun
    from airflow_provider_flowruns.tasks.starting import RunStarter


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
        return self.waiting.read_again(summary)

    def is_certainly_own(self, run: FlowRun, shows_start: Callable[[FlowRun, StartMarker], bool]) -> bool:
        """Return whether a run is known to be the task's by more than its time; for :meth:`add_results`.

        :param run: the run with the data as it was sent.
        :param shows_start: whether a run of the service shows what travelled with a start.
        """
        return self.waiting.is_certainly_own(run, shows_start)

    @cached_property
    def waiting(self) -> RunWait:
        """The start and the wait; imported when the task runs."""
        from airflow_provider_flowruns.operators.run_wait import RunWait

        return RunWait(self)

    @cached_property
    def wait_limits(self) -> dict[str, Any]:
        """Fields of a ``WaitConfig``: when the whole wait, which begins with their first use, ends, and why."""
        began = self.clock.now()
        deadline_at, limited_by = self.get_deadline(began, began)
        return {"deadline_at": deadline_at, "limited_by": limited_by}

    @explains_errors
    def execute(self, context: Context) -> Any:
        """Start the run, or find the one that an earlier try started, and wait for it; see the class."""
        return self.waiting.start_and_wait(context)

    @explains_errors
    def execute_complete(
        self, context: Context, event: Any = None, started_run: dict[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Return the task's result if the trigger reports success; anything else fails.

        :param context: Airflow's context of the task.
        :param event: the trigger's event, see ``polling.run_waiter.WaitResult.to_dict``.
        :param started_run: the run as it was known before, for an Airflow without a store for it.
        """
        return self.waiting.complete(context, event, started_run)

    def on_kill(self) -> None:
        """Cancel the run if the service can, else log that it keeps running. A joined run is left alone."""
        if "waiting" in vars(self):  # else nothing was started; this is no time to import
            self.waiting.kill()
