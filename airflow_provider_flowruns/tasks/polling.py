"""Wait in the worker for the run that a task started."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.model.targets import StartedRunTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.runs import FlowRun
    from airflow_provider_flowruns.polling.run_waiter import NextAction, RunWaiter
    from airflow_provider_flowruns.polling.wait_state import WaitResult
    from airflow_provider_flowruns.tasks.base import WaitingTask
    from airflow_provider_flowruns.tasks.started_run import StartedRun, StartedRunStore

#: Maximum number of seconds for which the worker looks for the run before it leaves that to the triggerer.
FIND_BEFORE_DEFERRING_SECONDS = 10.0
#: The worker waits itself for a run that may end when it is this old, because a deferral takes longer; and polls it at
#: this interval.
SHORT_RUN_SECONDS, SHORT_RUN_INTERVAL_SECONDS = 5.0, 1.0
#: Maximum number of seconds for which a task that does not wait looks for its run before it returns without its id.
FIND_WITHOUT_WAITING_SECONDS = 60.0
#: Seconds between a start and the first poll for its run, where the service creates runs a moment later.
FIRST_POLL_DELAY_SECONDS = 1.0


class WorkerWait:
    """Polls for a started run in this process, and records what each poll shows.

    :param task: the task that waits.
    :param waiter: decides what a poll's response means and when to poll next.
    :param store: where the run is saved.
    :param context: the task's context.
    """

    def __init__(self, task: WaitingTask[Any], waiter: RunWaiter, store: StartedRunStore, context: Context) -> None:
        self._task = task
        self._waiter = waiter
        self._store = store
        self._context = context

    def wait_for_end(self, *, is_deferrable: bool) -> WaitResult | None:
        """Wait until the run has ended.

        :param is_deferrable: wait only until the triggerer can take over; then the result is None.
        """
        waiter, now = self._waiter, self._task.clock.now
        began_at = now()
        self._delay_first_poll()
        while True:
            action = self._poll()
            if action.result:
                return action.result
            if is_deferrable and may_end_before_deferral(waiter, began_at, now()):
                time.sleep(min(action.wait, SHORT_RUN_INTERVAL_SECONDS))
                continue
            is_found = waiter.last_runs or waiter.is_one_of_many
            if is_deferrable and (is_found or now() >= began_at + FIND_BEFORE_DEFERRING_SECONDS):
                return None
            time.sleep(action.wait)

    def wait_until_visible(self, started: StartedRun) -> FlowRun | WaitResult:
        """Wait until a poll shows the run, and return it; the wait's result if it ends before that.

        A run whose start was accepted and that is not visible soon is returned as far as it is known.

        :param started: what is known of the run.
        """
        waiter, now = self._waiter, self._task.clock.now
        find_until = now() + FIND_WITHOUT_WAITING_SECONDS
        self._delay_first_poll()
        while True:
            action = self._poll()
            if waiter.last_seen:
                return waiter.last_seen
            if action.result:
                return action.result
            left = find_until - now()
            if started.is_accepted and left <= 0.0:
                self._task.log.warning("No run of %s is visible yet; returning without its id", started)
                return started.to_pending_run(waiter.target.service)
            time.sleep(min(action.wait, left) if started.is_accepted else action.wait)

    def _delay_first_poll(self) -> None:
        target = self._waiter.target
        if isinstance(target, StartedRunTarget) and target.marker.correlation_key:
            time.sleep(min(FIRST_POLL_DELAY_SECONDS, self._waiter.config.interval_seconds))

    def _poll(self) -> NextAction:
        waiter = self._waiter
        action = self._task.waiting.poll(waiter)
        if waiter.last_runs and waiter.last_seen:
            self._task.waiting.record_run(waiter.last_seen.summary(), self._context)
            self._store.record_runs(waiter.last_runs, waiter.run_id)
        return action


def poll_before_deferring(
    poll: Callable[[], NextAction], waiter: RunWaiter, now: Callable[[], float]
) -> WaitResult | None:
    """Poll once, and go on while the run may end sooner than a deferral takes; None if it has not ended.

    :param poll: polls once.
    :param waiter: the wait.
    :param now: returns the current time.
    """
    began_at = now()
    while True:
        action = poll()
        if action.result or not may_end_before_deferral(waiter, began_at, now()):
            return action.result
        time.sleep(min(action.wait, SHORT_RUN_INTERVAL_SECONDS))


def may_end_before_deferral(waiter: RunWaiter, began_at: float, now: float) -> bool:
    """Return whether the run may end sooner than a deferral takes, so that the worker goes on polling.

    :param waiter: the wait.
    :param began_at: Unix time at which this process began to wait.
    :param now: the current time.
    """
    return now < began_at + SHORT_RUN_SECONDS and waiter.may_end_within(SHORT_RUN_SECONDS, now)


def poll_until_end(task: WaitingTask[Any], waiter: RunWaiter) -> tuple[WaitResult, list[FlowRun]]:
    """Poll for a run in this process until it has ended.

    :param task: the task that waits.
    :param waiter: decides what a poll's response means and when to poll next.
    :return: how the wait ended, and the runs as they were last read, with the data as it was sent.
    """
    runs: list[FlowRun] = []
    while True:
        action = task.waiting.poll(waiter, runs)
        if action.result:
            return action.result, runs
        time.sleep(action.wait)
