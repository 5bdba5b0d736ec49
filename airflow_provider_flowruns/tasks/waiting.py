"""Wait for a task's run: poll, log, hand over to the triggerer, and turn the end of the wait into that of the task."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_flowruns.client.retry import ONCE
from airflow_provider_flowruns.client.settings import limit_timeout
from airflow_provider_flowruns.client.sync import SyncClient
from airflow_provider_flowruns.metrics import Metric
from airflow_provider_flowruns.model.errors import ApiError, AuthenticationError, FlowRunsError
from airflow_provider_flowruns.model.targets import RunTarget, StartedRunTarget, Target
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.opening_lines import describe_wait
from airflow_provider_flowruns.polling.run_waiter import NextAction, RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig, WaitResult
from airflow_provider_flowruns.tasks.outcomes import log_messages, result_or_raise
from airflow_provider_flowruns.tasks.stored_durations import StoredDurations

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.runs import FlowRun, RunSummary
    from airflow_provider_flowruns.tasks.base import WaitingTask

#: Maximum number of seconds for reading the details of a run that has been accepted.
DETAILS_TIMEOUT_SECONDS = 10.0


class Waiting:
    """Waits for the run of a task.

    :param task: the sensor or operator.
    """

    def __init__(self, task: WaitingTask[Any]) -> None:
        self.task = task
        self._durations = RunDurations()
        self._stored_durations: dict[str, StoredDurations] = {}

    def build_config(self, target: Target, *, deadline_at: float, interval_seconds: float, **more: Any) -> WaitConfig:
        """Return the config of a wait for a target, with this task's arguments.

        Further keyword arguments replace fields of the config.

        :param target: what to poll.
        :param deadline_at: Unix time at which the wait ends.
        :param interval_seconds: maximum time between two polls.
        """
        task = self.task
        info = task.hook.api.info
        is_run = isinstance(target, RunTarget | StartedRunTarget)
        arguments: dict[str, Any] = {
            "error_budget_seconds": task.error_budget,
            "on_paused": task.on_paused,
            "on_canceled": task.on_canceled,
            "recovery_grace_seconds": task.recovery_grace,
            "gone_grace_seconds": task.gone_grace,
            # Only a run can be too new to be known; a flow's or a project's id is right or wrong.
            "not_found_grace_seconds": info.not_found_grace if is_run else 0.0,
        }
        return WaitConfig(
            target=target, deadline_at=deadline_at, interval_seconds=interval_seconds, **{**arguments, **more}
        )

    def log_beginning(self, waiter: RunWaiter, mode: str) -> None:
        """Log what a wait is for, once, before its first poll.

        :param waiter: the waiter.
        :param mode: how the task waits, as the arguments that say so.
        """
        for line in describe_wait(waiter.config, self.task.hook.info.title, mode):
            self.task.log.info("%s", line)

    def poll(self, waiter: RunWaiter, read: list[FlowRun] | None = None) -> NextAction:
        """Poll a waiter's target once, and log its messages.

        :param waiter: the waiter, which keeps no data as it was sent.
        :param read: takes the runs that were read, with that data.
        """
        sent_at = self.task.clock.now()
        polled = self.task.hook.client.poll(waiter.target)
        if isinstance(polled, AuthenticationError) and self.task.hook.renew_token():
            polled = self.task.hook.client.poll(waiter.target)
        polled_at = self.task.clock.now()
        if read is not None and not isinstance(polled, ApiError):
            read[:] = polled
        vendor_clock = self.task.hook.client.vendor_clock
        waiter.vendor_offset = vendor_clock.offset_seconds
        if warning := vendor_clock.warning():
            waiter.warn_once("vendor clock", warning)
        waiter.share_durations(self._durations)
        if not isinstance(polled, FlowRunsError):
            self._durations.learn(polled)
        action = waiter.step(polled, polled_at)
        if self.task.metrics:
            self.task.metrics.record_poll(polled if isinstance(polled, FlowRunsError) else None, polled_at - sent_at)
            for seconds in waiter.measure_delays(polled_at) if action.result else ():
                self.task.metrics.record_seconds(Metric.DETECTION_DELAY, seconds)
        log_messages(self.task.log, action.messages)
        return action

    def hand_over(
        self, waiter: RunWaiter, method_name: str = "execute_complete", *, cancel_on_kill: bool = False, **kwargs: Any
    ) -> NoReturn:
        """Defer: the triggerer continues the wait, and the task resumes in one of its methods afterwards.

        The method gets the trigger's event, and the further keyword arguments.

        :param waiter: the wait so far.
        :param method_name: the method in which the task resumes.
        :param cancel_on_kill: cancel the run when the task is marked failed or succeeded meanwhile.
        """
        from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger  # a task that polls does not need it

        task = self.task
        left = max(0.0, waiter.config.deadline_at - task.clock.now())
        task.defer(
            trigger=FlowRunTrigger(conn_id=task.conn_id, waiter=waiter.to_json(), cancel_on_kill=cancel_on_kill),
            method_name=method_name,
            kwargs=kwargs,
            # Only a safety net: the trigger knows the deadline. This timeout would skip the last poll and the cancel.
            timeout=timedelta(seconds=left + 2 * waiter.config.interval_seconds + 60),
        )

    def result_or_raise(self, wait_result: WaitResult, context: Context, **meaning: Any) -> RunSummary:
        """Return the run's summary if the wait succeeded, else raise; see :func:`tasks.outcomes.result_or_raise`.

        :param wait_result: how the wait ended.
        :param context: Airflow's context of the task.
        """
        if wait_result.run:
            self.task.record_run(wait_result.run, context)  # before raising: lineage is collected afterwards
        accepted = result_or_raise(wait_result, **meaning)
        if accepted["flow_id"] is not None:
            self._load_durations(accepted["flow_id"], context).save(accepted, self.task.log)
        return self.task.result(self._read_details(accepted), context)

    def record_run(self, run: RunSummary, context: Context) -> None:
        """Record a run that a poll has shown, and load how long earlier runs of its flow took.

        :param run: the run's summary.
        :param context: Airflow's context of the task.
        """
        self.task.record_run(run, context)
        if run["flow_id"] is not None:
            self._load_durations(run["flow_id"], context)

    def _load_durations(self, flow_id: str, context: Context) -> StoredDurations:
        """Return the store of a flow's durations, which has been read."""
        stored, task = self._stored_durations.get(flow_id), self.task
        if stored is None:
            assets = [*task.outlets, *task.inlets]
            names = {"service": task.info.name, "conn_id": task.conn_id, "flow_id": flow_id}
            stored = self._stored_durations[flow_id] = StoredDurations(self._durations, context, assets, **names)
            stored.load(task.log)
        return stored

    def _read_details(self, accepted: RunSummary) -> RunSummary:
        """Return an accepted run with all its details: read by its id if a list showed it; else as it is."""
        log = self.task.log
        key, run_id = self.task.hook.api.info.key_of_single_read, accepted["run_id"]
        if key is None or run_id is None or accepted.get("details", {}).get(key):
            return accepted
        try:
            run = self._read_once(RunTarget(accepted["service"], run_id)).summary()
        except Exception as error:  # whatever it is, the run was a success
            log.warning("The details of run %s are incomplete, because it could not be read: %s", run_id, error)
            return accepted
        if any(run[name] != accepted[name] for name in ("vendor_status", "completed_at")):
            log.warning("The details of run %s are incomplete, because it is %s again", run_id, run["lifecycle"])
            return accepted
        return run

    def _read_once(self, target: RunTarget) -> FlowRun:

        with SyncClient(limit_timeout(self.task.hook.settings, DETAILS_TIMEOUT_SECONDS), ONCE) as client:
            (run,) = client.execute(client.settings.service.poll(target))
        return run
