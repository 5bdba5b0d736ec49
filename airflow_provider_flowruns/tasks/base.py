"""What sensors and operators share: the hook behind their connection id, the run they are about, and waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.links import FlowRunLink
from airflow_provider_flowruns.metrics import ConnectionMetrics, Metric
from airflow_provider_flowruns.model.errors import ApiError, AuthenticationError, FlowRunsError
from airflow_provider_flowruns.model.runs import RunSummary
from airflow_provider_flowruns.model.targets import RunTarget, StartedRunTarget, Target
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.opening_lines import describe_wait
from airflow_provider_flowruns.polling.run_waiter import NextAction, RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig, WaitResult
from airflow_provider_flowruns.tasks.outcomes import log_messages, result_or_raise
from airflow_provider_flowruns.tasks.outlets import emit_asset_events
from airflow_provider_flowruns.tasks.peer_arguments import reject_peer_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_flowruns.model.runs import FlowRun

#: Maximum number of seconds for reading the details of a run that has been accepted.
DETAILS_TIMEOUT_SECONDS = 10.0

HookT = TypeVar("HookT", bound=FlowRunsHook[Any])

#: Seconds before ``execution_timeout`` at which a wait ends on its own: time for its last poll, and for reporting what
#: it saw, before Airflow interrupts the task wherever it is. A tenth of shorter ones.
_LAST_POLL_SECONDS = 1.0


class ServiceTask(Generic[HookT]):
    """Mixin of a sensor or operator on one service; the connection id is the attribute its hook names."""

    #: Class of the service's hook; every concrete task names its own.
    hook_class: type[HookT]

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:  # pyright in strict mode rejects calls on what Airflow returns
        """Return the task without the arguments that it is mapped over, as Airflow's own operators do.

        :raises InvalidArgumentError: an argument has another name here.
        """
        reject_peer_arguments(cls, kwargs)
        return super().partial(**kwargs)  # type: ignore[misc]

    @property
    def conn_id(self) -> str:
        """Id of the Airflow connection, rendered."""
        return str(getattr(self, self.hook_class.conn_name_attr))

    @cached_property
    def hook(self) -> HookT:
        """The hook for the connection, made on first use."""
        return self.hook_class(self.conn_id)

    @cached_property
    def metrics(self) -> ConnectionMetrics | None:
        """Reports what the task does on its connection, None where Airflow's metrics are off."""
        return ConnectionMetrics.create(self.hook.api.info.name, self.conn_id)


class RunTask(ServiceTask[HookT]):
    """Mixin of a task about one run: its link, and its outlets' asset events."""

    operator_extra_links: Collection[BaseOperatorLink] = (FlowRunLink(),)
    outlets: list[Any]
    log: Any

    _run: RunSummary | None = None
    _shown: str | None = None
    #: Whether this try had a process before this one.
    _is_resumed = False

    @property
    def pushed_url(self) -> str | None:
        """The run's URL if this try has pushed it, empty if it has not; None if only XCom knows."""
        return self._shown or (None if self._is_resumed else "")

    def resume_execution(self, *args: Any, **kwargs: Any) -> Any:
        """Resume after a deferral, as Airflow's own operators do."""
        self._is_resumed = True
        return super().resume_execution(*args, **kwargs)  # type: ignore[misc]

    def record_run(self, run: RunSummary, context: Context) -> None:
        """Store the run's summary for lineage, and push its URL as soon as it is known.

        :param run: the run's summary.
        :param context: Airflow's context of the task.
        """
        self._run = run
        task_instance = context.get("ti")  # missing if a user's unit test calls a reading operator
        if task_instance is not None and run["url"] and run["url"] != self._shown:
            self._shown = run["url"]
            try:
                task_instance.xcom_push(key=FlowRunLink.xcom_key, value=run["url"])
            except Exception as error:  # a link must not fail the task; Airflow pushes it again when this process ends
                self.log.warning("The run's URL could not be pushed to XCom yet: %s", error)

    def result(self, run: RunSummary, context: Context) -> RunSummary:
        """Return a run's summary as the task's result, and emit the asset events of the task's outlets.

        :param run: the run's summary.
        :param context: Airflow's context of the task.
        """
        self.record_run(run, context)
        emit_asset_events(self.outlets, run, context)
        return run


