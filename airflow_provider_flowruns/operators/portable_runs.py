"""Start and cancel flows of Portable, for its operators; imported when a task runs."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.exceptions import FlowAlreadyRunning, FlowRunTimeout
from airflow_provider_flowruns.metrics import Metric
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import FlowRun, RunSummary
from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget, StartedRunTarget
from airflow_provider_flowruns.polling.messages import describe
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.services.portable_arguments import validate_flow_id
from airflow_provider_flowruns.tasks.outcomes import build_error
from airflow_provider_flowruns.tasks.start_lock import StartLockTimeout, hold_start_lock
from airflow_provider_flowruns.tasks.started_run import StartedRun

if TYPE_CHECKING:
    from airflow_provider_flowruns.operators.portable import PortableCancelFlowOperator, PortableRunFlowOperator
    from airflow_provider_flowruns.tasks.starting import RunStarter

#: Number of a flow's newest attempts that tell whether it is running.
_NEWEST_ATTEMPTS = 50
#: Maximum number of seconds for which a task keeps others of its machine from starting a flow after its own start.
MAX_LOCK_SECONDS = 10.0
#: Seconds between two polls while other tasks wait for the lock.
VISIBILITY_POLL_SECONDS = 1.0
#: Maximum of the random delay between the end of another run and the start of the flow, in seconds.
MAX_STAGGER_SECONDS = 10.0


class PortableStart:
    """Starts a flow for a task, as soon as ``if_running`` allows it.

    :param task: the operator.
    :param starter: starts it once, and saves what is known of the run.
    """

    def __init__(self, task: PortableRunFlowOperator, starter: RunStarter) -> None:
        self._task = task
        self._starter = starter

    def start(self) -> StartedRun:
        """Start the flow, or join its active run, and return the run.

        :raises FlowAlreadyRunning: the flow is running, and ``if_running`` is ``fail``.
        :raises FlowRunTimeout: it did not end in time; nothing was started.
        """
        flow_id = validate_flow_id(self._task.flow_id)
        while True:
            with self._start_lock(flow_id):
                newest = self._read_newest_attempts(flow_id)
                running = next((attempt for attempt in newest if attempt.is_active), None)
                if running is None:
                    marker = self._starter.new_marker("", newest[0].run_id if newest else None)
                    started = self._starter.start(StartedRun(flow_id, marker), self._task.hook.api.run_flow(flow_id))
                    # The next holder of the lock must see it running; if that takes too long, the lock is released.
                    self._wait_until_visible(started)
                    return started
            if self._task.if_running == "join":
                return self._join(running)
            self._wait_for_other_run(running)

    @contextmanager
    def _start_lock(self, flow_id: str) -> Generator[None]:
        """Let one task of this machine at a time start the flow; starts of other machines are told apart by time."""
        seconds_left = self._task.wait_limits["deadline_at"] - self._task.clock.now()
        try:
            with hold_start_lock(self._task.hook.settings.base_url, flow_id, timeout=seconds_left) as problem:
                if problem:
                    self._task.log.warning(
                        "No lock file for starts of Portable flow %s (%s): set TMPDIR to a folder that the worker can "
                        "write to. Until then, tasks of this machine that start the flow at the same moment wait for "
                        "all of their runs",
                        flow_id,
                        problem,
                    )
                yield
        except StartLockTimeout:
            raise FlowRunTimeout(
                f"Portable flow {flow_id} was not started: other tasks of this machine were starting it during all of "
                f"this task's timeout ({self._task.timeout:g} s); let this task be retried, or raise timeout"
            ) from None

    def _read_newest_attempts(self, flow_id: str) -> tuple[FlowRun, ...]:
        # Read as a wait reads them: if the newest attempt cannot be read, nothing may be started.
        target = NewestRunsTarget("portable", flow_id, _NEWEST_ATTEMPTS)
        return self._task.hook.client.execute(self._task.hook.api.poll(target))

    def _wait_until_visible(self, started: StartedRun) -> None:
        """Wait until the attempt list shows the run, for as long as the lock may be held."""
        until = self._task.clock.now() + MAX_LOCK_SECONDS
        target = started.to_target("portable")
        while True:
            seen = self._task.hook.client.poll(target)
            if isinstance(seen, FlowRunsError) or self._task.clock.now() >= until:
                return
            if seen and isinstance(target, StartedRunTarget):
                self._starter.store.record_runs(target.marker.most_likely(seen))
                return
            time.sleep(min(VISIBILITY_POLL_SECONDS, self._task.poll_interval))

    def _join(self, running: FlowRun) -> StartedRun:
        self._task.log.warning(
            "Joined run %s of flow %s, which this task did not start and will not cancel",
            running.run_id,
            running.flow_id,
        )
        store = self._starter.store
        generation = store.generation
        return store.save(StartedRun(running.flow_id, run_id=running.run_id, is_joined=True, generation=generation))

    def _wait_for_other_run(self, running: FlowRun) -> None:
        """Wait for the end of a run that is in the way, in this process or in the triggerer.

        :raises FlowRunTimeout: it does not end in time; nothing was started.
        """
        reason = f"Portable flow {running.flow_id} is already running (run {running.run_id})"
        if self._task.if_running == "fail":
            raise FlowAlreadyRunning(reason)
        if self._task.if_running == "skip":
            raise AirflowSkipException(reason)
        self._task.log.info("%s; waiting for it to end before starting another run", reason)
        target = RunTarget("portable", str(running.run_id), running.flow_id)
        config = self._task.waiting.build_config(
            target, interval_seconds=self._task.poll_interval, on_paused="wait", **self._task.wait_limits
        )
        waiter = RunWaiter(config, self._task.clock.now())
        self._task.waiting.log_beginning(waiter, f"deferrable={self._task.deferrable}")
        if self._task.deferrable:
            self._task.waiting.hand_over(waiter, "resume_after_other_run", **self._task.wait_limits)
        while (action := self._task.waiting.poll(waiter)).result is None:
            time.sleep(action.wait)
        require_end(action.result, self._task.poll_interval)


def require_end(result: WaitResult, poll_interval: float) -> None:
    """Check that the run that was in the way has ended, and spread the starts of all tasks that waited for that.

    :param result: how the wait for it ended.
    :param poll_interval: the task's seconds between two polls.
    :raises FlowRunTimeout: the run did not end in time.
    """
    if result.outcome not in {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELED, Outcome.SKIPPED}:
        raise build_error(result, FlowRunTimeout)
    # All tasks that waited for this end see it at the same moment; the first one to start is seen by the others.
    time.sleep(random.random() * min(MAX_STAGGER_SECONDS, poll_interval))


def cancel_flow(task: PortableCancelFlowOperator) -> RunSummary:
    """Cancel the active runs of a task's flow, and return its status once it is idle.

    :param task: the operator.
    :raises FlowRunTimeout: the flow did not become idle in time.
    """
    clock = Clock()
    deadline = clock.now() + task.timeout
    with task.hook as hook:
        hook.cancel_flow(task.flow_id)
        if task.metrics:
            task.metrics.increment(Metric.CANCELS)
        while True:
            status: FlowRun = hook.get_flow_status(task.flow_id)
            if not status.is_active:
                return status.summary()
            if clock.now() >= deadline:
                raise FlowRunTimeout(f"{describe(status)} {task.timeout:g} s after it was cancelled")
            time.sleep(task.poll_interval)
