"""Start a run at most once, and find the run of a start, whichever try of the task sent it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from airflow_provider_flowruns.exceptions import FlowRunTimeout
from airflow_provider_flowruns.metrics import Metric
from airflow_provider_flowruns.model.errors import FlowRunsError, is_rejected
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import StartMarker, start_value
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome
from airflow_provider_flowruns.tasks.outcomes import build_error

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.hooks.base import FlowRunsHook
    from airflow_provider_flowruns.model.calls import Call
    from airflow_provider_flowruns.services.info import ServiceInfo
    from airflow_provider_flowruns.tasks.base import RunTask, WaitingTask
    from airflow_provider_flowruns.tasks.started_run import StartedRun, StartedRunStore

#: Maximum number of seconds that sending a start takes, including retries of one that was provably not accepted.
MAX_SENDING_SECONDS = 300.0
#: Seconds after a start within which other runs may show that cannot be told from its own by anything but time.
AMBIGUITY_SECONDS = 5.0


class RunStarter:
    """Starts a run at most once: saves what identifies it before the request is sent, and what came of it after.

    :param task: the task that the run is for.
    :param store: where the run is saved.
    :param context: the task's context.
    """

    def __init__(self, task: RunTask[Any], store: StartedRunStore, context: Context) -> None:
        self.store = store
        self._task = task
        self._context = context

    def new_marker(self, correlation_key: str, after_run_id: str | None = None) -> StartMarker:
        """Return a marker for a start.

        Where its value cannot travel, the run is found by its time: send a request before, which measures the service's
        clock.

        :param correlation_key: name under which the marker's value travels with the start; empty where it cannot.
        :param after_run_id: id of the flow's newest run before the start, None when it has none.
        """
        ti: Any = self._context["ti"]
        names = (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), start_value(get_service_time(self._task.hook)))
        return StartMarker("/".join(names), correlation_key, after_run_id=after_run_id)

    def start(self, started: StartedRun, call: Call[Any]) -> StartedRun:
        """Send a start once. Without a response it is not sent again: then its run has to be found.

        :param started: the run to be; what is learnt about it is stored in it.
        :param call: the request that starts it.
        :raises FlowRunsError: the service rejected the request, so nothing was started.
        """
        client, log = self._task.hook.client, self._task.log
        if warning := client.vendor_clock.warning():
            log.warning("%s: %s", self._task.hook.api.info.title, warning)
        sent_at = time.time()
        started.sent_at, started.generation = get_service_time(self._task.hook), self.store.generation
        self._set_creation_range(started, sent_at=sent_at, arrived_at=sent_at + MAX_SENDING_SECONDS)
        self.store.save(started)
        run: Any = None
        try:
            run = client.send(call)
        except FlowRunsError as error:
            if is_rejected(error):
                self.store.forget()
                raise
            started.problem = str(error)
            log.warning("%s; looking for the run, which may have been started", error)
        else:
            started.is_accepted = True
        self._set_creation_range(started, arrived_at=time.time())
        if self._task.metrics:
            self._task.metrics.increment(Metric.RUNS_STARTED)
        if isinstance(run, FlowRun):
            started.run_id = run.run_id
            self._task.record_run(run.summary(), self._context)
        self.store.save(started)
        self.store.record_run_id(started.run_id)
        return started

    def _set_creation_range(self, started: StartedRun, *, sent_at: float | None = None, arrived_at: float) -> None:
        """Set when the run can have been created, on the service's clock, from times on this machine's clock."""
        if started.marker is None:
            return
        clock = self._task.hook.client.vendor_clock
        if sent_at is not None and (earliest := clock.range_at(sent_at)):
            started.marker = replace(started.marker, not_before_at=earliest[0])
        if latest := clock.range_at(arrived_at):
            started.marker = replace(started.marker, not_after_at=latest[1])


class RunFinder:
    """Finds the run of a start, of this try or of an earlier one.

    :param task: the task that the run is for.
    :param store: where the run is saved.
    :param interval_seconds: maximum time between two polls.
    :param deadline_at: Unix time at which the wait ends.
    :param limited_by: the task's argument that sets the deadline.
    """

    def __init__(
        self,
        task: WaitingTask[Any],
        store: StartedRunStore,
        *,
        interval_seconds: float,
        deadline_at: float,
        limited_by: str,
    ) -> None:
        self._task = task
        self._store = store
        self._interval_seconds = interval_seconds
        self._limits: dict[str, Any] = {"deadline_at": deadline_at, "limited_by": limited_by}

    def find_earlier_runs(self) -> tuple[FlowRun, ...] | None:
        """Return the run that an earlier try started, or all that may be it; None when there is none to go on with.

        The result is empty where a run was certainly started and is not visible.

        :raises FlowRunUnobservable: the run could not be looked for, so no other may be started.
        """
        started = self._store.current = self._store.load()
        if started is None:
            return None
        waiter = self._poll_until_certain(started)
        if waiter.is_run_absent and self._may_start_again(started):
            self._task.log.warning("No run of %s is visible; starting a new one", started)
            self._store.current = None
            return None
        return waiter.last_runs

    def new_waiter(self, started: StartedRun, **more: Any) -> RunWaiter:
        """Return a waiter for the run of a start. Further keyword arguments replace fields of the configuration.

        :param started: what is known of the run.
        """
        info = self._task.hook.api.info
        fields: dict[str, Any] = {
            "is_own_run": True,
            "appear_within_seconds": info.appear_within,
            "absent_hint": explain_absence(info, started),
            "decide_at": self._decide_at(started),
            "ignore_ends_until_at": started.ended_before,
            **self._limits,
        }
        target = started.to_target(info.name)
        config = self._task.waiting.build_config(target, interval_seconds=self._interval_seconds, **{**fields, **more})
        return RunWaiter(config, self._task.clock.now(), started.candidates)

    def _may_start_again(self, started: StartedRun) -> bool:
        """Return whether a start without a visible run may be repeated: it was lost, or the task was cleared since."""
        is_certain = started.is_accepted or started.is_joined
        return not is_certain or started.generation != self._store.generation

    def _poll_until_certain(self, started: StartedRun) -> RunWaiter:
        """Poll until the run is visible, or until it would be visible if it existed."""
        waiter = self._poll_until_known(started, 0.0)
        if not waiter.is_run_absent or not self._may_start_again(started):
            return waiter
        left = float(self._task.hook.api.info.appear_within)
        if not started.is_accepted and started.sent_at is not None:
            left -= get_service_time(self._task.hook) - started.sent_at  # the service's clock has been measured by now
        return self._poll_until_known(started, left) if left > 0.0 else waiter

    def _poll_until_known(self, started: StartedRun, appear_within_seconds: float) -> RunWaiter:
        """Return a waiter after the poll that showed the run, or may have, or after the last one that did not."""
        waiter = self.new_waiter(started, appear_within_seconds=appear_within_seconds)
        while True:
            action = self._task.waiting.poll(waiter)
            if waiter.last_runs:
                self._store.record_runs(waiter.last_runs, waiter.run_id)
            if waiter.last_runs or waiter.may_be_shown:
                return waiter
            if action.result:
                if waiter.is_run_absent and action.result.outcome is Outcome.UNOBSERVABLE:
                    return waiter
                raise build_error(action.result, FlowRunTimeout)
            time.sleep(action.wait)

    def _decide_at(self, started: StartedRun) -> float | None:
        """Return when a run that only its time identifies may be taken for the task's, None for any other."""
        marker = started.marker
        if started.run_id or marker is None or marker.correlation_key or started.sent_at is None:
            return None
        age = max(0.0, get_service_time(self._task.hook) - started.sent_at)
        return self._task.clock.now() + min(AMBIGUITY_SECONDS, self._interval_seconds) - age


def get_service_time(hook: FlowRunsHook[Any]) -> float:
    """Return the Unix time on the service's clock, as far as that has been measured.

    :param hook: the service's hook.
    """
    return time.time() + hook.client.vendor_clock.offset_seconds


def explain_absence(info: ServiceInfo, started: StartedRun) -> str:
    """Return what it means that the run of a start is not visible, and what to do.

    :param info: the service.
    :param started: what is known of the run.
    """
    if started.is_joined:
        return "it may have been deleted"
    if not started.is_accepted:
        problem = f": {started.problem}" if started.problem else ""
        return (
            f"{started} got no usable response and may still be carried out: a retry of this task looks for its run "
            f"before it starts another{problem}"
        )
    causes = f"; {info.no_run_hint}" if info.no_run_hint else ""
    return (
        f"{info.title} accepted {started}, so no other run is started for it, and a retry of this task only looks for "
        f"it again{causes}. Look for the run in {info.title}: if it did its work, mark this task as success; if there "
        "is none, clear this task, which looks once more and then starts a run"
    )