class WaitingTask(RunTask[HookT]):
    """Mixin of a task that waits for its run, in this process or in the triggerer, and reports its lineage."""

    #: Seconds for which a failure that the service itself may repair is not final.
    recovery_grace: ClassVar[float] = 300.0
    #: Seconds for which something that was found before may be unknown to the service.
    gone_grace: ClassVar[float] = 120.0

    defer: Callable[..., NoReturn]
    timeout: float
    execution_timeout: timedelta | None
    error_budget: float
    on_paused: str
    on_canceled: str

    @cached_property
    def clock(self) -> Clock:
        """Wall-clock time that does not jump during this process."""
        return Clock()

    @cached_property
    def _durations(self) -> RunDurations:
        return RunDurations()

    def get_deadline(self, wait_began_at: float, task_began_at: float) -> tuple[float, str]:
        """Return the Unix time at which a wait has to end, and the argument that sets it.

        ``execution_timeout`` bounds the wait in every mode; Airflow itself counts only time in a worker.

        :param wait_began_at: when the wait began, for ``timeout``.
        :param task_began_at: when this try of the task began, for ``execution_timeout``.
        """
        by_timeout = wait_began_at + self.timeout
        if self.execution_timeout is None:
            return by_timeout, "timeout"
        seconds = self.execution_timeout.total_seconds()
        by_execution = task_began_at + seconds - min(_LAST_POLL_SECONDS, seconds / 10)
        return min((by_timeout, "timeout"), (by_execution, "execution_timeout"))

    def build_config(self, target: Target, *, deadline_at: float, interval_seconds: float, **more: Any) -> WaitConfig:
        """Return the config of a wait for a target, with this task's arguments.

        Further keyword arguments replace fields of the config.

        :param target: what to poll.
        :param deadline_at: Unix time at which the wait ends.
        :param interval_seconds: maximum time between two polls.
        """
        info = self.hook.api.info
        is_run = isinstance(target, RunTarget | StartedRunTarget)
        arguments: dict[str, Any] = {
            "error_budget_seconds": self.error_budget,
            "on_paused": self.on_paused,
            "on_canceled": self.on_canceled,
            "recovery_grace_seconds": self.recovery_grace,
            "gone_grace_seconds": self.gone_grace,
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
        for line in describe_wait(waiter.config, self.hook_class.info.title, mode):
            self.log.info("%s", line)

    def poll(self, waiter: RunWaiter, read: list[FlowRun] | None = None) -> NextAction:
        """Poll a waiter's target once, and log its messages.

        :param waiter: the waiter, which keeps no data as it was sent.
        :param read: takes the runs that were read, with that data.
        """
        sent_at = self.clock.now()
        polled = self.hook.client.poll(waiter.target)
        if isinstance(polled, AuthenticationError) and self.hook.renew_token():
            polled = self.hook.client.poll(waiter.target)
        polled_at = self.clock.now()
        if read is not None and not isinstance(polled, ApiError):
            read[:] = polled
        vendor_clock = self.hook.client.vendor_clock
        waiter.vendor_offset = vendor_clock.offset_seconds
        if warning := vendor_clock.warning():
            waiter.warn_once("vendor clock", warning)
        waiter.durations = self._durations
        if not isinstance(polled, FlowRunsError):
            self._durations.learn(polled)
        action = waiter.step(polled, polled_at)
        if self.metrics:
            self.metrics.record_poll(polled if isinstance(polled, FlowRunsError) else None, polled_at - sent_at)
            for seconds in waiter.measure_delays(polled_at) if action.result else ():
                self.metrics.record_seconds(Metric.DETECTION_DELAY, seconds)
        log_messages(self.log, action.messages)
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
        from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

        left = max(0.0, waiter.config.deadline_at - self.clock.now())
        self.defer(
            trigger=FlowRunTrigger(conn_id=self.conn_id, waiter=waiter.to_json(), cancel_on_kill=cancel_on_kill),
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
            self.record_run(wait_result.run, context)  # before raising: lineage is collected afterwards
        return self.result(self._read_details(result_or_raise(wait_result, **meaning)), context)

    def _read_details(self, accepted: RunSummary) -> RunSummary:
        """Return an accepted run with all its details: read by its id if a list showed it; else as it is."""
        key, run_id = self.hook.api.info.key_of_single_read, accepted["run_id"]
        if key is None or run_id is None or accepted.get("details", {}).get(key):
            return accepted
        try:
            run = self._read_once(RunTarget(accepted["service"], run_id)).summary()
        except Exception as error:  # whatever it is, the run was a success
            self.log.warning("The details of run %s are incomplete, because it could not be read: %s", run_id, error)
            return accepted
        if any(run[name] != accepted[name] for name in ("vendor_status", "completed_at")):
            self.log.warning("The details of run %s are incomplete, because it is %s again", run_id, run["lifecycle"])
            return accepted
        return run

    def _read_once(self, target: RunTarget) -> FlowRun:
        from airflow_provider_flowruns.client.retry import ONCE
        from airflow_provider_flowruns.client.settings import limit_timeout
        from airflow_provider_flowruns.client.sync import SyncClient

        with SyncClient(limit_timeout(self.hook.settings, DETAILS_TIMEOUT_SECONDS), ONCE) as client:
            (run,) = client.execute(client.settings.service.poll(target))
        return run

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what OpenLineage is told about the run, see ``lineage.build_lineage``; None when no run was seen.

        :param task_instance: not needed, the task itself holds what it saw.
        """
        from airflow_provider_flowruns.tasks.lineage import build_lineage

        return build_lineage(self._run) if self._run else None

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what OpenLineage is told about the run as it was last seen, its errors included."""
        return self.get_openlineage_facets_on_complete(task_instance)
